#!/usr/bin/env bash
# Deploys the chart to the local cluster: namespaces, registry credentials, then
# `helm upgrade --install`. Run it again after any change; what is right is left alone.
#
#   hack/deploy/deploy.sh [HELM-ARGUMENT...]     as in: deploy.sh --set log.filter=debug
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/paths.sh
. "$HERE/../lib/paths.sh"
# shellcheck source=../lib/log.sh
. "$HERE/../lib/log.sh"

RELEASE=image-factory
NAMESPACE=image-factory-system
WORK_NAMESPACE=image-factory-work
CHART=$ROOT/charts/image-factory
VALUES=$CLUSTER_DIR/values-local.yaml
TIMEOUT=${DEPLOY_TIMEOUT:-5m}

main() {
    load_environment
    make_namespaces
    make_secrets
    write_values
    remove_interrupted_release
    deploy "$@"
    say "the chart is deployed: operator in $NAMESPACE, scans and publishing in $WORK_NAMESPACE"
}

# load_environment: only ever the cluster of this checkout, whatever KUBECONFIG says outside.
load_environment() {
    [ -s "$CLUSTER_DIR/env" ] || die "no cluster is there" "bring one up: make cluster"
    [ -s "$CLUSTER_DIR/images.env" ] || die "the product's images are not built" "build them: hack/images/build.sh"
    # shellcheck source=/dev/null
    . "$CLUSTER_DIR/env"
    # shellcheck source=/dev/null
    . "$CLUSTER_DIR/images.env"
    KUBECONFIG=$CLUSTER_DIR/kubeconfig
    PATH=${CLUSTER_TOOLS:-$TOOLS_BIN}:$PATH
    export KUBECONFIG PATH
    local tool
    for tool in helm kubectl; do
        command -v "$tool" >/dev/null || die "$tool is missing" "build the tools: hack/tools/build.sh"
    done
}

# apply: what comes in on standard input, as the deployment's own field manager.
apply() { kubectl apply --server-side --force-conflicts --field-manager hack-deploy -f - >/dev/null; }

make_namespaces() {
    local namespace
    for namespace in "$NAMESPACE" "$WORK_NAMESPACE"; do
        apply <<YAML
apiVersion: v1
kind: Namespace
metadata:
  name: $namespace
  labels: {pod-security.kubernetes.io/enforce: restricted}
YAML
    done
}

# make_secrets: passwords go through files that only we read, never through arguments.
make_secrets() {
    local folder config secret
    folder=$(mktemp -d)
    config=$folder/config.json
    (umask 077 && docker_config >"$config")
    for secret in image-factory-staging image-factory-output; do
        kubectl create secret generic "$secret" -n "$WORK_NAMESPACE" --type kubernetes.io/dockerconfigjson \
            --from-file ".dockerconfigjson=$config" --dry-run=client -o yaml | apply
    done
    # The local registry knows one user only; a real one gives each tenant its own.
    kubectl create secret generic image-factory-tenant-staging -n "$WORK_NAMESPACE" \
        --from-file "_default.json=$config" --dry-run=client -o yaml | apply
    rm -rf "$folder"
}

docker_config() {
    local auth
    auth=$(printf '%s:%s' "$REGISTRY_USER" "$REGISTRY_PASSWORD" | base64 -w 0)
    printf '{"auths":{"%s":{"auth":"%s"}}}\n' "$REGISTRY" "$auth"
}

