# shellcheck shell=bash
# Volumes for claims: a folder of this machine for each.

storage_up() {
    mkdir -p "$DATA/volumes"
    ensure_process provisioner "$TOOLS_BIN/provisioner" -kubeconfig "$KUBECONFIGS/provisioner" \
        -root "$DATA/volumes" -node "$NODE_NAME"
}
