# shellcheck shell=bash
# CoreDNS as a process of this host behind the Service that pods ask.

coredns_up() {
    put_file "$CONFIG/coredns.conf" <<EOF
.:$DNS_PORT {
    bind $NODE_IP
    errors
    health 127.0.0.1:18080
    kubernetes $CLUSTER_DOMAIN in-addr.arpa ip6.arpa {
        kubeconfig $KUBECONFIGS/coredns image-factory
        pods insecure
        ttl 5
    }
    forward . $CONFIG/resolv.conf
    cache 5
}
EOF
    ensure_process coredns "$TOOLS_BIN/coredns" -conf "$CONFIG/coredns.conf"
}

coredns_ready() { curl -sf --max-time 3 http://127.0.0.1:18080/health; }
