#!/usr/bin/env bash
# Measures the operator on a control plane of its own; see docs/benchmarks.md.
#
#   hack/bench/run.sh [FLAG...]       flags go to the bench: --groups work, --drain 200, …
#   BENCH_SCALE=small                 a smoke run of a few minutes
#
# No cluster is needed and none is touched. Figures go to .cluster/bench.log as well.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/paths.sh
. "$HERE/../lib/paths.sh"
# shellcheck source=../lib/cargo.sh
. "$HERE/../lib/cargo.sh"
# shellcheck source=../lib/log.sh
. "$HERE/../lib/log.sh"

TARGET=$(uname -m)-unknown-linux-gnu

# Operator and webhook as their images have them, and the bench beside it.
compile() {
    cd "$ROOT"
    RUSTFLAGS=$STATIC cargo build --locked --profile image --target "$TARGET" \
        --package imagefactory-operator --bin operator --package imagefactory-webhook --bin webhook \
        --package imagefactory-bench --bin bench
}

# The webhook's decision by itself, in one process.
decide() {
    cd "$ROOT"
    RUSTFLAGS=$STATIC cargo bench --locked --profile image --target "$TARGET" \
        --package imagefactory-webhook --bench decision
}

main() {
    command -v openssl >/dev/null || die "openssl is missing" "install it: apt-get install openssl"
    "$ROOT/hack/tools/build.sh" etcd kubernetes
    # Third parties' programs, which only these groups are measured beside.
    case " $* " in *rivals*) "$ROOT/hack/tools/build.sh" gatekeeper ;; esac
    case " $* " in *peers*) "$ROOT/hack/tools/build.sh" tekton shipwright ;; esac
    mkdir -p "$CACHE_DIR/log"
    run_step "building operator, webhook and bench" "$CACHE_DIR/log/cargo-bench.log" compile
    say "measuring; the load of this machine now is $(cut -d ' ' -f 1-3 /proc/loadavg)"
    local lines=()
    case " $* " in
    *" --groups "*) ;;
    *) run_step "decisions in process" "$CACHE_DIR/log/decision.log" decide && lines=(--lines "$CACHE_DIR/log/decision.log") ;;
    esac
    local binaries=$CARGO_TARGET_DIR/$TARGET/image
    "$binaries/bench" run --tools "$TOOLS_BIN" --operator "$binaries/operator" --root "$ROOT" \
        --scale "${BENCH_SCALE:-full}" ${lines[@]+"${lines[@]}"} "$@" | tee "$CLUSTER_DIR/bench.log"
}

main "$@"
