#!/usr/bin/env bash
# Brings up the local cluster: by kind where a Docker engine and kind answer, else
# natively on this machine. What runs already is left alone, what is dead is started
# again, and what a killed cluster left behind is put in order first.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/all.sh
. "$HERE/lib/all.sh"

main() {
    mkdir -p "$CLUSTER_DIR"
    if kind_answers; then kind_up; else native_up; fi
}

native_up() {
    preflight
    lock_state
    take_ownership
    "$HERE/../tools/build.sh"
    prepare
    start_all
    write_env_file
    say "the cluster is up: $(kubectl get nodes --no-headers | awk '{print $1, $2, $5}')"
    detail "use it:   export KUBECONFIG=$KUBECONFIG_FILE PATH=$TOOLS_BIN:\$PATH"
    detail "for tests: .cluster/env      take it down: make down"
}

preflight() {
    [ "$(uname -s)" = Linux ] || die "the native cluster needs Linux" "elsewhere: install Docker and kind"
    [ "$(id -u)" -eq 0 ] || die "the native cluster needs root" "run it as root, or install Docker and kind"
    # shellcheck disable=SC2086 # the list is meant to be split
    need_packages $CLUSTER_PACKAGES
    grep -qw overlay /proc/filesystems || die "the kernel has no overlayfs" "load the module: modprobe overlay"
}

# prepare: everything that must be there before the first process starts.
prepare() {
    # A new cluster has none of the product's images, whatever an earlier one had.
    [ -d "$DATA" ] || rm -f "$CLUSTER_DIR/images.env"
    mkdir -p "$CONFIG" "$LOGS" "$RUN" "$DATA"
    chmod 711 "$STATE_DIR"
    chmod 700 "$CONFIG" "$LOGS" "$DATA"
    kill_strays
    if [ -z "$(marked_processes)" ]; then remove_leftovers; fi
    make_all_certificates
    make_all_kubeconfigs
    ensure_network
}

# start_all: what depends on nothing first, so that it comes up while others wait.
start_all() {
    etcd_up
    registry_up
    mirror_up
    git_up
    containerd_up
    wait_until etcd 60 etcd_answers
    apiserver_up
    wait_until containerd 60 containerd_ready
    import_images
    wait_until kube-apiserver 120 apiserver_ready
    kubectl apply --server-side --force-conflicts -f "$HERE/manifests/system.yaml" >"$LOGS/apply.log" 2>&1 ||
        die "cannot apply the cluster's own objects" "$(last_line "$LOGS/apply.log")"
    controllers_up
    kubelet_up
    kube_proxy_up
    coredns_up
    storage_up
    prometheus_up
    fill_mirror
    wait_until registry 30 registry_ready
    wait_until mirror 30 mirror_ready
    wait_until git 30 git_ready
    wait_until kube-controller-manager 60 controllers_ready
    wait_until kube-proxy 60 kube_proxy_ready
    wait_until kube-proxy 120 api_service_answers
    wait_until coredns 60 coredns_ready
    wait_until prometheus 60 prometheus_ready
    wait_until kubelet 120 node_ready
}

import_images() {
    import_image "$PAUSE_IMAGE" "$(pause_image)"
    import_image "$KANIKO_IMAGE" "$(kaniko_image)"
    import_image "$TRIVY_IMAGE" "$(trivy_image)"
}

main "$@"
