#!/bin/sh
# Gets NASA's fitsverify, which judges the products of the tests: where this machine lacks it, it is unpacked into a
# folder, behind a wrapper that shows it its library. Nothing is installed.
# Run by scripts/test; running it again costs nothing.
set -eu

folder="${NIGHTFERRY_FITSVERIFY:-${XDG_CACHE_HOME:-$HOME/.cache}/nightferry/fitsverify}"
scripts="$(cd -- "$(dirname -- "$0")" && pwd)"

[ ! -e "$folder/unpacked" ] || exit 0
command -v fitsverify > /dev/null && exit 0
"$scripts/unpack-packages" "$folder" fitsverify
mkdir -p "$folder/bin"
cat > "$folder/bin/fitsverify" << 'EOF'
#!/bin/sh
folder="$(cd -- "$(dirname -- "$0")/.." && pwd)"
for place in "$folder"/usr/lib/*-linux-gnu* "$folder"/lib/*-linux-gnu*; do
    LD_LIBRARY_PATH="$place${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
done
export LD_LIBRARY_PATH
exec "$folder/usr/bin/fitsverify" "$@"
EOF
chmod +x "$folder/bin/fitsverify"
: > "$folder/unpacked"
