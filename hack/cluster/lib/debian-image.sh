# shellcheck shell=bash
# debian:bookworm-slim for the mirror: made by debootstrap from the same archive that
# this machine's own apt uses, and slimmed as the well-known image of that name is.

DEBIAN_SUITE=bookworm

# shellcheck disable=SC2016 # apt expands these, not the shell
debian_archive() {
    apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
        awk -v want="$1" '$2 == want { print $1; exit }'
}

debian_image() {
    local key rootfs
    key=$DEBIAN_SUITE-$(digest_of "${BASH_SOURCE[0]}")-$ARCH
    rootfs=$IMAGE_CACHE/debian-$key.rootfs.tar
    if [ ! -s "$rootfs" ]; then make_debian_rootfs "$rootfs" >&2; fi
    cached_image debian "$key" -tag "docker.io/library/debian:$DEBIAN_SUITE-slim" -rootfs "$rootfs" \
        -env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin -cmd bash
}

make_debian_rootfs() {
    local out=$1 work archive
    archive=$(debian_archive "$DEBIAN_SUITE")
    [ -n "$archive" ] || die "apt knows no archive of Debian $DEBIAN_SUITE" "run apt-get update, or add one to apt's sources"
    mkdir -p "$IMAGE_CACHE"
    rm -rf "$IMAGE_CACHE"/.debian.*
    work=$(mktemp -d "$IMAGE_CACHE/.debian.XXXXXX")
    chmod 755 "$work"
    run_step "debian:$DEBIAN_SUITE-slim by debootstrap (once)" "$CACHE_DIR/log/debootstrap.log" \
        debootstrap --variant=minbase --arch "$ARCH" "$DEBIAN_SUITE" "$work" "$archive"
    write_debian_sources "$work" "$archive"
    slim_debian "$work"
    tar --create --file "$out.part" --directory "$work" --numeric-owner --sort=name --one-file-system .
    mv "$out.part" "$out"
    rm -rf "$work"
}

write_debian_sources() {
    local security
    security=$(debian_archive "$DEBIAN_SUITE-security")
    {
        echo "deb $2 $DEBIAN_SUITE main"
        echo "deb $2 $DEBIAN_SUITE-updates main"
        [ -z "$security" ] || echo "deb $security $DEBIAN_SUITE-security main"
    } >"$1/etc/apt/sources.list"
}

slim_debian() {
    rm -rf "${1:?}"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/* "$1"/var/log/*.log "${1:?}"/dev/* \
        "$1"/usr/share/man/* "$1"/usr/share/locale/* "$1"/usr/share/info/*
    find "$1/usr/share/doc" -type f ! -name copyright -delete
    rm -f "$1/etc/resolv.conf" "$1/etc/hostname"
    cat >"$1/etc/dpkg/dpkg.cfg.d/docker" <<'EOF'
force-unsafe-io
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
EOF
    echo 'APT::Install-Recommends "false";' >"$1/etc/apt/apt.conf.d/docker-no-recommends"
    printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
    chmod 755 "$1/usr/sbin/policy-rc.d"
}

# A shell of two megabytes for pods of tests.
busybox_image() {
    cached_image busybox "$(digest_of /bin/busybox)" -tag docker.io/library/busybox:stable \
        -dir /tmp:1777 -dir /bin:755 -file /bin/busybox:/bin/busybox:755 -file /bin/busybox:/bin/sh:755 \
        -env PATH=/bin -cmd sh
}
