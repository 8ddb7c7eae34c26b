# shellcheck shell=sh
# One line for each thing in the layout, its kind first.
cd /layout || exit
echo "JSON index.json $(base64 -w 0 index.json)"
for blob in blobs/sha256/*; do
    name=${blob##*/}
    [ "$(sha256sum <"$blob" | cut -c 1-64)" = "$name" ] || echo "WRONG $name"
    if tar tzf "$blob" >/dev/null 2>&1; then
        tar tvzf "$blob" | sed "s/^/LAYER $name /"
        zcat "$blob" | grep -q "marker-of-the-build-secret" && echo "SECRET $name"
    else
        echo "JSON $name $(base64 -w 0 "$blob")"
    fi
done
echo END
