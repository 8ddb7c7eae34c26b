#!/usr/bin/env bash
# Builds the third-party tools from their pinned Go modules, and one from its crate, once for each version.
#
#   hack/tools/build.sh [TOOL...]     all tools when none is named
#
# A tool is a folder here with a go.mod, its go.sum and a tool.conf, or with a tool.conf
# that names files and folders of modules with the modules' sums, or a crate, which
# is built with its own lock file. What is built
# goes to the cache under a key made of everything that decides the result, first
# under a temporary name and then renamed, so that a killed build leaves nothing
# that looks finished. .cluster/bin holds links to the versions of this checkout.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/paths.sh
. "$HERE/../lib/paths.sh"
# shellcheck source=../lib/log.sh
. "$HERE/../lib/log.sh"
# shellcheck source=../lib/debian.sh
. "$HERE/../lib/debian.sh"

# In the order in which the cluster is waited for.
ALL_TOOLS="kubernetes containerd runc etcd crane coredns helpers kubehelpers helm kaniko buildkit trivy vulndb kubeconform schemas"

# load_conf TOOL: what tool.conf says, with defaults for what it leaves out.
load_conf() {
    VERSION='' CGO=0 TAGS='' LDFLAGS='' BINARIES='' FILES='' CRATE='' PACKAGES=''
    # shellcheck source=/dev/null
    . "$HERE/$1/tool.conf"
}

# cache_key TOOL: the version for people, a digest of the inputs for certainty.
cache_key() {
    local digest
    digest=$(cd "$HERE/$1" && {
        go env GOVERSION
        find . -type f \( -name 'go.*' -o -name '*.go' -o -name tool.conf \) -print0 | sort -z | xargs -0 cat
    } | sha256sum | cut -c 1-10)
    echo "$VERSION-$digest-$ARCH"
}

compile() {
    local tool=$1 out=$2 pair
    cd "$HERE/$tool"
    for pair in $BINARIES; do
        echo "building ${pair%%=*}"
        CGO_ENABLED=$CGO GOFLAGS=-buildvcs=false nice -n "${BUILD_NICE:-5}" \
            go build -trimpath -tags "$TAGS" -ldflags "-s -w $LDFLAGS" -o "$out/${pair%%=*}" "${pair#*=}"
    done
    for pair in $FILES; do copy_file "$out/${pair%%=*}" "${pair#*=}"; done
    [ -z "$CRATE" ] || install_crate "$out" "$CRATE"
}

# install_crate OUT CRATE: the program of that name, with the dependencies that its authors locked.
install_crate() {
    local root=$1/.root
    CARGO_TARGET_DIR=$root/target nice -n "${BUILD_NICE:-5}" \
        cargo install --locked --version "=$VERSION" --root "$root" "$2"
    mv "$root/bin/$2" "$1/$2"
    rm -rf "$root"
}

# copy_file TO MODULE@VERSION/PATH=SUM: a file or a folder that a module brings, if the module has that sum.
copy_file() {
    local rest=${2%%=*} sum=${2#*=} module answer dir
    module=${rest%%@*}@$(cut -d / -f 1 <<<"${rest#*@}")
    answer=$(cd / && go mod download -json "$module")
    grep -qF "\"Sum\": \"$sum\"" <<<"$answer" || die "$module is not what it was: $answer"
    dir=$(sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p' <<<"$answer")
    # The cache of modules can't be written; what is copied from it can.
    cp -r --no-preserve=mode "$dir/${rest#"$module"/}" "$1"
}

build_tool() {
    local tool=$1 dir=$CACHE_DIR/tools/$1 key temporary
    load_conf "$tool"
    key=$(cache_key "$tool")
    if [ ! -d "$dir/$key" ]; then
        # shellcheck disable=SC2086
        [ -z "$PACKAGES" ] || need_packages $PACKAGES
        mkdir -p "$dir"
        exec 9>"$dir/.lock"
        flock -n 9 || { say "another build of $tool is running, waiting for it"; flock 9; }
        # With the lock held, what another build began and did not finish is dead.
        rm -rf "$dir"/.build.*
        temporary=$(mktemp -d "$dir/.build.XXXXXX")
        run_step "building $tool $VERSION (once)" "$CACHE_DIR/log/build-$tool.log" compile "$tool" "$temporary"
        chmod 755 "$temporary"
        mv -T "$temporary" "$dir/$key" 2>/dev/null || rm -rf "$temporary"
    fi
    link_tool "$dir/$key"
}

link_tool() {
    local binary
    mkdir -p "$TOOLS_BIN"
    for binary in "$1"/*; do ln -sfn "$binary" "$TOOLS_BIN/${binary##*/}"; done
}

main() {
    command -v go >/dev/null || die "Go is missing" "install Go 1.26 or newer; the tools are built from Go modules"
    mkdir -p "$CACHE_DIR/tools" "$CACHE_DIR/log"
    local tool
    # shellcheck disable=SC2086 # the list is meant to be split
    [ $# -gt 0 ] || set -- $ALL_TOOLS
    for tool in "$@"; do build_tool "$tool"; done
}

main "$@"
