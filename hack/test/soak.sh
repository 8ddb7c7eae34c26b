#!/usr/bin/env bash
# What `make test` only samples, in full: the search of the state machine as far as memory and patience go, and the
# operator under faults on an API server of its own. Prints tables of both. SOAK_STATES says how many states of each
# case, SOAK_SCHEDULES how many schedules of faults, SOAK_PARTS which of the two (`search`, `faults`).
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/paths.sh
. "$HERE/../lib/paths.sh"
# shellcheck source=../lib/log.sh
. "$HERE/../lib/log.sh"

STATES=${SOAK_STATES:-500000}
SCHEDULES=${SOAK_SCHEDULES:-5000}
PARTS=${SOAK_PARTS:-search faults}
REPORT=$CACHE_DIR/log/soak/search.tests
FAULTS=$CACHE_DIR/log/soak/faults.tests
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE_DIR/target}

main() {
    local part failed=0
    cd "$ROOT"
    mkdir -p "$(dirname "$REPORT")"
    for part in $PARTS; do "$part" || failed=1; done
    return "$failed"
}

# Optimised: what takes the time is this very program.
faults() {
    local ended=0
    "$ROOT/hack/tools/build.sh" etcd kubernetes
    say "the operator under faults, $SCHEDULES schedules"
    IMAGEFACTORY_TOOLS=$TOOLS_BIN IMAGEFACTORY_FAULT_SCHEDULES=$SCHEDULES RUST_LOG=off \
        cargo test --profile image --package imagefactory-operator --locked --test faults -- --ignored --nocapture \
        >"$FAULTS" 2>&1 || ended=$?
    sed -n 's/^faults: /| /p' "$FAULTS"
    [ "$ended" -eq 0 ] || { grep -A6 '^FAILED' "$FAULTS" | cut -c1-600 && say "failed (whole output: $FAULTS)"; }
    return "$ended"
}

search() {
    local ended=0
    say "the state machine, $STATES states of each case"
    # One at a time: each holds its states in memory.
    IMAGEFACTORY_SEARCH_STATES=$STATES cargo test --package imagefactory-core --locked --lib build::search -- \
        --nocapture --test-threads 1 >"$REPORT" 2>&1 || ended=$?
    table
    [ "$ended" -eq 0 ] || { tail -n 60 "$REPORT" && say "failed (whole output: $REPORT)"; }
    return "$ended"
}

# From `search NAME: N states, N steps, END` in the report.
table() {
    printf '| case | states | steps | |\n|---|---:|---:|---|\n'
    sed -nE 's/^.*search ([^:]+): ([0-9]+) states, ([0-9]+) steps, (.*)$/| \1 | \2 | \3 | \4 |/p' "$REPORT"
}

main "$@"
