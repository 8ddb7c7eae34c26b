#!/usr/bin/env bash
# From a fresh clone to a finished build: the local cluster, the product's images, the chart, examples/, and at the
# end a table of the Builds and a pod that runs the image just built. Run it again: what is right is left alone.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/paths.sh
. "$HERE/../lib/paths.sh"
# shellcheck source=../lib/log.sh
. "$HERE/../lib/log.sh"
# shellcheck source=../lib/debian.sh
. "$HERE/../lib/debian.sh"
# shellcheck source=follow.sh
. "$HERE/follow.sh"

# What the demo applies, in this order; a directory's files in the order of their names.
EXAMPLES=$ROOT/examples
# Pods of tenants are made by the factory alone, so the demo runs its pod in a namespace of its own.
RUN_NAMESPACE=image-factory-demo
TENANT=acme
BUILD_TO_RUN=hello

main() {
    need_packages jq
    say "1/5 the cluster"
    "$ROOT/hack/cluster/up.sh"
    say "2/5 the product's images"
    "$ROOT/hack/images/build.sh"
    say "3/5 the chart"
    "$ROOT/hack/deploy/deploy.sh"
    load_cluster
    say "4/5 examples: a tenant, a project, builds"
    apply_examples
    follow_builds "tenant-$TENANT"
    say "5/5 a pod that runs $BUILD_TO_RUN"
    run_image
    builds_table "tenant-$TENANT"
    next_steps
}

load_cluster() {
    # shellcheck source=/dev/null
    . "$CLUSTER_DIR/env"
    KUBECONFIG=$CLUSTER_DIR/kubeconfig
    PATH=${CLUSTER_TOOLS:-$TOOLS_BIN}:$PATH
    export KUBECONFIG PATH
}

# Server-side, so that a second call changes nothing that is right already.
apply() { kubectl apply --server-side --field-manager image-factory-demo "$@" >/dev/null; }

apply_examples() {
    local file
    for file in "$EXAMPLES"/*.yaml; do
        apply -f "$file"
        detail "applied examples/$(basename "$file")"
        # What comes after a tenant needs its namespace.
        if grep -q '^kind: Tenant$' "$file"; then
            kubectl wait --for=condition=Ready --timeout=60s -f "$file" >/dev/null 2>&1 || wait_for_tenant
        fi
    done
}

wait_for_tenant() {
    kubectl wait --for=condition=Ready --timeout=60s "tenant/$TENANT" >/dev/null ||
        die "tenant $TENANT is not ready" "kubectl describe tenant $TENANT"
}

# The image by its digest, so that the kubelet can't take an older one of the same tag.
run_image() {
    local image digest
    image=$(build_field "$BUILD_TO_RUN" '{.status.output.image}')
    digest=$(build_field "$BUILD_TO_RUN" '{.status.output.digest}')
    [ -n "$digest" ] || die "build $BUILD_TO_RUN has no image" "kubectl describe build -n tenant-$TENANT $BUILD_TO_RUN"
    printf 'apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n' "$RUN_NAMESPACE" | apply -f -
    pull_secret | apply -f -
    if ! kubectl get pod -n "$RUN_NAMESPACE" "$(pod_name "$digest")" >/dev/null 2>&1; then
        pod_manifest "${image%:*}@$digest" "$(pod_name "$digest")" | kubectl create -f - >/dev/null
    fi
    kubectl wait -n "$RUN_NAMESPACE" --for=jsonpath='{.status.phase}'=Succeeded --timeout=120s \
        "pod/$(pod_name "$digest")" >/dev/null || die "the pod did not run" "kubectl describe pod -n $RUN_NAMESPACE"
    detail "$image says:"
    kubectl logs -n "$RUN_NAMESPACE" "$(pod_name "$digest")" | sed 's/^/          /'
}

build_field() { kubectl get build -n "tenant-$TENANT" "$1" -o "jsonpath=$2"; }

pod_name() { printf '%s-%s' "$BUILD_TO_RUN" "$(printf '%s' "${1#sha256:}" | cut -c 1-10)"; }

pull_secret() {
    local config
    config=$(jq -n --arg host "$REGISTRY" --arg user "$REGISTRY_USER" --arg password "$REGISTRY_PASSWORD" \
        '{auths: {($host): {auth: ("\($user):\($password)" | @base64)}}}')
    jq -n --arg namespace "$RUN_NAMESPACE" --arg config "$config" '{
        apiVersion: "v1", kind: "Secret", type: "kubernetes.io/dockerconfigjson",
        metadata: {name: "registry", namespace: $namespace}, stringData: {".dockerconfigjson": $config}}'
}

pod_manifest() {
    jq -n --arg image "$1" --arg name "$2" --arg namespace "$RUN_NAMESPACE" '{
        apiVersion: "v1", kind: "Pod", metadata: {name: $name, namespace: $namespace},
        spec: {restartPolicy: "Never", automountServiceAccountToken: false, imagePullSecrets: [{name: "registry"}],
               containers: [{name: "run", image: $image}]}}'
}

next_steps() {
    cat <<EOF

  Look around:   export KUBECONFIG=$CLUSTER_DIR/kubeconfig; kubectl get imagefactory -A
  One build:     kubectl describe build -n tenant-$TENANT $BUILD_TO_RUN
  The manual:    kubectl explain build.spec
  Take it down:  make down
EOF
}

main "$@"
