#!/bin/sh
# Gets the real SSH server and ssh that the tests run, and the library that shows it users of its own: what this machine
# lacks is unpacked into a folder. Nothing is installed and no service is set up.
# Run by scripts/test; running it again costs nothing.
set -eu

folder="${NIGHTFERRY_SSH_SERVER:-${XDG_CACHE_HOME:-$HOME/.cache}/nightferry/ssh-server}"
scripts="$(cd -- "$(dirname -- "$0")" && pwd)"

[ ! -e "$folder/unpacked" ] || exit 0
# Installed alone would do, too, but where the library lies differs from system to system.
"$scripts/unpack-packages" "$folder" openssh-server openssh-sftp-server openssh-client libnss-wrapper
: > "$folder/unpacked"
