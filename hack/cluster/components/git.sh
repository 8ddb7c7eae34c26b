# shellcheck shell=bash
# The Git server: repositories appear with the first push to them.

git_up() {
    mkdir -p "$DATA/git"
    PROCESS_ENV=("GIT_PUSH_ACCOUNT=push:$(secret git-push-password)" "GIT_READ_ACCOUNT=reader:$(secret git-read-password)")
    ensure_process git "$TOOLS_BIN/gitserver" -root "$DATA/git" -listen "$NODE_IP:$GIT_PORT" \
        -listen-tls "$NODE_IP:$GIT_TLS_PORT" -cert "$PKI/registry.crt" -key "$PKI/registry.key"
    PROCESS_ENV=()
}

git_ready() { curl -sf --max-time 3 "http://$NODE_IP:$GIT_PORT/healthz"; }
