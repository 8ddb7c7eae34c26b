# shellcheck shell=bash
# Images that the cluster brings: made from cached binaries, kept in the cache under
# a digest of what is in them, imported once.

IMAGE_CACHE=$CACHE_DIR/images
CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt

# digest_of FILE...: of contents, so that a binary built again is no new image.
digest_of() { cat "$@" | sha256sum | cut -c 1-12; }

# cached_image NAME DIGEST ARGUMENTS...: path of the image's file, made when missing.
cached_image() {
    local file=$IMAGE_CACHE/$1-$2.tar
    shift 2
    if [ ! -s "$file" ]; then
        mkdir -p "$IMAGE_CACHE"
        ARCH=$ARCH "$TOOLS_BIN/mkimage" -out "$file" "$@" >&2
    fi
    echo "$file"
}

pause_image() {
    cached_image pause "$(digest_of "$TOOLS_BIN/pause")" -tag "$PAUSE_IMAGE" \
        -file "$TOOLS_BIN/pause:/pause:755" -entrypoint /pause -user 65535:65535
}

# As upstream lays it out; see deploy/Dockerfile of the project.
kaniko_image() {
    cached_image kaniko "$(digest_of "$TOOLS_BIN/kaniko-executor" "$CA_BUNDLE" "${BASH_SOURCE[0]}")" -tag "$KANIKO_IMAGE" \
        -dir /etc:755 -dir /kaniko:777 -dir /kaniko/.docker:777 -dir /kaniko/ssl:755 -dir /kaniko/ssl/certs:755 \
        -dir /workspace:777 -dir /root:700 \
        -file "$TOOLS_BIN/kaniko-executor:/kaniko/executor:755" \
        -file "$CA_BUNDLE:/kaniko/ssl/certs/ca-certificates.crt:644" \
        -env HOME=/root -env USER=root -env PATH=/usr/local/bin:/kaniko -env SSL_CERT_DIR=/kaniko/ssl/certs \
        -env DOCKER_CONFIG=/kaniko/.docker/ -workdir /workspace -entrypoint /kaniko/executor
}

trivy_image() {
    cached_image trivy "$(digest_of "$TOOLS_BIN/trivy" "$CA_BUNDLE" "${BASH_SOURCE[0]}")" -tag "$TRIVY_IMAGE" \
        -dir /tmp:1777 -dir /etc:755 -dir /etc/ssl:755 -dir /etc/ssl/certs:755 \
        -file "$TOOLS_BIN/trivy:/usr/local/bin/trivy:755" -file "$CA_BUNDLE:$CA_BUNDLE:644" \
        -env PATH=/usr/local/bin -user 65532:65532 -entrypoint trivy
}

# import_image NAME FILE
import_image() {
    local record=$DATA/imported/${1//[\/:]/_}
    if [ "$(cat "$record" 2>/dev/null)" = "$2" ] && [ -n "$(run_ctr images list -q "name==$1")" ]; then return 0; fi
    say "importing $1"
    mkdir -p "${record%/*}"
    run_ctr images import --no-unpack=false "$2" >"$LOGS/import.log" 2>&1 || die "cannot import $2" "$(last_line "$LOGS/import.log")"
    echo "$2" >"$record"
}
