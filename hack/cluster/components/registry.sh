# shellcheck shell=bash
# Two registries: one with basic authentication that everything is pushed to, and a
# read-only mirror of docker.io that asks for no credentials, so that pulling a base
# image needs nothing that could read what others staged.

# registry_config NAME LISTEN STORAGE READ-ONLY AUTH
registry_config() {
    put_file "$CONFIG/$1.yaml" 600 <<EOF
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $3, maxthreads: 100}
  delete: {enabled: true}
  maintenance:
    uploadpurging: {enabled: true, age: 24h, interval: 1h, dryrun: false}
    readonly: {enabled: $4}
http:
  addr: $2
  secret: $(secret registry-http)
  tls: {certificate: $PKI/registry.crt, key: $PKI/registry.key}
$5
EOF
}

# The password file is made again only when the password is another: its hash has a salt.
registry_password_file() {
    local file=$STATE_DIR/secrets/registry.htpasswd password
    password=$(secret registry-password)
    [ -s "$file" ] || (umask 077 && htpasswd -nbB -C 5 factory "$password" >"$file")
    echo "$file"
}

registry_up() {
    local passwords
    passwords=$(registry_password_file)
    mkdir -p "$DATA/registry"
    registry_config registry "$REGISTRY" "$DATA/registry" false \
        "auth: {htpasswd: {realm: image-factory, path: $passwords}}"
    ensure_process registry docker-registry serve "$CONFIG/registry.yaml"
}

mirror_up() {
    mkdir -p "$DATA/mirror"
    registry_config mirror "$MIRROR" "$DATA/mirror" true ''
    ensure_process mirror docker-registry serve "$CONFIG/mirror.yaml"
}

# The mirror is filled through a second server on the same files, on loopback only
# and gone afterwards.
mirror_fill_up() {
    registry_config mirror-fill "127.0.0.1:$MIRROR_FILL_PORT" "$DATA/mirror" false ''
    ensure_process mirror-fill docker-registry serve "$CONFIG/mirror-fill.yaml"
}

registry_ready() { registry_curl -u "factory:$(secret registry-password)" "https://$REGISTRY/v2/"; }
mirror_ready() { registry_curl "https://$MIRROR/v2/"; }
mirror_fill_ready() { registry_curl "https://127.0.0.1:$MIRROR_FILL_PORT/v2/"; }
registry_curl() { curl -sf --max-time 3 --cacert "$PKI/registry-ca.crt" "$@"; }
