set -e
mkdir -p /prepared/docker /workspace/tree/deep
printf '%s' "$DOCKERFILE" >/prepared/Dockerfile
[ -z "$POLICY" ] || printf '%s' "$POLICY" >/prepared/source-policy.json
cp /ca/ca.crt /prepared/ca.pem
printf '%s' "$SECRET" >/secrets/token
cd /workspace
echo one >tree/one
echo two >tree/deep/two
ln -s deep/two tree/link
chmod 640 tree/one
chmod 755 tree/deep/two
echo ignored >tree/ignored.txt
printf '**/ignored.txt\n' >.dockerignore
