try() {
    what=$1
    shift
    if "$@" >/tmp/said 2>&1; then echo " CAN $what"; else echo " CANNOT $what"; fi
}
make_control_group() {
    for each in /sys/fs/cgroup /sys/fs/cgroup/*; do
        mkdir "$each/mine" && test -e "$each/mine/cgroup.procs" && return 0
    done
    return 1
}
try "mount a tmpfs" mount -t tmpfs none /mnt
try "bind a directory" mount --bind /etc /mnt
try "make /proc writable" mount -o remount,rw /proc/sys
try "make a user namespace" unshare --user true
try "make a mount namespace" unshare --mount true
try "make a network namespace" unshare --net true
try "make a block device" mknod /tmp/disk b 254 0
try "make a character device" mknod /tmp/mem c 1 1
try "open a raw socket" perl -e 'socket(S, 2, 3, 1) or exit 1'
try "open a packet socket" perl -e 'socket(S, 17, 3, 768) or exit 1'
try "call bpf" perl -e 'syscall(321, 0, 0, 0) >= 0 or $!{EPERM} ? exit 1 : exit 0'
try "read memory of the node" head -c 1 /dev/mem
try "read the kernel's core" head -c 1 /proc/kcore
try "read the kernel's log" dmesg
try "write a core pattern" sh -c 'echo x >/proc/sys/kernel/core_pattern'
try "write the host's name" sh -c 'echo x >/proc/sys/kernel/hostname'
try "trigger the kernel" sh -c 'echo h >/proc/sysrq-trigger'
try "make a control group" make_control_group
try "find a token" ls /var/run/secrets/kubernetes.io
for device in /dev/sd* /dev/vd* /dev/nvme* /dev/kvm /dev/fuse /dev/net/tun; do
    try "find $device" test -e "$device"
done
touch /own && try "write its own root" test -e /own
try "run a shell in its own root" chroot / true
