# shellcheck shell=bash
# Trivy's databases, made from hack/cluster/advisories.yaml and served by the mirror
# as the public ones are by theirs.

# vulnerability_database: path of a folder with both databases, made when missing.
vulnerability_database() {
    local advisories=$HERE/advisories.yaml dir
    dir=$CACHE_DIR/vulndb/$(digest_of "$advisories" "$TOOLS_BIN/vulndb")
    if [ ! -d "$dir" ]; then
        rm -rf "$dir.part"
        mkdir -p "$dir.part"
        "$TOOLS_BIN/vulndb" build -advisories "$advisories" -out "$dir.part" >&2
        mv -T "$dir.part" "$dir"
    fi
    echo "$dir"
}

push_databases() {
    local target
    for target in trivy-db:2 trivy-java-db:1; do
        [ -d "$1/${target%:*}" ] || continue
        SSL_CERT_FILE=$PKI/registry-ca.crt "$TOOLS_BIN/vulndb" push -dir "$1/${target%:*}" \
            -to "127.0.0.1:$MIRROR_FILL_PORT/aquasecurity/$target" >"$LOGS/mirror-push.log" 2>&1 ||
            die "cannot push $target to the mirror" "$(last_line "$LOGS/mirror-push.log")"
    done
}
