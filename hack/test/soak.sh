#!/usr/bin/env bash
# What `make test` only samples, in full: the search of the state machine as far as memory and patience go. Prints a
# table of what was searched. SOAK_STATES says how many states of each case.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/paths.sh
. "$HERE/../lib/paths.sh"
# shellcheck source=../lib/log.sh
. "$HERE/../lib/log.sh"

STATES=${SOAK_STATES:-500000}
REPORT=$CACHE_DIR/log/soak/search.tests
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
    return "$ended"
}

# From `search NAME: N states, N steps, END` in the report.
table() {
    printf '| case | states | steps | |\n|---|---:|---:|---|\n'
    sed -nE 's/^.*search ([^:]+): ([0-9]+) states, ([0-9]+) steps, (.*)$/| \1 | \2 | \3 | \4 |/p' "$REPORT"
}

main "$@"
