# shellcheck shell=bash
# Long-running processes: started in sessions of their own, found again by a file
# with process number, start time and a digest of the command, restarted only when
# dead or when what they should run has changed.

# start_time PID: of the kernel's clock; tells a process from a later one of its number.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

process_file() { echo "$RUN/$1.pid"; }

# is_alive NAME: the recorded process exists and is the one that was started.
is_alive() {
    local pid started
    { read -r pid started _ <"$(process_file "$1")"; } 2>/dev/null || return 1
    [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ]
}

recorded_digest() { cut -d ' ' -f 3 "$(process_file "$1")" 2>/dev/null || true; }

# command_digest NAME COMMAND...: of the command line, the program behind its link, the
# environment it is given and the configuration files in $CONFIG/NAME*.
command_digest() {
    local name=$1
    shift
    { printf '%s\n' "$@" "$(readlink -f "$(type -P "$1")")" "${GO_FRUGAL[@]}" "${PROCESS_ENV[@]}"; cat "$CONFIG/$name"* 2>/dev/null || true; } | sha256sum | cut -c 1-16
}

PROCESS_ENV=()

# Every long-running process carries this variable, and what it starts inherits it:
# so all are found again even when other traces of them are lost.
PROCESS_MARK=IMAGE_FACTORY_CLUSTER

# marked_processes: the process numbers of everything that carries the mark.
marked_processes() {
    local file
    for file in /proc/[0-9]*/environ; do
        if tr '\0' '\n' 2>/dev/null <"$file" | grep -qx "$PROCESS_MARK=$STATE_DIR"; then
            file=${file%/environ}
            echo "${file#/proc/}"
        fi
    done 2>/dev/null
}

# ensure_process NAME COMMAND...: with PROCESS_ENV=(NAME=VALUE...) for secrets that
# must not stand in a command line.
ensure_process() {
    local name=$1 digest
    shift
    digest=$(command_digest "$name" "$@")
    if is_alive "$name" && [ "$(recorded_digest "$name")" = "$digest" ]; then return 0; fi
    stop_process "$name"
    say "starting $name"
    launch "$name" "$digest" "$@"
}

# The servers are programs in Go that live beside builds on few processors: they collect garbage less often than they
# would by themselves, until one of them has grown to where a laptop would notice.
GO_FRUGAL=(GOGC=400 GOMEMLIMIT=1GiB)

launch() {
    local name=$1 digest=$2 pid
    shift 2
    rotate_log "$LOGS/$name.log"
    (
        cd /
        exec 8>&-
        exec env "$PROCESS_MARK=$STATE_DIR" "${GO_FRUGAL[@]}" "${PROCESS_ENV[@]}" setsid "$@" </dev/null >>"$LOGS/$name.log" 2>&1
    ) &
    pid=$!
    disown "$pid"
    echo "$pid $(start_time "$pid") $digest" >"$(process_file "$name")"
}

rotate_log() {
    [ ! -s "$1" ] || mv -f "$1" "$1.old"
    (umask 077 && : >"$1")
}

stop_process() {
    local pid waited=0
    if is_alive "$1"; then
        read -r pid _ <"$(process_file "$1")"
        kill "$pid" 2>/dev/null || true
        while is_alive "$1" && [ "$waited" -lt 50 ]; do
            sleep 0.1
            waited=$((waited + 1))
        done
        if is_alive "$1"; then kill -9 "$pid" 2>/dev/null || true; fi
    fi
    rm -f "$(process_file "$1")"
}

# wait_until NAME SECONDS COMMAND...: ends early, with the end of its log, when the
# process dies; quiet on success.
wait_until() {
    local name=$1 limit=$2 started beat
    shift 2
    started=$(date +%s) beat=$started
    until "$@" >/dev/null 2>&1; do
        if ! is_alive "$name"; then process_failed "$name" "$name ended while starting"; fi
        if [ $(($(date +%s) - started)) -ge "$limit" ]; then
            process_failed "$name" "$name is not ready after $limit seconds"
        fi
        if [ $(($(date +%s) - beat)) -ge 5 ]; then
            beat=$(date +%s)
            detail "… waiting for $name, $((beat - started))s  $(last_line "$LOGS/$name.log")"
        fi
        sleep 0.2
    done
}

process_failed() {
    tail -n 25 "$LOGS/$1.log" | cut -c 1-300 | sed 's/^/        | /' >&2
    die "$2" "whole log: $LOGS/$1.log"
}

# kill_strays: ends processes of the cluster that no file records, as a removed
# state leaves them; shims belong to containerd and are left to it.
kill_strays() {
    local pid recorded
    recorded=" $(cat "$RUN"/*.pid 2>/dev/null | cut -d ' ' -f 1 | tr '\n' ' ' || true) "
    for pid in $(marked_processes); do
        case "$recorded" in *" $pid "*) continue ;; esac
        case "$(cat "/proc/$pid/comm" 2>/dev/null)" in containerd-shim* | '') continue ;; esac
        say "ending a stray process: $pid $(cat "/proc/$pid/comm" 2>/dev/null)"
        kill -9 "$pid" 2>/dev/null || true
    done
}
