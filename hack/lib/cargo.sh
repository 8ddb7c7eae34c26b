# shellcheck shell=bash
# Where cargo writes: outside of the checkout, so that dependencies are compiled once for all checkouts. Needs paths.sh.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE_DIR/target}

# For programs that need nothing of the system they run on. Relocations are packed: as a plain list they are 2 MiB, which each
# process reads as it starts.
STATIC="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
export STATIC

# Cargo takes what another checkout compiled for our own where it is newer than our files, whatever it was made of. So
# what is of this project is compiled again by who was not the last to do so.
claim_target() {
    local owner=$CARGO_TARGET_DIR/checkout
    [ "$(cat "$owner" 2>/dev/null)" != "$ROOT" ] || return 0
    mkdir -p "$CARGO_TARGET_DIR"
    find "$CARGO_TARGET_DIR" -maxdepth 4 -path '*/.fingerprint/imagefactory-*' -prune -exec rm -rf {} +
    echo "$ROOT" >"$owner"
}

claim_target
