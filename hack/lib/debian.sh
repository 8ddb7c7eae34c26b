# shellcheck shell=bash
# Debian packages, installed only when missing. Packages that bring a service are
# kept from starting it: the cluster runs its own, with its own data.

missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
    done
}

need_packages() {
    local missing
    command -v dpkg-query >/dev/null || die "this is no Debian machine" "install by hand: $*"
    missing=$(missing_packages "$@" | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    [ "$(id -u)" -eq 0 ] || die "Debian packages are missing: $missing" "as root: apt-get install $missing"
    mkdir -p "$CACHE_DIR/log"
    # shellcheck disable=SC2086 # the list is meant to be split
    run_step "Debian packages: $missing" "$CACHE_DIR/log/apt.log" install_packages $missing
}

install_packages() {
    local policy=/usr/sbin/policy-rc.d made=no status=0
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made=yes
    fi
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install -y --no-install-recommends "$@"; } || status=$?
    [ "$made" = no ] || rm -f "$policy"
    return "$status"
}
