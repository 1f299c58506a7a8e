#!/bin/sh
# Gets the real SMB server (Samba) that the tests run, its client for the benchmark, and the library that shows it users
# of its own: what this machine lacks is unpacked into a folder. Nothing is installed and no service is set up.
# Run by scripts/test; running it again costs nothing.
set -eu

folder="${NIGHTFERRY_SAMBA_SERVER:-${XDG_CACHE_HOME:-$HOME/.cache}/nightferry/samba-server}"
scripts="$(cd -- "$(dirname -- "$0")" && pwd)"

[ ! -e "$folder/unpacked" ] || exit 0
"$scripts/unpack-packages" "$folder" samba samba-libs samba-common-bin smbclient libnss-wrapper
: > "$folder/unpacked"
