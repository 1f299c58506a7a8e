#!/bin/sh
# Gets the real FTP servers that the tests run: vsftpd as a package, proftpd and pure-ftpd beside it.
# Debian and Ubuntu let only one FTP server be installed at a time, so the other two are unpacked into a folder.
# Run by scripts/test; running it again costs nothing.
set -eu

folder="${NIGHTFERRY_FTP_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/nightferry/ftp-servers}"
root=""
[ "$(id -u)" -eq 0 ] || root="sudo"

[ -x /usr/sbin/vsftpd ] || { $root apt-get update -q && $root apt-get install -q -y --no-install-recommends vsftpd; }

if [ ! -e "$folder/complete" ]; then
    mkdir -p "$folder/packages"
    cd "$folder/packages"
    for package in proftpd-core proftpd-mod-crypto pure-ftpd pure-ftpd-common; do
        apt-get download -q "$package"
    done
    # What proftpd is linked against, under the names that this release gives it.
    for library in 'libhiredis[0-9.]+(t64)?' 'libmemcached11(t64)?' 'libmemcachedutil2(t64)?' 'libhashkit2(t64)?' \
                   'libpcre2-posix3(t64)?'; do
        name="$(apt-cache pkgnames | grep -E -x "$library" | sort | tail -n 1)"
        [ -z "$name" ] || apt-get download -q "$name"
    done
    for package in ./*.deb; do
        dpkg -x "$package" "$folder"
    done
    : > "$folder/complete"
fi
