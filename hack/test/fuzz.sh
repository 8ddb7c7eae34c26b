#!/usr/bin/env bash
# Fuzzes the webhook's door: a target for the review and one for each kind (webhook/fuzz). Says of each how it ended, as cargo's
# test harness would, so that it is counted like other tests. What was found stays in the cache, beside the corpus.
#
#   FUZZ_SECONDS=60      how long each target runs
#   FUZZ_AT_ONCE=2       how many run at a time
#   hack/test/fuzz.sh build tenant      only these
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/paths.sh
. "$HERE/../lib/paths.sh"
# shellcheck source=../lib/cargo.sh
. "$HERE/../lib/cargo.sh"

SECONDS_EACH=${FUZZ_SECONDS:-60}
AT_ONCE=${FUZZ_AT_ONCE:-2}
FOLDER=${FUZZ_FOLDER:-$CACHE_DIR/fuzz}
# Longest input, in bytes. Objects of megabytes are tests of their own.
LONGEST=16384

main() {
    cd "$ROOT"
    RUSTC_WORKSPACE_WRAPPER=$HERE/instrumented.sh \
        cargo build --locked --workspace --features imagefactory-fuzz/libfuzzer --bin fuzz
    # Another build of the same package must not take the program away meanwhile.
    mkdir -p "$FOLDER"
    install "$CARGO_TARGET_DIR/debug/fuzz" "$FOLDER/program"
    local targets=("$@") target passed=0 failed=0
    [ ${#targets[@]} -gt 0 ] || targets=(review tenant tenantsettings project build imagescan quarantinerequest sorrecord imagepolicy)
    printf '%s\n' "${targets[@]}" | xargs -P "$AT_ONCE" -I '{}' "$HERE/fuzz.sh" --one '{}' || true
    echo "     Running fuzz targets, $SECONDS_EACH s each"
    for target in "${targets[@]}"; do
        if [ -e "$FOLDER/$target.ok" ]; then
            passed=$((passed + 1))
            echo "test fuzz_$target ... ok ($(tail -n 1 "$FOLDER/$target.log"))"
        else
            failed=$((failed + 1))
            echo "test fuzz_$target ... FAILED"
            tail -n 40 "$FOLDER/$target.log" | cut -c1-600
        fi
    done
    echo "test result: $([ "$failed" -eq 0 ] && echo ok || echo FAILED). $passed passed; $failed failed; 0 ignored; 0 measured"
    [ "$failed" -eq 0 ]
}

# one TARGET: the corpus of earlier runs is taken up again; only what adds to it is kept.
one() {
    local target=$1 corpus=$FOLDER/corpus/$1 found=$FOLDER/found/$1
    rm -f "$FOLDER/$target.ok"
    mkdir -p "$corpus" "$found"
    FUZZ_TARGET=$target FUZZ_SEEDS=$corpus "$FOLDER/program" "$corpus" "-artifact_prefix=$found/" \
        "-max_total_time=$SECONDS_EACH" "-max_len=$LONGEST" -timeout=10 -rss_limit_mb=1024 -use_value_profile=1 \
        -print_final_stats=0 >"$FOLDER/$target.log" 2>&1 || return 0
    touch "$FOLDER/$target.ok"
}

if [ "${1:-}" = --one ]; then one "$2"; else main "$@"; fi
