# shellcheck shell=bash
# Prometheus: reads every pod and every Service that asks for it by annotation. A
# helper tells it which these are.

prometheus_config() {
    put_file "$CONFIG/prometheus.yaml" <<EOF
global: {scrape_interval: 5s, scrape_timeout: 4s}
scrape_configs:
- job_name: kubernetes
  http_sd_configs: [{url: "http://127.0.0.1:$TARGETS_PORT/", refresh_interval: 5s}]
  tls_config: {insecure_skip_verify: true}
EOF
}

prometheus_up() {
    prometheus_config
    mkdir -p "$DATA/prometheus"
    ensure_process metrics-targets "$TOOLS_BIN/metrics-targets" -kubeconfig "$KUBECONFIGS/prometheus" \
        -listen "127.0.0.1:$TARGETS_PORT"
    ensure_process prometheus prometheus --config.file "$CONFIG/prometheus.yaml" \
        --storage.tsdb.path "$DATA/prometheus" --storage.tsdb.retention.time 2d \
        --web.listen-address "$NODE_IP:$PROMETHEUS_PORT" --log.level warn
}

prometheus_ready() {
    curl -sf --max-time 3 "http://127.0.0.1:$TARGETS_PORT/" &&
        curl -sf --max-time 3 "http://$NODE_IP:$PROMETHEUS_PORT/-/ready"
}
