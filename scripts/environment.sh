# What scripts/demo and scripts/test share: a Python, and virtual environments made from the lock files.
# Sourced, not run, by a bash of version 3.2 or newer (macOS) whose current folder is the checkout.
# Nothing is installed into the machine: all that is made lies in the checkout, and in nightferry's cache folder.

cache="${XDG_CACHE_HOME:-$HOME/.cache}/nightferry"

# Modules of another environment must not stand before ours.
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
# Tests start many processes, and none should compile the checkout anew.
unset PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf '%s\n' "$*" >&2; }

stop() { # stop LINE...: end, and tell the person who must act what to do
    printf '%s\n' "$@" >&2
    exit 2
}

find_python() { # print the first Python that is new enough; $PYTHON, if it is set, is the only candidate
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' > /dev/null 2>&1; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    stop "nightferry needs Python 3.11 or newer; found none as ${PYTHON:-python3, python3.14 ... python3.11 or python}." \
         "Install it (Debian 12, Ubuntu 24.04: apt-get install python3), or name one: PYTHON=/path/to/python3.12 $0"
}

make_venv() { # make_venv PYTHON FOLDER: a new, empty virtual environment with pip
    local python="$1" folder="$2" pip
    rm -rf -- "$folder"
    if "$python" -c 'import ensurepip' 2> /dev/null; then
        "$python" -m venv "$folder"
        return
    fi
    # Debian and Ubuntu keep ensurepip in a package of its own. pip's wheel runs without being installed.
    say "This Python has no ensurepip; unpacking pip from the package python3-pip-whl, beside the system."
    scripts/unpack-packages "$cache/pip" python3-pip-whl \
        || stop "Could not get pip. Install the package python3-venv (Debian, Ubuntu: apt-get install python3-venv), and run this again."
    for pip in "$cache"/pip/usr/share/python-wheels/pip-*.whl /usr/share/python-wheels/pip-*.whl; do
        [ -e "$pip" ] || continue
        "$python" -m venv --without-pip "$folder"
        "$folder/bin/python" "$pip/pip" install -qq --no-index --no-deps "$pip"
        return
    done
    stop "python3-pip-whl holds no pip. Install the package python3-venv, and run this again."
}

environment() { # environment FOLDER PART...: a virtual environment with requirements/PART.lock of each part
    mkdir -p build
    ( # one at a time, where there is flock
        if command -v flock > /dev/null; then flock 9; fi
        fill_environment "$@"
    ) 9> build/environment.lock
}

fill_environment() {
    local folder="$1" python wanted part missing=()
    shift
    python="$(find_python)"
    # Installed packages do not change under a virtual environment, and it can neither be moved nor change its Python.
    wanted="$PWD $python $("$python" -VV) $(cat requirements/*.lock)"
    if ! [ -x "$folder/bin/python" ] || [ "$(cat "$folder/made-from" 2> /dev/null)" != "$wanted" ]; then
        say "Making $folder: once, and again when requirements/ or Python changes."
        make_venv "$python" "$folder"
        "$folder/bin/python" -m pip install -qq --require-hashes --only-binary :all: \
            --requirement requirements/build.lock
        printf '%s\n' "$wanted" > "$folder/made-from"
    fi
    for part in "$@"; do
        [ -e "$folder/has-$part" ] || missing+=(--requirement "requirements/$part.lock")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        say "Installing into $folder: $*"
        # The build backends stand in build.lock: pip must not fetch others, which no hash pins.
        "$folder/bin/python" -m pip install -qq --require-hashes --no-build-isolation "${missing[@]}"
        for part in "$@"; do
            : > "$folder/has-$part"
        done
    fi
}

copy_environment() { # copy_environment FROM TO PART...: another one with these parts alone, and without nightferry
    local from="$1" to="$2" part word extra wanted=()
    shift 2
    rm -rf -- "$to"
    mkdir -p "${to%/*}"
    cp -al "$from" "$to" 2> /dev/null || { rm -rf -- "$to"; cp -R "$from" "$to"; } # links, where cp makes some
    for word in "$to"/bin/*; do # programs name their Python with its whole path
        if [ -f "$word" ] && ! [ -L "$word" ] && grep -Iq -m 1 "^#!$PWD/$from/bin/" "$word"; then
            sed "1s|^#!$PWD/$from/bin/|#!$PWD/$to/bin/|" "$word" > "$word.new"
            chmod +x "$word.new"
            mv -f "$word.new" "$word"
        fi
    done
    for part in build "$@"; do
        wanted+=("requirements/$part.lock")
    done
    extra="$(comm -23 <(pinned requirements/*.lock) <(pinned "${wanted[@]}"))"
    # shellcheck disable=SC2086 # one word a package
    "$to/bin/python" -m pip uninstall -qq --yes nightferry $extra
    rm -f "$to/made-from" "$to"/has-*
}

pinned() { # pinned LOCK...: the names of all packages in lock files, sorted
    sed -n 's/^\([a-z0-9][a-z0-9._-]*\)==.*/\1/p' "$@" | sort -u
}

install_checkout() { # install_checkout FOLDER: nightferry itself, so that a change to src/ is in effect at once
    local folder="$1"
    if ! cmp -s pyproject.toml "$folder/has-checkout"; then
        "$folder/bin/python" -m pip install -qq --no-index --no-deps --no-build-isolation --editable .
        cp pyproject.toml "$folder/has-checkout"
    fi
}
