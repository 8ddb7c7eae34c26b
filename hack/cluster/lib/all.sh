# shellcheck shell=bash
# Everything that up.sh and down.sh are made of.

# shellcheck disable=SC1091 # the files lie beside this one
{
    . "$HERE/../lib/paths.sh"
    . "$HERE/../lib/log.sh"
    . "$HERE/../lib/debian.sh"
    . "$HERE/config.sh"
    for file in "$HERE"/lib/*.sh "$HERE"/components/*.sh "$HERE"/kind/*.sh; do
        [ "${file##*/}" = all.sh ] || . "$file"
    done
}

# kubectl of the cluster's own version (with kind the one installed), talking to this
# cluster and to no other.
kubectl() {
    local binary=$TOOLS_BIN/kubectl
    [ -x "$binary" ] || binary=$(type -P kubectl)
    "$binary" --kubeconfig "$KUBECONFIG_FILE" "$@"
}
