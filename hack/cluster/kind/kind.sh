# shellcheck shell=bash
# The cluster by kind, where a Docker engine and kind answer: the same addresses,
# accounts and files as the native one, its servers as containers on kind's network.
# This path has been checked as configuration only.

KIND_NAME=image-factory
KIND_NETWORK=image-factory
KIND_DIR=$CLUSTER_DIR/kind
KIND_TOOLS="crane helpers helm runc buildkit vulndb kubeconform"
KIND_KANIKO_IMAGE=gcr.io/kaniko-project/executor:v1.24.0
KIND_TRIVY_IMAGE=docker.io/aquasec/trivy:0.66.0

kind_answers() {
    command -v docker >/dev/null && command -v kind >/dev/null && docker info >/dev/null 2>&1
}

kind_settings() {
    STATE_DIR=$KIND_DIR/state
    PKI=$STATE_DIR/pki
    KANIKO_IMAGE=$KIND_KANIKO_IMAGE
    TRIVY_IMAGE=$KIND_TRIVY_IMAGE
    AUDIT_LOG=$KIND_DIR/audit/audit.log
    KUBELET_DIR=/var/lib/kubelet
    # Every server has an address of its own on the network, and its usual port.
    REGISTRY=10.90.0.11:$REGISTRY_PORT
    MIRROR=10.90.0.12:$REGISTRY_PORT
    GIT_ADDRESS=10.90.0.13
    export KIND_EXPERIMENTAL_DOCKER_NETWORK=$KIND_NETWORK
}

kind_up() {
    type -P kubectl >/dev/null || die "kubectl is missing" "install kubectl 1.34 or newer"
    kind_settings
    # shellcheck disable=SC2086 # the list is meant to be split
    "$HERE/../tools/build.sh" $KIND_TOOLS
    mkdir -p "$KIND_DIR"/{audit,policy,certs.d} "$STATE_DIR" "$KIND_DIR/log"
    LOGS=$KIND_DIR/log
    kind_certificates
    kind_network
    kind_servers
    kind_cluster
    kind_fill_mirror
    kind_prometheus
    write_env_file
    say "the cluster is up (kind)"
}

kind_certificates() {
    local names="IP:${REGISTRY%:*},IP:${MIRROR%:*},IP:$GIT_ADDRESS"
    mkdir -p "$PKI"
    make_authority registry-ca image-factory-registry
    make_certificate registry-ca registry /CN=registry "$names"
    chmod 644 "$PKI/registry.key" # read by containers with users of their own; below a folder of ours
    kind_registry_hosts /etc/containerd/certs.d/registry-ca.crt
}

# kind_registry_hosts CA-PATH: hosts.toml as the nodes see them.
kind_registry_hosts() {
    local host
    cp "$PKI/registry-ca.crt" "$KIND_DIR/certs.d/registry-ca.crt"
    for host in "$REGISTRY" "$MIRROR"; do
        mkdir -p "$KIND_DIR/certs.d/$host"
        printf 'server = "https://%s"\n[host."https://%s"]\n  ca = "%s"\n' "$host" "$host" "$1" >"$KIND_DIR/certs.d/$host/hosts.toml"
    done
}

kind_network() {
    docker network inspect "$KIND_NETWORK" >/dev/null 2>&1 || docker network create --subnet 10.90.0.0/24 "$KIND_NETWORK" >/dev/null
}

# kind_server NAME ADDRESS DOCKER-ARGUMENTS...: a container that is there and runs.
kind_server() {
    local name=$KIND_NAME-$1 address=$2
    shift 2
    if [ "$(docker inspect --format '{{.State.Running}}' "$name" 2>/dev/null)" = true ]; then return 0; fi
    docker rm --force --volumes "$name" >/dev/null 2>&1 || true
    say "starting $name"
    docker run --detach --restart unless-stopped --name "$name" --network "$KIND_NETWORK" --ip "$address" "$@" >/dev/null
}

