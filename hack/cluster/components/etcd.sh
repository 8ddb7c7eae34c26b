# shellcheck shell=bash
# etcd, without waiting for the disk: what is lost with the machine is made again.

etcd_up() {
    mkdir -p "$DATA/etcd"
    chmod 700 "$DATA/etcd"
    ensure_process etcd "$TOOLS_BIN/etcd" --name "$NODE_NAME" --data-dir "$DATA/etcd" --unsafe-no-fsync \
        --listen-client-urls "https://127.0.0.1:$ETCD_PORT" --advertise-client-urls "https://127.0.0.1:$ETCD_PORT" \
        --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
        --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
        --initial-cluster "$NODE_NAME=http://127.0.0.1:$ETCD_PEER_PORT" \
        --client-cert-auth --trusted-ca-file "$PKI/etcd-ca.crt" --cert-file "$PKI/etcd.crt" --key-file "$PKI/etcd.key" \
        --auto-compaction-retention 5m --quota-backend-bytes 4294967296 --log-level warn
}

etcd_answers() {
    curl -sf --max-time 3 --cacert "$PKI/etcd-ca.crt" --cert "$PKI/etcd-client.crt" --key "$PKI/etcd-client.key" \
        "https://127.0.0.1:$ETCD_PORT/health"
}
