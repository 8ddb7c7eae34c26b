#!/usr/bin/env bash
# Takes away everything that up.sh brought up, and looks whether it is gone. The
# cache of built tools stays: it belongs to no cluster.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/all.sh
. "$HERE/lib/all.sh"

main() {
    kind_down
    native_down
    rm -rf "$CLUSTER_DIR"
    report
}

native_down() {
    [ "$(id -u)" -eq 0 ] || [ -e "$STATE_DIR" ] || return 0
    [ "$(id -u)" -eq 0 ] || die "taking down the native cluster needs root"
    if [ ! -e "$STATE_DIR" ] && [ -z "$(what_is_left)" ]; then
        say "no native cluster is there"
        return 0
    fi
    if owned_by_another && [ "${TAKE_OVER:-}" != true ]; then
        say "the native cluster belongs to $(cat "$(owner_file)"): left alone"
        detail "take it down there, or here with: TAKE_OVER=true make down"
        rm -rf "$CLUSTER_DIR"
        exit 0
    fi
    lock_state
    say "taking down the native cluster"
    remove_everything
}

report() {
    local left
    left=$(what_is_left)
    [ -z "$left" ] || die "still there:" "$left"
    say "nothing is left"
}

main "$@"
