#!/bin/sh
# Gets astrometry.net's solve-field and build-astrometry-index, which the tests of plate solving run: what this machine
# lacks is unpacked into a folder. Nothing is installed; index files are built by the tests themselves.
# Run by scripts/test; running it again costs nothing.
set -eu

folder="${NIGHTFERRY_SOLVER:-${XDG_CACHE_HOME:-$HOME/.cache}/nightferry/solver}"
scripts="$(cd -- "$(dirname -- "$0")" && pwd)"

[ ! -e "$folder/unpacked" ] || exit 0
for needed in solve-field astrometry-engine build-astrometry-index; do
    ! command -v "$needed" > /dev/null || continue
    "$scripts/unpack-packages" "$folder" astrometry.net
    : > "$folder/unpacked"
    break
done
