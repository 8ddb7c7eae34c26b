# shellcheck shell=bash
# .cluster/env: how anybody's own tests use the cluster. It holds passwords, so only
# its owner reads it.

write_env_file() {
    local git=http://$GIT_ADDRESS:$GIT_PORT
    (
        umask 077
        cat >"$CLUSTER_DIR/env.part" <<EOF
KUBECONFIG='$KUBECONFIG_FILE'
REGISTRY='$REGISTRY'
REGISTRY_CA='$CLUSTER_DIR/registry-ca.crt'
REGISTRY_USER='factory'
REGISTRY_PASSWORD='$(secret registry-password)'
MIRROR='$MIRROR'
GIT_URL='$git'
GIT_PUSH_URL='http://push:$(secret git-push-password)@$GIT_ADDRESS:$GIT_PORT'
GIT_TLS_URL='https://$GIT_ADDRESS:$GIT_TLS_PORT'
GIT_PRIVATE_URL='$git/private'
GIT_USER='reader'
GIT_PASSWORD='$(secret git-read-password)'
PROMETHEUS_URL='http://$PROMETHEUS_ADDRESS:$PROMETHEUS_PORT'
AUDIT_LOG='$AUDIT_LOG'
CLUSTER_TOOLS='$TOOLS_BIN'
KUBELET_DIR='$KUBELET_DIR'
KANIKO_IMAGE='$KANIKO_IMAGE'
TRIVY_IMAGE='$TRIVY_IMAGE'
TRIVY_DB_REPOSITORY='$MIRROR/aquasecurity/trivy-db:2'
TRIVY_JAVA_DB_REPOSITORY='$MIRROR/aquasecurity/trivy-java-db:1'
EOF
    )
    cp "$PKI/registry-ca.crt" "$CLUSTER_DIR/registry-ca.crt"
    chmod 644 "$CLUSTER_DIR/registry-ca.crt"
    mv "$CLUSTER_DIR/env.part" "$CLUSTER_DIR/env"
}
