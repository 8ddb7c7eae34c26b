#!/usr/bin/env bash
# All that is tested: formatting and lints, the tests that need nothing, and the black-box tests against the chart on the
# local cluster. Those that run alone mostly wait for leases and for restarts, so what needs no cluster is compiled and run
# meanwhile. It goes on after a failure, and its last line counts the tests. Nothing is skipped where the machine can run a
# cluster.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/paths.sh
. "$HERE/../lib/paths.sh"
# shellcheck source=../lib/cargo.sh
. "$HERE/../lib/cargo.sh"
# shellcheck source=../lib/log.sh
. "$HERE/../lib/log.sh"
# shellcheck source=../lib/debian.sh
. "$HERE/../lib/debian.sh"
# shellcheck source=count.sh
. "$HERE/count.sh"

# Tests against the cluster that run at a time. Each may be a build, and most of a build is waiting.
THREADS=${TEST_THREADS:-12}
REPORTS=$CACHE_DIR/log/test
FAILED_STEPS=()
# Black-box tests that failed and are run once more by themselves (docs/decisions/0028): so many of a step, and no more.
MOST_UNSTEADY=3
UNSTEADY=()
# Processes of what runs beside the rest, by the names of their reports.
declare -A MEANWHILE=()
# Before what runs beside black-box tests, whose waits have ends.
GENTLY=(nice -n 10)
# Below, cargo is always given the whole workspace and a target of it: for one package alone it would choose other features,
# and compile all again.

main() {
    cd "$ROOT"
    rm -rf "$REPORTS"
    mkdir -p "$REPORTS"
    trap nothing_goes_on EXIT
    step formatting cargo fmt --all --check || true
    # The chart is rendered by Helm, also where there is no cluster.
    step "tools for the chart" "$ROOT/hack/tools/build.sh" helm kubeconform schemas || true
    meanwhile dependencies of_others
    local cluster=
    if ! can_run_a_cluster; then
        say "no cluster can be run here: it takes root, or Docker with kind"
    elif deployed; then
        cluster=yes
        meanwhile alone those_alone
    fi
    tests "tests that need nothing" without-cluster "${GENTLY[@]}" cargo test --workspace --locked --no-fail-fast
    # Not first: what runs alone takes longest of all, and begins the sooner.
    step lints "${GENTLY[@]}" cargo clippy --workspace --all-targets --locked -- -D warnings || true
    tests "a sample of faults at every step, on an API server of their own" faults under_faults
    tests "the store on a real PostgreSQL" postgres on_postgres
    tests "webhook and audit killed under load, webhook and operator cut off" killed killed_and_cut_off
    meanwhile fuzz nice -n 15 "$ROOT/hack/test/fuzz.sh"
    [ -z "$cluster" ] || on_the_cluster
    ended fuzz "the fuzzer, ${FUZZ_SECONDS:-60} s for each target"
    ended dependencies "licences, origins and bans of the dependencies"
    finish
}

# The advisories too are asked about by a release pipeline, which has their database (deny.toml).
of_others() {
    "$ROOT/hack/tools/build.sh" cargo-deny
    "$TOOLS_BIN/cargo-deny" --locked --workspace check bans licenses sources
}

deployed() {
    step "the cluster" "$ROOT/hack/cluster/up.sh" &&
        step "the product's images" "$ROOT/hack/images/build.sh" &&
        step "the chart on the cluster" "$ROOT/hack/deploy/deploy.sh"
}

on_the_cluster() {
    SHOW_EACH=yes ended alone "black-box tests that run alone"
    once_more alone
    tests "the worker against the real registry, and the scanner against one that lies" registry on_the_registry
    tests "the worker against a registry with the referrers API" referrers on_a_registry_with_referrers
    tests "the archive against a real S3" s3 on_s3
    SHOW_EACH=yes tests "black-box tests, $THREADS at a time" together black_box "$THREADS" --test cluster --test chart
    once_more together
    # Last of all: while it runs, there is no product.
    tests "the release upgraded, uninstalled, installed again" release black_box 1 --test alone -- release::
}

on_the_registry() {
    (
        set -a
        # shellcheck source=/dev/null
        . "$CLUSTER_DIR/env"
        TRIVY=$TOOLS_BIN/trivy cargo test --workspace --locked --test worker -- --ignored real_registry real_scanner
    )
}

