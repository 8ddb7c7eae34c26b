# shellcheck shell=bash
# One native cluster at a time on a machine: its addresses are fixed. A file says
# which checkout brought it up; another checkout's is not touched while it runs,
# unless that is asked for by name (or nobody is there to ask: CI).

owner_file() { echo "$STATE_DIR/owner"; }

lock_state() {
    mkdir -p "$STATE_DIR"
    exec 8>"$STATE_DIR/lock"
    flock -n 8 || { say "another command works on the cluster, waiting for it"; flock 8; }
}

owned_by_another() {
    local owner
    owner=$(cat "$(owner_file)" 2>/dev/null) || return 1
    [ -n "$owner" ] && [ "$owner" != "$ROOT" ]
}

# take_ownership: what a dead cluster of another checkout left is taken away first,
# since nothing in this one knows its passwords' users.
take_ownership() {
    if owned_by_another; then
        if [ -n "$(marked_processes)" ] && [ "${TAKE_OVER:-${CI:-}}" != true ]; then
            die "a cluster of $(cat "$(owner_file)") runs on this machine" \
                "take it down there (make down), or take it over: TAKE_OVER=true make cluster"
        fi
        say "taking away the cluster of $(cat "$(owner_file)")"
        remove_everything
        mkdir -p "$STATE_DIR"
    fi
    echo "$ROOT" >"$(owner_file)"
}
