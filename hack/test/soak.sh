#!/usr/bin/env bash
# What `make test` only samples, in full: the search of the state machine as far as memory and patience go, the operator
# under faults on an API server of its own, and the faults on the cluster that `make test` has left with the release
# deployed. Prints tables of them. SOAK_STATES says how many states of each case, SOAK_SCHEDULES how many schedules of
# faults, SOAK_FREEZES how often a leader is frozen past its lease, SOAK_ROUNDS how often each server is taken away,
# SOAK_BYPASSED how many Builds come past a webhook that is gone, SOAK_FLOOD how many Builds one tenant floods the queue with,
# SOAK_KILLS how often webhook or audit are killed under load, FUZZ_SECONDS how long each target of the fuzzer runs (half an
# hour), SOAK_BY_HAND how many real builds are compared with the same pod by hand (docs/benchmarks.md), SOAK_PARTS which of the
# parts (`search`, `faults`, `door`, `fuzz`, `cluster`, `real`).
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/paths.sh
. "$HERE/../lib/paths.sh"
# shellcheck source=../lib/cargo.sh
. "$HERE/../lib/cargo.sh"
# shellcheck source=../lib/log.sh
. "$HERE/../lib/log.sh"

STATES=${SOAK_STATES:-500000}
SCHEDULES=${SOAK_SCHEDULES:-5000}
FREEZES=${SOAK_FREEZES:-200}
ROUNDS=${SOAK_ROUNDS:-10}
KILLS=${SOAK_KILLS:-200}
BYPASSED=${SOAK_BYPASSED:-1000}
FLOOD=${SOAK_FLOOD:-200}
BY_HAND=${SOAK_BY_HAND:-8}
PARTS=${SOAK_PARTS:-search faults door fuzz cluster real}
REPORT=$CACHE_DIR/log/soak/search.tests
FAULTS=$CACHE_DIR/log/soak/faults.tests
DOOR=$CACHE_DIR/log/soak/door.tests
FUZZ=$CACHE_DIR/log/soak/fuzz.tests
ON_CLUSTER=$CACHE_DIR/log/soak/cluster.tests
REAL=$CACHE_DIR/log/soak/real.tests

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

# Both databases of the store, the webhook's spool, and the two programs together.
door() {
    local ended=0 programs=${IMAGEFACTORY_POSTGRES:-/usr/lib/postgresql/15/bin}
    "$ROOT/hack/tools/build.sh" etcd kubernetes
    cargo build --package imagefactory-webhook --locked --bin webhook
    say "webhook and audit killed under load, $KILLS times"
    {
        IMAGEFACTORY_TOOLS=$TOOLS_BIN IMAGEFACTORY_KILLS=$KILLS \
            cargo test --package imagefactory-operator --locked --test killed -- --ignored --nocapture || ended=1
        IMAGEFACTORY_POSTGRES=$programs IMAGEFACTORY_KILLS=$KILLS \
            cargo test --package imagefactory-store --locked --test store -- --include-ignored kills || ended=1
        IMAGEFACTORY_KILLS=$KILLS cargo test --package imagefactory-webhook --locked --test delivery -- kill_9 || ended=1
    } >"$DOOR" 2>&1
    sed -n 's/^figure: /| /p' "$DOOR"
    grep '^test result' "$DOOR" || true
    [ "$ended" -eq 0 ] || say "failed (whole output: $DOOR)"
    return "$ended"
}

fuzz() {
    local ended=0
    say "the fuzzer, ${FUZZ_SECONDS:-1800} s for each target"
    FUZZ_SECONDS=${FUZZ_SECONDS:-1800} "$ROOT/hack/test/fuzz.sh" >"$FUZZ" 2>&1 || ended=$?
    grep '^test ' "$FUZZ" || true
    [ "$ended" -eq 0 ] || say "failed (whole output: $FUZZ)"
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

# cluster: on the native cluster only, whose servers are processes of this machine.
cluster() {
    local ended=0
    if [ ! -s "$CLUSTER_DIR/images.env" ] || [ ! -s "$STATE_DIR/run/etcd.pid" ]; then
        say "faults on the cluster are left out: no native cluster is there with the release (make cluster; make test)"
        return 0
    fi
    say "faults on the cluster: $FREEZES freezes, $ROUNDS rounds"
    IMAGEFACTORY_FREEZES=$FREEZES IMAGEFACTORY_FAULT_ROUNDS=$ROUNDS IMAGEFACTORY_KUBELET_AWAY=75 \
        IMAGEFACTORY_BYPASSED=$BYPASSED IMAGEFACTORY_FLOOD=$FLOOD \
        cargo test --package imagefactory-tests --locked --no-fail-fast --test alone --test soak -- --ignored --nocapture \
        --test-threads 1 faults_leader:: faults_servers:: bypassed:: queue:: \
        node:: reports:: volumes:: >"$ON_CLUSTER" 2>&1 || ended=$?
    told "$ON_CLUSTER"
    [ "$ended" -eq 0 ] || say "failed (whole output: $ON_CLUSTER)"
    return "$ended"
}

# Last: nothing else may run beside what it measures.
real() {
    local ended=0
    if [ ! -s "$CLUSTER_DIR/images.env" ]; then
        say "real builds beside the same by hand are left out: no cluster is there with the release (make cluster; make test)"
        return 0
    fi
    say "$BY_HAND real builds of each method beside the same by hand; the load of this machine now is $(cut -d ' ' -f 1-3 /proc/loadavg)"
    IMAGEFACTORY_BY_HAND=$BY_HAND cargo test --workspace --locked --test soak -- --ignored --nocapture \
        --test-threads 1 by_hand:: >"$REAL" 2>&1 || ended=$?
    told "$REAL"
    [ "$ended" -eq 0 ] || say "failed (whole output: $REAL)"
    return "$ended"
}

# told FILE: each test with its figures, from its output.
told() {
    sed -nE 's/^(test (.*) \.\.\. )?figure: (.*)$/\2\n    \3/p' "$1" | sed '/^$/d'
    grep '^test result' "$1" || true
}

# From `search NAME: N states, N steps, END` in the report.
table() {
    printf '| case | states | steps | |\n|---|---:|---:|---|\n'
    sed -nE 's/^.*search ([^:]+): ([0-9]+) states, ([0-9]+) steps, (.*)$/| \1 | \2 | \3 | \4 |/p' "$REPORT"
}

main "$@"
