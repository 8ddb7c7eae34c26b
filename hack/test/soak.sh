#!/usr/bin/env bash
# What `make test` only samples, in full: the search of the state machine as far as memory and patience go, then the
# faults on the cluster that `make test` has left with the release deployed. Prints a table of what was searched, and the
# figures of the faults. SOAK_STATES says how many states of each case, SOAK_FREEZES how often a leader is frozen past its
# lease, SOAK_ROUNDS how often each server is taken away.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/paths.sh
. "$HERE/../lib/paths.sh"
# shellcheck source=../lib/log.sh
. "$HERE/../lib/log.sh"

STATES=${SOAK_STATES:-500000}
FREEZES=${SOAK_FREEZES:-200}
ROUNDS=${SOAK_ROUNDS:-10}
REPORT=$CACHE_DIR/log/soak/search.tests
FAULTS=$CACHE_DIR/log/soak/faults.tests
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE_DIR/target}

main() {
    local ended=0
    cd "$ROOT"
    mkdir -p "$(dirname "$REPORT")"
    say "the state machine, $STATES states of each case"
    # One at a time: each holds its states in memory.
    IMAGEFACTORY_SEARCH_STATES=$STATES cargo test --package imagefactory-core --locked --lib build::search -- \
        --nocapture --test-threads 1 >"$REPORT" 2>&1 || ended=$?
    table
    [ "$ended" -eq 0 ] || { tail -n 60 "$REPORT" && say "failed (whole output: $REPORT)"; }
    faults || ended=$?
    return "$ended"
}

# faults: on the native cluster only, whose servers are processes of this machine.
faults() {
    local ended=0 file soaks=()
    for file in "$ROOT"/tests/tests/soak_*.rs; do soaks+=(--test "$(basename "$file" .rs)"); done
    if [ ! -s "$CLUSTER_DIR/images.env" ] || [ ! -s "$STATE_DIR/run/etcd.pid" ]; then
        say "faults on the cluster are left out: no native cluster is there with the release (make cluster; make test)"
        return 0
    fi
    say "faults on the cluster: $FREEZES freezes, $ROUNDS rounds"
    IMAGEFACTORY_FREEZES=$FREEZES IMAGEFACTORY_FAULT_ROUNDS=$ROUNDS IMAGEFACTORY_KUBELET_AWAY=75 \
        cargo test --package imagefactory-tests --locked --no-fail-fast --test alone_faults_leader \
        --test alone_faults_servers "${soaks[@]}" -- --ignored --nocapture --test-threads 1 >"$FAULTS" 2>&1 || ended=$?
    sed -nE 's/^(test (.*) \.\.\. )?figure: (.*)$/\2\n    \3/p' "$FAULTS" | sed '/^$/d'
    grep '^test result' "$FAULTS" || true
    [ "$ended" -eq 0 ] || say "failed (whole output: $FAULTS)"
    return "$ended"
}

# From `search NAME: N states, N steps, END` in the report.
table() {
    printf '| case | states | steps | |\n|---|---:|---:|---|\n'
    sed -nE 's/^.*search ([^:]+): ([0-9]+) states, ([0-9]+) steps, (.*)$/| \1 | \2 | \3 | \4 |/p' "$REPORT"
}

main "$@"
