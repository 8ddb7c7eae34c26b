# shellcheck shell=bash
# Addresses and packet rules of the cluster: a device that carries the node's
# address, forwarding, and masquerading of what pods send outside. kube-proxy and
# the network plugin look after their own.

NFT_TABLE=image_factory_cluster

# No pipe into grep -q: it ends at its first match, what writes to it dies of that, and with pipefail there is no match.
has_node_address() {
    case $(ip -o address show dev "$NODE_DEVICE") in *"inet $NODE_IP/"*) ;; *) return 1 ;; esac
}

# A bridge without ports serves as a dummy device, which not every kernel has.
ensure_node_device() {
    if ! ip link show "$NODE_DEVICE" >/dev/null 2>&1; then
        say "network device $NODE_DEVICE with $NODE_IP"
        ip link add "$NODE_DEVICE" type bridge
    fi
    has_node_address || ip address add "$NODE_IP/32" dev "$NODE_DEVICE"
    ip link set "$NODE_DEVICE" up
}

ensure_forwarding() {
    local saved=$STATE_DIR/ip_forward.before
    [ -e "$saved" ] || cat /proc/sys/net/ipv4/ip_forward >"$saved"
    echo 1 >/proc/sys/net/ipv4/ip_forward
}

ensure_masquerade() {
    nft list table ip "$NFT_TABLE" >/dev/null 2>&1 && return 0
    nft -f - <<EOF
table ip $NFT_TABLE {
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr $POD_CIDR ip daddr { $POD_CIDR, $SERVICE_CIDR, $NODE_IP } return
        ip saddr $POD_CIDR masquerade
    }
}
EOF
}

ensure_network() {
    ensure_node_device
    ensure_forwarding
    ensure_masquerade
}

remove_network() {
    local table
    for table in "ip $NFT_TABLE" 'ip kube-proxy' 'ip6 kube-proxy'; do
        # shellcheck disable=SC2086 # family and name are two words
        nft delete table $table 2>/dev/null || true
    done
    remove_veths
    ip link delete "$NODE_DEVICE" 2>/dev/null || true
    if [ -s "$STATE_DIR/ip_forward.before" ]; then
        cat "$STATE_DIR/ip_forward.before" >/proc/sys/net/ipv4/ip_forward
    fi
}

# The host's ends of the pods' devices carry addresses' routes of the pods' range.
remove_veths() {
    local device
    for device in $(pod_devices); do ip link delete "$device" 2>/dev/null || true; done
}

pod_devices() {
    ip -4 route show root "$POD_CIDR" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | grep '^veth' | sort -u || true
}
