# shellcheck shell=bash
# Where things lie. Small generated files of this checkout go to .cluster/; what is
# slow to make is cached outside of the checkout; a native cluster's data needs a
# short path of its own, because unix sockets have to fit into 108 bytes.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CLUSTER_DIR=$ROOT/.cluster
CACHE_DIR=${IMAGE_FACTORY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/image-factory}
STATE_DIR=${IMAGE_FACTORY_STATE:-/var/lib/image-factory-cluster}
ARCH=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')

# The binaries of this checkout's tool versions, by name: a directory of links.
TOOLS_BIN=$CLUSTER_DIR/bin

export ROOT CLUSTER_DIR CACHE_DIR STATE_DIR ARCH TOOLS_BIN