# write_values: the template with every ${NAME} replaced; one that nobody knows is an error.
write_values() {
    local text name
    OPERATOR_IMAGE=$(image_value "$OPERATOR_IMAGE")
    WORKER_IMAGE=$(image_value "$WORKER_IMAGE")
    WEBHOOK_IMAGE=$(image_value "$WEBHOOK_IMAGE")
    KANIKO_IMAGE=$(image_value "$KANIKO_IMAGE")
    TRIVY_IMAGE=$(image_value "$TRIVY_IMAGE")
    BUILDKIT_IMAGE=$(image_value "$BUILDKIT_IMAGE")
    # shellcheck disable=SC2034 # read by name below
    EGRESS=$(egress_value)
    text=$(cat "$HERE/values-local.yaml.tpl")
    for name in OPERATOR_IMAGE WORKER_IMAGE WEBHOOK_IMAGE KANIKO_IMAGE TRIVY_IMAGE BUILDKIT_IMAGE KUBELET_DIR REGISTRY \
        MIRROR EGRESS TRIVY_DB_REPOSITORY TRIVY_JAVA_DB_REPOSITORY; do
        [ -n "${!name:-}" ] || die "$name is not set" "it comes from .cluster/env or .cluster/images.env: make cluster"
        text=${text//"\${$name}"/${!name}}
    done
    case $text in *\$\{*) die "values-local.yaml.tpl names something that deploy.sh does not know" ;; esac
    printf '%s\n' "$text" >"$VALUES"
}

# image_value NAME: registry/repository:tag as the chart's values have it.
image_value() {
    local name=${1%%@*} digest='' path
    case $1 in *@*) digest=${1#*@} ;; esac
    path=${name#*/}
    printf '{registry: "%s", repository: "%s", tag: "%s", digest: "%s"}' \
        "${name%%/*}" "${path%%:*}" "${path#*:}" "$digest"
}

# egress_value: registry, mirror and Git servers, whose addresses are private and so closed otherwise.
egress_value() {
    local address list=''
    for address in "$REGISTRY" "$MIRROR" "${GIT_URL:-}" "${GIT_TLS_URL:-}"; do
        address=${address#*://}
        address=${address%%/*}
        case $address in
        [0-9]*.[0-9]*.[0-9]*.[0-9]*:*) list="$list${list:+, }{cidr: ${address%:*}/32, ports: [${address##*:}]}" ;;
        esac
    done
    printf '[%s]' "$list"
}

# kubeadm's administrators, as kind's kubeconfig has them, are not in system:masters: the webhook lets them write Tenants, and
# Helm the default policy, where the values name their group. Elsewhere nothing is added.
administrators() {
    local groups
    groups=$(kubectl auth whoami -o jsonpath='{.status.userInfo.groups}') || return
    case $groups in
    *'"kubeadm:cluster-admins"'*) echo '--set=platformAdmins.groups={platform-administrators,kubeadm:cluster-admins}' ;;
    esac
}

# A deployment that was killed leaves its record behind, and Helm then refuses the next.
remove_interrupted_release() {
    kubectl delete secret -n "$NAMESPACE" --ignore-not-found \
        -l "owner=helm,name=$RELEASE,status in (pending-install, pending-upgrade, pending-rollback)" >/dev/null
}

# deploy: takes over what is there under the same names, as definitions that were applied by hand.
deploy() {
    local administrators
    administrators=$(administrators) || die "the cluster does not say who we are" "bring it up: make cluster"
    mkdir -p "$CACHE_DIR/log"
    (run_step "deploying the chart (waits until everything is ready, at most $TIMEOUT)" "$CACHE_DIR/log/deploy.log" \
        helm upgrade --install "$RELEASE" "$CHART" --namespace "$NAMESPACE" --values "$VALUES" \
        --set-file "caBundle=$REGISTRY_CA" ${administrators:+"$administrators"} --take-ownership --history-max 5 --wait \
        --timeout "$TIMEOUT" "$@") || {
        explain >&2
        exit 1
    }
}

# explain: what does not run, and why.
explain() {
    local namespace
    for namespace in "$NAMESPACE" "$WORK_NAMESPACE"; do
        echo "--- $namespace"
        kubectl get pods -n "$namespace" -o wide
        kubectl get events -n "$namespace" --field-selector type=Warning --sort-by .lastTimestamp | tail -n 5
        kubectl logs -n "$namespace" -l app.kubernetes.io/part-of=image-factory --tail 5 --prefix 2>/dev/null || true
    done
}

main "$@"
