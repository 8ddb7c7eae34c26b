# shellcheck shell=bash
# Configuration files, written whole and only when they differ: some processes watch
# theirs and end when it is touched.

# put_file FILE [MODE]: with what standard input gives.
put_file() {
    local part
    part=$(mktemp "$1.part.XXXXXX")
    cat >"$part"
    chmod "${2:-644}" "$part"
    if cmp -s "$part" "$1"; then rm -f "$part"; else mv -f "$part" "$1"; fi
}
