# shellcheck shell=bash
# Taking away: what a killed cluster left behind (before a start), or everything
# (down). Both work from what the kernel shows, not from records that may be lost.

# The control group below which containerd puts every pod, in each hierarchy.
POD_CGROUP=k8s.io

remove_leftovers() {
    [ -n "$(leftover_signs)" ] || return 0
    say "putting in order what a killed cluster left behind"
    clear_leftovers || true
}

clear_leftovers() {
    kill_containers
    unmount_below "$STATE_DIR"
    remove_veths
    remove_cgroups
    find "$RUN" -mindepth 1 -delete 2>/dev/null || true
}

leftover_signs() {
    ls -A "$RUN" 2>/dev/null | head -n 1
    mounts_below "$STATE_DIR" | head -n 1
}

# Best effort throughout: what_is_left tells afterwards whether it was enough.
remove_everything() { take_all_away || true; }

take_all_away() {
    stop_components
    kill_marked
    kill_containers
    unmount_below "$STATE_DIR"
    remove_network
    remove_cgroups
    remove_log_links
    remove_foreign_folders
    rm -rf "$STATE_DIR"
}

# In the order in which nothing is started again by what still runs.
stop_components() {
    local name
    [ -d "$RUN" ] || return 0
    for name in kubelet kube-scheduler kube-controller-manager kube-proxy provisioner prometheus metrics-targets coredns \
        kube-apiserver etcd registry mirror mirror-fill git containerd; do
        if is_alive "$name"; then kill "$(cut -d ' ' -f 1 "$(process_file "$name")")" 2>/dev/null || true; fi
    done
    for name in kubelet containerd; do stop_process "$name"; done
}

kill_marked() {
    local pid round
    for round in 1 2 3 4 5; do
        [ -n "$(marked_processes)" ] || return 0
        for pid in $(marked_processes); do kill -9 "$pid" 2>/dev/null || true; done
        sleep "0.$round"
    done
}

# container_processes: everything in a control group of a pod.
container_processes() {
    find /sys/fs/cgroup -path "*/$POD_CGROUP/*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -un
}

kill_containers() {
    local pid round
    for round in 1 2 3 4 5; do
        [ -n "$(container_processes)" ] || return 0
        for pid in $(container_processes); do kill -9 "$pid" 2>/dev/null || true; done
        sleep "0.$round"
    done
}

# mounts_below DIRECTORY: mount points, the innermost first.
mounts_below() {
    awk -v base="$1/" 'index($5, base) == 1 { print $5 }' /proc/self/mountinfo | sort -r | uniq
}

unmount_below() {
    local round mount
    for round in 1 2 3; do
        mounts_below "$1" | while read -r mount; do
            mount=$(printf '%b' "$mount")
            umount "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null || true
        done
        [ -n "$(mounts_below "$1")" ] || return 0
        sleep "0.$round"
    done
}

remove_cgroups() {
    find /sys/fs/cgroup -mindepth 2 -depth -type d -path "*/$POD_CGROUP*" -exec rmdir {} + 2>/dev/null || true
}

# The kubelet makes these links by a fixed path, into the logs of the pods.
remove_log_links() {
    find /var/log/containers -maxdepth 1 -type l -lname "$STATE_DIR/*" -delete 2>/dev/null || true
    find /var/log/containers -maxdepth 1 -type l -lname "$RUN/*" -delete 2>/dev/null || true
    rmdir /var/log/containers 2>/dev/null || true
}

# Folders whose place kubelet, containerd and CNI fix; gone only when empty.
remove_foreign_folders() {
    rm -f /var/lib/kubelet/device-plugins/kubelet.sock /var/lib/kubelet/device-plugins/DEPRECATION
    rmdir /var/lib/kubelet/device-plugins /var/lib/kubelet 2>/dev/null || true
    rm -f /var/lib/cni/results/pods-*
    rmdir /var/lib/cni/results /var/lib/cni 2>/dev/null || true
    find /run/containerd -type s -delete 2>/dev/null || true
    find /run/containerd -depth -type d -empty -delete 2>/dev/null || true
}

# what_is_left: one line for each thing that should be gone.
what_is_left() {
    local pid
    for pid in $(marked_processes) $(container_processes); do
        echo "process $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c 1-80)"
    done
    mounts_below "$STATE_DIR" | sed 's/^/mount /'
    ip -o link show dev "$NODE_DEVICE" 2>/dev/null | awk '{print "network device " $2}' || true
    pod_devices | sed 's/^/network device /'
    nft list tables 2>/dev/null | grep -E "kube-proxy|$NFT_TABLE" | sed 's/^/packet rules: /' || true
    find /sys/fs/cgroup -maxdepth 3 -type d -name "$POD_CGROUP" 2>/dev/null | sed 's/^/control group /'
    [ ! -e "$STATE_DIR" ] || echo "folder $STATE_DIR"
    [ ! -e "$CLUSTER_DIR" ] || echo "folder $CLUSTER_DIR"
}
