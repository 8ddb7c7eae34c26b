#!/usr/bin/env bash
# A static QEMU that runs arm64's programs, and prints where it is. It comes out of Debian's package, which is unpacked into
# the cache and not installed: that would have the kernel run foreign programs from then on, and builds that are to be told
# that the node can't would not be.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/paths.sh
. "$HERE/../lib/paths.sh"
# shellcheck source=../lib/log.sh
. "$HERE/../lib/log.sh"

PROGRAM=qemu-aarch64-static
FOLDER=$CACHE_DIR/tools/qemu

main() {
    if [ ! -x "$FOLDER/$PROGRAM" ]; then
        command -v apt-get >/dev/null || die "this is no Debian machine" "put $PROGRAM into $FOLDER by hand"
        mkdir -p "$FOLDER" "$CACHE_DIR/log"
        exec 9>"$FOLDER/.lock"
        flock 9
        [ -x "$FOLDER/$PROGRAM" ] || run_step "QEMU out of Debian's package (once)" "$CACHE_DIR/log/qemu.log" unpack >&2
    fi
    echo "$FOLDER/$PROGRAM"
}

unpack() {
    local work
    rm -rf "$FOLDER"/.unpack.*
    work=$(mktemp -d "$FOLDER/.unpack.XXXXXX")
    cd "$work"
    apt-get download qemu-user-static || { apt-get update && apt-get download qemu-user-static; }
    dpkg-deb --fsys-tarfile qemu-user-static_*.deb | tar -x "./usr/bin/$PROGRAM"
    mv "usr/bin/$PROGRAM" "$FOLDER/$PROGRAM"
    rm -rf "$work"
}

main
