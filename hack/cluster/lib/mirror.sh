# shellcheck shell=bash
# What the mirror of docker.io serves. It is written through a second server on
# loopback, which runs only while something is missing.

mirror_record() { echo "$DATA/mirror-filled"; }

# fill_mirror: pushes what the record does not name yet.
fill_mirror() {
    local wanted debian busybox vulnerabilities
    debian=$(debian_image)
    busybox=$(busybox_image)
    vulnerabilities=$(vulnerability_database)
    wanted=$(printf '%s\n' "$debian" "$busybox" "$vulnerabilities")
    [ "$(cat "$(mirror_record)" 2>/dev/null)" != "$wanted" ] || return 0
    say "filling the mirror: debian:bookworm-slim, busybox:stable, vulnerability databases"
    mirror_fill_up
    wait_until mirror-fill 30 mirror_fill_ready
    push_to_mirror "$debian" library/debian:bookworm-slim
    push_to_mirror "$debian" library/debian:bookworm
    push_to_mirror "$busybox" library/busybox:stable
    push_to_mirror "$busybox" library/busybox:latest
    push_databases "$vulnerabilities"
    stop_process mirror-fill
    printf '%s\n' "$wanted" >"$(mirror_record)"
}

push_to_mirror() {
    SSL_CERT_FILE=$PKI/registry-ca.crt "$TOOLS_BIN/crane" push "$1" "127.0.0.1:$MIRROR_FILL_PORT/$2" \
        >"$LOGS/mirror-push.log" 2>&1 || die "cannot push $2 to the mirror" "$(last_line "$LOGS/mirror-push.log")"
}