on_a_registry_with_referrers() {
    (
        folder=$(mktemp -d)
        server=
        trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
        "$ROOT/hack/tools/build.sh" registry
        REGISTRY_PASSWORD=$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n') \
            "$TOOLS_BIN/registry-with-referrers" -folder "$folder" &
        server=$!
        for _ in {1..50}; do [ -s "$folder/env" ] || sleep 0.1; done
        set -a
        # shellcheck source=/dev/null
        . "$folder/env"
        cargo test --workspace --locked --test worker -- --ignored real_registry
    )
}

on_s3() {
    "$ROOT/hack/tools/build.sh" minio
    MINIO=$TOOLS_BIN/minio cargo test --workspace --locked --test archive_s3 -- --ignored real_s3
}

# The tests start servers of their own, as nobody where we are root. 15 is the oldest that we support.
need_postgres() {
    IMAGEFACTORY_POSTGRES=${IMAGEFACTORY_POSTGRES:-/usr/lib/postgresql/15/bin}
    export IMAGEFACTORY_POSTGRES
    [ -x "$IMAGEFACTORY_POSTGRES/initdb" ] || need_packages postgresql-15
}

# Needs no cluster.
on_postgres() {
    need_postgres
    "${GENTLY[@]}" cargo test --workspace --locked --test store -- --ignored postgres
}

# Needs no cluster: etcd and kube-apiserver run for it alone. `make soak` runs the full count.
under_faults() {
    "$ROOT/hack/tools/build.sh" etcd kubernetes
    IMAGEFACTORY_TOOLS=$TOOLS_BIN IMAGEFACTORY_FAULT_SAMPLE=${FAULT_SAMPLE:-8} \
        IMAGEFACTORY_FAULT_SCHEDULES=${FAULT_SCHEDULES:-100} \
        "${GENTLY[@]}" cargo test --workspace --locked --test faults -- --ignored --nocapture
}

# Needs no cluster either: the programs beside an API server of their own.
killed_and_cut_off() {
    need_postgres
    "$ROOT/hack/tools/build.sh" etcd kubernetes
    # Leaves the program itself beside its tests.
    "${GENTLY[@]}" cargo test --workspace --locked --no-run --test router
    IMAGEFACTORY_TOOLS=$TOOLS_BIN IMAGEFACTORY_KILLS=${KILLS:-20} \
        "${GENTLY[@]}" cargo test --workspace --locked --test killed -- --ignored --nocapture
}

