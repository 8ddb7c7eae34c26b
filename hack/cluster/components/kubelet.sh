# shellcheck shell=bash
# The kubelet of the one node, set for control groups of version 1 as well.

kubelet_config() {
    put_file "$CONFIG/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $PKI/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
healthzBindAddress: 127.0.0.1
containerRuntimeEndpoint: unix://$RUN/containerd.sock
clusterDomain: $CLUSTER_DOMAIN
clusterDNS: [$DNS_SERVICE_IP]
resolvConf: $CONFIG/resolv.conf
podLogsDir: $RUN/pod-logs
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1Gi, imagefs.available: 1Gi}
imageGCHighThresholdPercent: 99
imageGCLowThresholdPercent: 98
maxPods: 200
# No chains of iptables: kube-proxy works by nftables, and these would be left behind.
makeIPTablesUtilChains: false
registryPullQPS: 50
registryBurst: 100
serializeImagePulls: false
shutdownGracePeriod: 0s
# Where pods have no control groups of their own, resizing one that is seen halfway ends the kubelet by a nil pointer
# (doPodResizeAction, seen in 1.34.4).
featureGates: {InPlacePodVerticalScaling: false}
syncFrequency: 10s
EOF
    # A name server on this host's own loopback would not be reachable from a pod.
    { grep -v '^nameserver 127\.' /etc/resolv.conf || true; } | put_file "$CONFIG/resolv.conf"
}

kubelet_up() {
    kubelet_config
    mkdir -p "$KUBELET_DIR" "$RUN/pod-logs"
    ensure_process kubelet "$TOOLS_BIN/kubelet" --config "$CONFIG/kubelet.yaml" --root-dir "$KUBELET_DIR" \
        --kubeconfig "$KUBECONFIGS/kubelet" --hostname-override "$NODE_NAME" --node-ip "$NODE_IP"
}

node_ready() {
    [ "$(kubectl get node "$NODE_NAME" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ]
}
