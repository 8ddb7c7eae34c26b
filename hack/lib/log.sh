# shellcheck shell=bash
# Progress that a person can follow: what is done, how long it has taken, and in
# long steps a line every few seconds that shows the work is alive.

LOG_STARTED=${LOG_STARTED:-$(date +%s)}
export LOG_STARTED
HEARTBEAT_SECONDS=${HEARTBEAT_SECONDS:-15}

elapsed() { echo $(($(date +%s) - LOG_STARTED)); }

say() { printf '[%4ds] %s\n' "$(elapsed)" "$*"; }

detail() { printf '        %s\n' "$*"; }

# die WHAT [HOW-TO-GET-IT ...]: each further argument is a line of advice.
die() {
    printf '[%4ds] ERROR: %s\n' "$(elapsed)" "$1" >&2
    shift
    local advice
    for advice in "$@"; do printf '        %s\n' "$advice" >&2; done
    exit 1
}

# last_line FILE: the last line with any text, cut to a terminal's width.
last_line() {
    tail -n 5 "$1" 2>/dev/null | tr -d '\r' | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c 1-140 || true
}

# run_step LABEL LOGFILE COMMAND...: runs the command with its output in the log
# file, prints a heartbeat, and on failure shows the end of the log.
run_step() {
    local label=$1 log=$2 started pid status=0
    shift 2
    started=$(date +%s)
    say "$label"
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    heartbeat "$pid" "$log" "$started"
    wait "$pid" || status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 25 "$log" | sed 's/^/        | /' >&2
        die "$label failed (exit code $status)" "whole log: $log"
    fi
}

heartbeat() {
    local pid=$1 log=$2 started=$3 beat
    beat=$(date +%s)
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if [ $(($(date +%s) - beat)) -ge "$HEARTBEAT_SECONDS" ]; then
            beat=$(date +%s)
            detail "… $((beat - started))s  $(last_line "$log")"
        fi
    done
}

# A command that fails where nobody expected it says so, instead of ending in silence.
unexpected() { printf '[%4ds] ERROR: unexpected failure (exit code %s) at %s:%s\n' "$(elapsed)" "$1" "$2" "$3" >&2; }
set -E
trap 'unexpected "$?" "${BASH_SOURCE[0]}" "$LINENO"' ERR
