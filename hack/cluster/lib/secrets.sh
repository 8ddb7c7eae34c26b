# shellcheck shell=bash
# Passwords, made once for each cluster and kept where only root reads them.

secret_file() { echo "$STATE_DIR/secrets/$1"; }

# secret NAME: prints it, and makes it at the first time.
secret() {
    local file
    file=$(secret_file "$1")
    if [ ! -s "$file" ]; then
        (
            umask 077
            mkdir -p "${file%/*}"
            openssl rand -hex 16 >"$file.part"
        )
        mv "$file.part" "$file"
    fi
    cat "$file"
}
