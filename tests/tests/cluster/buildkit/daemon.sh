for process in /proc/[0-9]*; do
    name=$(tr '\0' ' ' <"$process/cmdline" | cut -d ' ' -f 1)
    case $name in
    */imagefactory-buildkit | */buildkitd | */buildctl | runc | */exe) ;;
    *) continue ;;
    esac
    echo " SEEN ${name##*/}"
    try "read the environment of $name" cat "$process/environ"
    try "read the memory of $name" dd "if=$process/mem" bs=1 count=1
    try "read the maps of $name" head -n 1 "$process/maps"
    try "enter the root of $name" ls "$process/root/"
    try "enter the directory of $name" ls "$process/cwd/"
    try "open a file of $name" head -c 1 "$process/fd/3"
    try "enter the mounts of $name" nsenter --mount="$process/ns/mnt" true
done
try "find the credentials of the pod" ls /prepared
try "find the secrets of the pod" ls /secrets
try "find the daemon's socket" ls /state
