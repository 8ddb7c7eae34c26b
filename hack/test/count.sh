# shellcheck shell=bash
# Counts tests by the result lines of cargo's test harness.

# count_tests FIRST LATER...: passed, failed and skipped. What the first report ignored and a later one ran was not
# skipped. A report that is not there counts as nothing.
count_tests() {
    local first=$1 passed=0 failed=0 ignored=0 report numbers
    for report in "$@"; do
        [ -f "$report" ] || continue
        numbers=$(sum_results "$report")
        # shellcheck disable=SC2086 # three numbers
        set -- $numbers
        passed=$((passed + $1))
        failed=$((failed + $2))
        if [ "$report" = "$first" ]; then ignored=$3; else ignored=$((ignored - $1 - $2)); fi
    done
    [ "$ignored" -ge 0 ] || ignored=0
    echo "$passed $failed $ignored"
}

# sum_results REPORT: passed, failed, ignored. A test that another one starts as a process of its own is not skipped, nor
# one that `make soak` runs.
sum_results() {
    local started
    started=$(grep -cE '^test .* ignored, (run|started) by (the test|.make soak.)' "$1" || true)
    sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed; \([0-9]*\) ignored;.*/\1 \2 \3/p' "$1" |
        awk -v started="$started" '{ p += $1; f += $2; i += $3 } END { print p + 0, f + 0, i - started }'
}

# failed_tests REPORT: file and name of each test that failed, by the lists that the harness ends with.
failed_tests() {
    awk '/^ +Running / { file = $NF; sub(/.*\//, "", file); sub(/-[0-9a-f]+\)$/, "", file) }
        /^failures:$/ { split("", names); count = 0; listing = 1; next }
        listing && /^    [A-Za-z0-9_:]+$/ { names[++count] = $1 }
        /^test result:/ { for (i = 1; i <= count; i++) print file, names[i]; count = listing = 0 }' "$1"
}
