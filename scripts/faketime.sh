#!/bin/sh
# Gets libfaketime, under which the tests live through nights in seconds, where this machine lacks it: it is unpacked into a
# folder, and nothing is installed. Run by scripts/test; running it again costs nothing.
set -eu

folder="${NIGHTFERRY_FAKETIME:-${XDG_CACHE_HOME:-$HOME/.cache}/nightferry/faketime}"
scripts="$(cd -- "$(dirname -- "$0")" && pwd)"

[ ! -e "$folder/unpacked" ] || exit 0
for place in /usr/lib/*/faketime/libfaketimeMT.so.1; do
    [ ! -e "$place" ] || exit 0
done
"$scripts/unpack-packages" "$folder" libfaketime
: > "$folder/unpacked"
