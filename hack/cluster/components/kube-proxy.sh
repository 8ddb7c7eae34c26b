# shellcheck shell=bash
# kube-proxy by nftables: Service addresses answer in pods and on this machine.

kube_proxy_up() {
    put_file "$CONFIG/kube-proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $KUBECONFIGS/kube-proxy}
mode: nftables
clusterCIDR: $POD_CIDR
hostnameOverride: $NODE_NAME
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
nodePortAddresses: [primary]
conntrack: {maxPerCore: 0, min: 0}
nftables: {minSyncPeriod: 100ms, syncPeriod: 30s}
EOF
    ensure_process kube-proxy "$TOOLS_BIN/kube-proxy" --config "$CONFIG/kube-proxy.yaml"
}

kube_proxy_ready() { curl -sf --max-time 3 http://127.0.0.1:10256/livez; }

# Any answer will do: what counts is that the Service's address leads to the API server. An API server that was asked to
# end has taken itself out of its Service, and kube-proxy, whose watches broke with it, learns up to a minute later that it
# is back. Until then no pod reaches it.
api_service_answers() { curl -sk --max-time 2 -o /dev/null "https://$KUBERNETES_SERVICE_IP/livez"; }
