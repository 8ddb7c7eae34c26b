# shellcheck shell=bash
# containerd 2 with runc: pods in user namespaces need it. Every pod gets a device of
# its own, routed by the host (plugin ptp), so that traffic between two pods passes
# the host's rules for Services too.

containerd_config() {
    mkdir -p "$CONFIG/cni" "$RUN/containerd" "$DATA/containerd"
    put_file "$CONFIG/containerd.toml" <<EOF
version = 3
root = "$DATA/containerd"
state = "$RUN/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing"]

[grpc]
  address = "$RUN/containerd.sock"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "$PAUSE_IMAGE"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "$CONFIG/registries"

[plugins."io.containerd.cri.v1.runtime"]
  # The kernel lets nobody without CAP_SYS_RESOURCE lower an OOM score.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$CONFIG/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "$TOOLS_BIN/runc"
        Root = "$RUN/runc"
        SystemdCgroup = false
EOF
    cni_config
    registry_hosts
}

cni_config() {
    put_file "$CONFIG/cni/10-pods.conflist" <<EOF
{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [{
    "type": "ptp",
    "ipMasq": false,
    "ipam": {
      "type": "host-local",
      "dataDir": "$RUN/cni",
      "ranges": [[{"subnet": "$POD_CIDR"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
EOF
}

# Where images come from: docker.io from the mirror, the registries here by their
# certificate authority. Credentials come from the pods' pull secrets.
registry_hosts() {
    local host
    mkdir -p "$CONFIG/registries/docker.io"
    for host in "$REGISTRY" "$MIRROR"; do
        mkdir -p "$CONFIG/registries/$host"
        printf 'server = "https://%s"\n[host."https://%s"]\n  ca = "%s"\n' "$host" "$host" "$PKI/registry-ca.crt" \
            >"$CONFIG/registries/$host/hosts.toml"
    done
    put_file "$CONFIG/registries/docker.io/hosts.toml" <<EOF
server = "https://$MIRROR"
[host."https://$MIRROR"]
  capabilities = ["pull", "resolve"]
  ca = "$PKI/registry-ca.crt"
EOF
}

containerd_up() {
    containerd_config
    PROCESS_ENV=("PATH=$TOOLS_BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    ensure_process containerd "$TOOLS_BIN/containerd" --config "$CONFIG/containerd.toml"
    PROCESS_ENV=()
}

containerd_ready() { run_ctr version; }

run_ctr() { "$TOOLS_BIN/ctr" --address "$RUN/containerd.sock" --namespace k8s.io "$@"; }
