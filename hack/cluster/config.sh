# shellcheck shell=bash
# The fixed names, addresses and folders of the native cluster. Addresses lie on a
# network device of its own, so that nothing depends on how this machine is connected.

NODE_NAME=node-1
NODE_IP=10.90.0.1
NODE_DEVICE=ifc-node

POD_CIDR=10.91.0.0/16
SERVICE_CIDR=10.96.0.0/16
KUBERNETES_SERVICE_IP=10.96.0.1
DNS_SERVICE_IP=10.96.0.10
CLUSTER_DOMAIN=cluster.local

API_PORT=6443
ETCD_PORT=12379
ETCD_PEER_PORT=12380
DNS_PORT=1053
REGISTRY_PORT=5000
MIRROR_PORT=5001
MIRROR_FILL_PORT=5002
GIT_PORT=3000
GIT_TLS_PORT=3443
PROMETHEUS_PORT=9090
TARGETS_PORT=19090

REGISTRY=$NODE_IP:$REGISTRY_PORT
MIRROR=$NODE_IP:$MIRROR_PORT
GIT_ADDRESS=$NODE_IP
PROMETHEUS_ADDRESS=$NODE_IP

# Versions of the images that the cluster brings; their names say what they are.
IMAGE_PREFIX=image-factory.local
PAUSE_IMAGE=$IMAGE_PREFIX/pause:v1
KANIKO_IMAGE=$IMAGE_PREFIX/kaniko:v1.24.0
TRIVY_IMAGE=$IMAGE_PREFIX/trivy:0.66.0

PKI=$STATE_DIR/pki
KUBECONFIGS=$STATE_DIR/kubeconfig
CONFIG=$STATE_DIR/config
LOGS=$STATE_DIR/log
RUN=$STATE_DIR/run
DATA=$STATE_DIR/data
AUDIT_LOG=$LOGS/audit.log
KUBELET_DIR=$DATA/kubelet
KUBECONFIG_FILE=$CLUSTER_DIR/kubeconfig

CLUSTER_PACKAGES="ca-certificates curl openssl iproute2 nftables conntrack git docker-registry
    apache2-utils containernetworking-plugins prometheus debootstrap busybox-static procps mount"