# black_box THREADS TARGETS... [-- FILTERS...]: the tests there that need the cluster.
black_box() {
    local threads=$1 targets=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do targets+=("$1") && shift; done
    [ $# -eq 0 ] || shift
    cargo test --workspace --locked --no-fail-fast "${targets[@]}" -- --ignored --test-threads "$threads" "$@"
}

those_alone() {
    # shellcheck disable=SC2046 # words for the test harness, or none
    black_box 1 --test alone -- $(unfit_for_this_cluster) --skip release::
}

# unfit_for_this_cluster: leaves out what takes down servers, where these are no processes of this machine.
unfit_for_this_cluster() {
    [ -s "$STATE_DIR/run/etcd.pid" ] || echo --skip faults_
}

can_run_a_cluster() {
    [ "$(uname -s)" = Linux ] && [ "$(id -u)" -eq 0 ] && return 0
    command -v docker >/dev/null && command -v kind >/dev/null && docker info >/dev/null 2>&1
}

# once_more NAME: the tests that failed in that report, by themselves, where they are few. What passes then is told by its
# name at the end: the machine was too busy for it, or there is a race that somebody has to find.
once_more() {
    local failed=() file name which last=$((${#FAILED_STEPS[@]} - 1))
    [ -e "$REPORTS/$1.tests.failed" ] || return 0
    mapfile -t failed < <(failed_tests "$REPORTS/$1.tests")
    [ "${#failed[@]}" -gt 0 ] && [ "${#failed[@]}" -le "$MOST_UNSTEADY" ] || return 0
    for which in "${failed[@]}"; do
        read -r file name <<<"$which"
        say "once more, by itself: $name"
        cargo test --workspace --locked --test "$file" -- --ignored --exact --test-threads 1 "$name" \
            >"$REPORTS/again.tests" 2>&1 || { progress <"$REPORTS/again.tests" && return 0; }
        grep -q '^test result: ok\. 1 passed' "$REPORTS/again.tests" || return 0
    done
    unset "FAILED_STEPS[$last]"
    UNSTEADY+=("${failed[@]}")
}

# step LABEL COMMAND...: shows that it lives; a failure is told and remembered.
step() {
    local label=$1 log
    shift
    log=$REPORTS/${label//[^a-z]/-}.log
    (run_step "$label" "$log" "$@") || {
        FAILED_STEPS+=("$label")
        return 1
    }
}

# tests LABEL NAME COMMAND...: the whole output goes to a report, progress and failures to the terminal.
tests() {
    local label=$1 report=$REPORTS/$2.tests
    shift 2
    say "$label"
    { "$@" 2>&1 || touch "$report.failed"; } | tee "$report" | progress
    [ ! -e "$report.failed" ] || FAILED_STEPS+=("$label (whole output: $report)")
}

# meanwhile NAME COMMAND...: goes on beside what follows, until `ended NAME LABEL`.
meanwhile() {
    local name=$1 report=$REPORTS/$1.tests
    shift
    { "$@" >"$report" 2>&1 || touch "$report.failed"; } &
    MEANWHILE[$name]=$!
}

# What was begun ends with us, however we end: it would hold what the next run waits for.
nothing_goes_on() {
    local process
    for process in "${MEANWHILE[@]}"; do kill_with_children "$process"; done
}

kill_with_children() {
    local child
    for child in $(pgrep -P "$1"); do kill_with_children "$child"; done
    kill "$1" 2>/dev/null || true
}

# ended NAME LABEL: shows what that has said and says, until it is done.
ended() {
    local report=$REPORTS/$1.tests
    say "$2"
    tail --pid="${MEANWHILE[$1]}" -n +1 -f "$report" | progress
    wait "${MEANWHILE[$1]}" || true
    unset "MEANWHILE[$1]"
    [ ! -e "$report.failed" ] || FAILED_STEPS+=("$2 (whole output: $report)")
}

# progress: which file runs, each test of the cluster as it ends, every result, and what failed in full.
progress() {
    local line failing=no
    while IFS= read -r line; do
        case $line in
        *'Running '* | *'Doc-tests '*) detail "$(sed 's/^ *//; s/ (.*//' <<<"$line")" ;;
        'failures:') failing=yes ;;
        'test result:'*) failing=no && detail "$line" ;;
        'test '*' ... FAILED'*) say "$line" ;;
        'test '*' ... ok') [ "${SHOW_EACH:-no}" = no ] || say "$line" ;;
        error* | *'could not compile'*) say "$line" ;;
        *) [ "$failing" = no ] || printf '        | %s\n' "$line" ;;
        esac
    done
}

finish() {
    local passed failed skipped label found lost
    # The worker's tests against a second registry are the same ones again: they may fail, and count once.
    read -r passed failed skipped < <(count_tests "$REPORTS/without-cluster.tests" "$REPORTS/faults.tests" "$REPORTS/postgres.tests" \
        "$REPORTS/killed.tests" \
        "$REPORTS/registry.tests" "$REPORTS/s3.tests" "$REPORTS/together.tests" "$REPORTS/alone.tests" "$REPORTS/release.tests")
    # Targets of the fuzzer are no tests of cargo's, none of which they could make up for.
    read -r found lost _ < <(count_tests "$REPORTS/fuzz.tests")
    passed=$((passed + found + ${#UNSTEADY[@]})) failed=$((failed + lost - ${#UNSTEADY[@]}))
    for label in ${UNSTEADY[@]+"${UNSTEADY[@]}"}; do say "unsteady, failed among others and passed by itself: $label"; done
    for label in ${FAILED_STEPS[@]+"${FAILED_STEPS[@]}"}; do say "failed: $label"; done
    [ "$skipped" -eq 0 ] || ! can_run_a_cluster || say "failed: $skipped tests were skipped that this machine can run"
    say "done"
    echo "$passed passed, $failed failed, $skipped skipped"
    [ ${#FAILED_STEPS[@]} -eq 0 ] && [ "$failed" -eq 0 ] || exit 1
    [ "$skipped" -eq 0 ] || ! can_run_a_cluster || exit 1
}

main "$@"
