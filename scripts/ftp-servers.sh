#!/bin/sh
# Gets the real FTP servers that the tests run, and the openssl that makes their certificates: what this machine
# lacks is unpacked into a folder. Nothing is installed and no service is set up: Debian and Ubuntu would let only
# one FTP server be installed at a time, and would start it.
# Run by scripts/test; running it again costs nothing.
set -eu

folder="${NIGHTFERRY_FTP_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/nightferry/ftp-servers}"
scripts="$(cd -- "$(dirname -- "$0")" && pwd)"

[ ! -e "$folder/unpacked" ] || exit 0
for needed in sbin/vsftpd sbin/proftpd lib/proftpd/mod_tls.so sbin/pure-ftpd bin/pure-pw bin/openssl; do
    [ ! -e "/usr/$needed" ] || continue
    "$scripts/unpack-packages" "$folder" vsftpd proftpd-core proftpd-mod-crypto pure-ftpd openssl
    : > "$folder/unpacked"
    break
done
