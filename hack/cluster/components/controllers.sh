# shellcheck shell=bash
# kube-controller-manager and kube-scheduler. Each controller acts as its own service
# account, as in every real cluster, so that policies can tell them apart.

controllers_up() {
    ensure_process kube-controller-manager "$TOOLS_BIN/kube-controller-manager" \
        --kubeconfig "$KUBECONFIGS/controller-manager" --authentication-kubeconfig "$KUBECONFIGS/controller-manager" \
        --authorization-kubeconfig "$KUBECONFIGS/controller-manager" --use-service-account-credentials \
        --service-account-private-key-file "$PKI/sa.key" --root-ca-file "$PKI/ca.crt" \
        --client-ca-file "$PKI/ca.crt" --requestheader-client-ca-file "$PKI/front-proxy-ca.crt" \
        --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" \
        --tls-cert-file "$PKI/controller-manager.crt" --tls-private-key-file "$PKI/controller-manager.key" \
        --cluster-cidr "$POD_CIDR" --allocate-node-cidrs --node-cidr-mask-size 24 \
        --bind-address 127.0.0.1 --leader-elect=false --profiling=false
    ensure_process kube-scheduler "$TOOLS_BIN/kube-scheduler" \
        --kubeconfig "$KUBECONFIGS/scheduler" --authentication-kubeconfig "$KUBECONFIGS/scheduler" \
        --authorization-kubeconfig "$KUBECONFIGS/scheduler" \
        --tls-cert-file "$PKI/scheduler.crt" --tls-private-key-file "$PKI/scheduler.key" \
        --bind-address 127.0.0.1 --leader-elect=false --profiling=false
}

controllers_ready() {
    curl -skf --max-time 3 https://127.0.0.1:10257/healthz && curl -skf --max-time 3 https://127.0.0.1:10259/healthz
}
