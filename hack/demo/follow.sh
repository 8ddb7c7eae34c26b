# shellcheck shell=bash
# Follows Builds until all have ended: a line for each change of state, a heartbeat in between, a table at the end.

# follow_builds NAMESPACE
follow_builds() {
    local namespace=$1 seen='' states deadline line quiet=0
    deadline=$(($(date +%s) + ${FOLLOW_SECONDS:-1200}))
    while :; do
        states=$(build_states "$namespace")
        while IFS= read -r line; do
            case $seen in *"|$line|"*) continue ;; esac
            detail "$line"
            seen="$seen|$line|"
            quiet=0
        done <<<"$states"
        grep -qvE ' (Succeeded|Failed|Cancelled|TimedOut) ' <<<"$states" || return 0
        [ "$(date +%s)" -lt "$deadline" ] || die "builds did not end in time" "kubectl get builds -n $namespace -o wide"
        sleep 2
        quiet=$((quiet + 2))
        [ $((quiet % 20)) -ne 0 ] || detail "… still at it ($(grep -cvE ' (Succeeded|Failed|Cancelled|TimedOut) ' <<<"$states") to go)"
    done
}

build_states() {
    kubectl get builds -n "$1" -o json | jq -r '.items[] |
        "\(.metadata.name): \(.status.phase // "new") (\((.status.conditions // [])[] | select(.type == "Succeeded") | .reason))"'
}

# builds_table NAMESPACE: state, digest, findings, verdict, time.
builds_table() {
    echo
    {
        printf 'BUILD\tSTATE\tDIGEST\tCRIT\tHIGH\tMED\tLOW\tVERDICT\tSECONDS\n'
        kubectl get builds -n "$1" --sort-by .metadata.creationTimestamp -o json | jq -r '
            def time: if . then sub("\\.[0-9]+"; "") | fromdateiso8601 else null end;
            .items[] | .status as $s | ($s.scan.vulnerabilities // {}) as $v | [
                .metadata.name, ($s.phase // "-"), ($s.output.digest // $s.staged.digest // "-")[0:19],
                ($v.critical // "-"), ($v.high // "-"), ($v.medium // "-"), ($v.low // "-"), ($s.verdict.result // "-"),
                (if $s.startTime and $s.completionTime then ($s.completionTime | time) - ($s.startTime | time) else "-" end)
            ] | @tsv'
    } | column -t -s "$(printf '\t')" | sed 's/^/  /'
}