kind_servers() {
    local tls=(--volume "$PKI:/pki:ro" --env REGISTRY_HTTP_TLS_CERTIFICATE=/pki/registry.crt
        --env REGISTRY_HTTP_TLS_KEY=/pki/registry.key --env REGISTRY_STORAGE_DELETE_ENABLED=true)
    [ -s "$KIND_DIR/htpasswd" ] ||
        docker run --rm --entrypoint htpasswd httpd:2 -nbB factory "$(secret registry-password)" >"$KIND_DIR/htpasswd"
    kind_server registry "${REGISTRY%:*}" "${tls[@]}" --volume "$KIND_DIR/htpasswd:/htpasswd:ro" \
        --env REGISTRY_AUTH=htpasswd --env REGISTRY_AUTH_HTPASSWD_PATH=/htpasswd \
        --env REGISTRY_AUTH_HTPASSWD_REALM=image-factory registry:2
    kind_server mirror "${MIRROR%:*}" "${tls[@]}" registry:2
    kind_server git "$GIT_ADDRESS" --volume "$(readlink -f "$TOOLS_BIN/gitserver"):/gitserver:ro" --volume "$PKI:/pki:ro" \
        --env "GIT_PUSH_ACCOUNT=push:$(secret git-push-password)" --env "GIT_READ_ACCOUNT=reader:$(secret git-read-password)" \
        --entrypoint /bin/sh alpine/git -c "apk add --no-cache git-daemon && exec /gitserver -root /git -listen :$GIT_PORT \
            -listen-tls :$GIT_TLS_PORT -cert /pki/registry.crt -key /pki/registry.key"
}

kind_cluster() {
    kind get clusters 2>/dev/null | grep -qx "$KIND_NAME" && return 0
    sed "s#CLUSTER_DIR#$CLUSTER_DIR#" "$ROOT/kind-config.yaml" >"$KIND_DIR/config.yaml"
    audit_policy >"$KIND_DIR/policy/audit.yaml"
    run_step "creating the kind cluster" "$KIND_DIR/log/create.log" kind create cluster --config "$KIND_DIR/config.yaml" \
        --kubeconfig "$KUBECONFIG_FILE" --wait 5m
}

# The mirror is written to here, and only its address is public inside of the network;
# what pods must not write is for the native cluster's read-only mirror to prove.
kind_fill_mirror() {
    local image databases target
    export SSL_CERT_FILE=$KIND_DIR/ca-bundle.crt
    cat "$CA_BUNDLE" "$PKI/registry-ca.crt" >"$SSL_CERT_FILE"
    for image in debian:bookworm-slim busybox:stable; do
        run_step "mirroring $image" "$LOGS/mirror.log" "$TOOLS_BIN/crane" copy "docker.io/library/$image" "$MIRROR/library/$image"
    done
    databases=$(vulnerability_database)
    for target in trivy-db:2 trivy-java-db:1; do
        "$TOOLS_BIN/vulndb" push -dir "$databases/${target%:*}" -to "$MIRROR/aquasecurity/$target"
    done
    unset SSL_CERT_FILE
}

# In the cluster, on the node's own address: from outside of it pods are not reached.
kind_prometheus() {
    kubectl apply --server-side -f "$HERE/manifests/prometheus-kind.yaml" >"$LOGS/apply.log" 2>&1 ||
        die "cannot start Prometheus" "$(last_line "$LOGS/apply.log")"
    PROMETHEUS_ADDRESS=$(docker inspect --format '{{(index .NetworkSettings.Networks "'"$KIND_NETWORK"'").IPAddress}}' \
        "$KIND_NAME-control-plane")
}

kind_down() {
    kind_answers || return 0
    kind_settings
    kind delete cluster --name "$KIND_NAME" >/dev/null 2>&1 || true
    docker rm --force --volumes "$KIND_NAME"-{registry,mirror,git} >/dev/null 2>&1 || true
    docker network rm "$KIND_NETWORK" >/dev/null 2>&1 || true
}

kind_has_image() { docker exec "$KIND_NAME-control-plane" ctr --namespace k8s.io images list -q "name==$1" | grep -q .; }
kind_load_archive() { kind load image-archive "$1" --name "$KIND_NAME"; }
