#!/usr/bin/env bash
# Builds the product's images and brings them into the local cluster. A tag is made of
# what is in the image: nothing is built or imported twice, and a deployment that names
# the tag changes when, and only when, the image did. .cluster/images.env names them.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../cluster" && pwd)
# shellcheck source=../cluster/lib/all.sh
. "$HERE/lib/all.sh"

PROFILE=${PROFILE:-image}
TARGET=$(uname -m)-unknown-linux-gnu
# shellcheck source=../lib/cargo.sh
. "$ROOT/hack/lib/cargo.sh"
BINARIES=$CARGO_TARGET_DIR/$TARGET/$PROFILE
DIST=$CLUSTER_DIR/dist
# buildah keeps what it works on here, apart from anybody's own images.
BUILDAH=(buildah --root "$STATE_DIR/buildah/root" --runroot "$STATE_DIR/buildah/run" --storage-driver vfs)

main() {
    [ -s "$KUBECONFIG_FILE" ] || die "no cluster is there" "bring one up: make cluster"
    need_packages buildah ca-certificates cmake
    mkdir -p "$CACHE_DIR/log"
    run_step "building the binaries (cargo, profile $PROFILE)" "$CACHE_DIR/log/cargo-image.log" compile
    mkdir -p "$DIST"
    cp "$CA_BUNDLE" "$DIST/ca-certificates.crt"
    place_buildkit
    for program in operator worker webhook buildkit; do build_image "$program"; done
    write_images_file
}

compile() {
    command -v cargo >/dev/null || die "cargo is missing" "install Rust as rust-toolchain.toml names it"
    cd "$ROOT"
    RUSTFLAGS=$STATIC cargo build --locked --profile "$PROFILE" --target "$TARGET" \
        --package imagefactory-operator --bin operator --package imagefactory-worker --bin worker \
        --package imagefactory-webhook --bin webhook --package imagefactory-buildkit --bin imagefactory-buildkit
}

# The image of BuildKit is our launcher with the programs that it starts.
BUILDKIT_PROGRAMS="buildkitd buildctl runc"

place_buildkit() {
    local program
    "$HERE/../tools/build.sh" runc buildkit
    for program in $BUILDKIT_PROGRAMS; do cp "$TOOLS_BIN/$program" "$DIST/$program"; done
}

binary_of() { if [ "$1" = buildkit ]; then echo "$BINARIES/imagefactory-buildkit"; else echo "$BINARIES/$1"; fi; }

image_name() {
    local program also=()
    [ "$1" != buildkit ] || for program in $BUILDKIT_PROGRAMS; do also+=("$DIST/$program"); done
    echo "$IMAGE_PREFIX/$1:dev-$(digest_of "$(binary_of "$1")" ${also[@]+"${also[@]}"} "$DIST/ca-certificates.crt" "$ROOT/Dockerfile")"
}

build_image() {
    local name archive=$DIST/$1.tar
    name=$(image_name "$1")
    if image_is_there "$name"; then
        say "$name is there already"
        return 0
    fi
    cp "$(binary_of "$1")" "$DIST/$1"
    run_step "building $name" "$CACHE_DIR/log/image-$1.log" assemble "$1" "$name" "$archive"
    load_archive "$archive"
    rm -f "$archive" "$DIST/$1"
}

assemble() {
    local id
    mkdir -p "$STATE_DIR/buildah"
    "${BUILDAH[@]}" build --isolation chroot --target "$1" --timestamp 0 --file "$ROOT/Dockerfile" \
        --iidfile "$DIST/$1.id" "$DIST"
    id=$(cat "$DIST/$1.id")
    rm -f "$3" "$DIST/$1.id"
    "${BUILDAH[@]}" push "$id" "docker-archive:$3:$2"
    "${BUILDAH[@]}" rmi --force "$id"
}

image_is_there() {
    if kind_answers; then kind_has_image "$1"; else [ -n "$(run_ctr images list -q "name==$1")" ]; fi
}

load_archive() {
    if kind_answers; then kind_load_archive "$1"; else run_ctr images import "$1" >"$CACHE_DIR/log/image-import.log"; fi
}

write_images_file() {
    cat >"$CLUSTER_DIR/images.env.part" <<EOF
OPERATOR_IMAGE='$(image_name operator)'
WORKER_IMAGE='$(image_name worker)'
WEBHOOK_IMAGE='$(image_name webhook)'
KANIKO_IMAGE='$KANIKO_IMAGE'
TRIVY_IMAGE='$TRIVY_IMAGE'
BUILDKIT_IMAGE='$(image_name buildkit)'
EOF
    mv "$CLUSTER_DIR/images.env.part" "$CLUSTER_DIR/images.env"
    say "images: $(tr '\n' ' ' <"$CLUSTER_DIR/images.env")"
}

main "$@"
