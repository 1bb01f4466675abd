# Shared by the scripts of this folder: sourced, never run.
# Owns how a script speaks, becomes root and stops. Knows nothing of what is installed.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
DEPS="$PWD/.deps"

say() { printf '==> %s\n' "$*" >&2; }

stop() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        stop "'$*' must run as root, and there is no sudo: run it as root once, then repeat the make command"
    fi
}

# Downloads the wheels of a pinned requirements file into $2, for this machine's processor or $3, and verifies their hashes.
# The wheels are only unpacked, never imported: the Python version in their names is no matter.
fetch_wheels() {
    local requirements=$1 into=$2 machine=${3:-$(uname -m)} platforms=() generation
    for generation in 2014 _2_17 _2_25 _2_27 _2_28; do
        platforms+=(--platform "manylinux${generation}_${machine}")
    done
    mkdir -p "$into"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
        --python-version 3.11 --implementation cp --abi cp311 --abi none "${platforms[@]}" \
        --requirement "$requirements" --dest "$into" ||
        stop "the wheels of $requirements could not be fetched: see pip's message above; its settings (index, proxy) are honoured"
}

# Unpacks the entries of a wheel whose names match a glob, into $3.
unpack_wheel() {
    python3 - "$@" <<'PYTHON'
import fnmatch, sys, zipfile
wheel, pattern, into = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    names = [name for name in archive.namelist() if fnmatch.fnmatch(name, pattern)]
    if not names:
        sys.exit(f"error: {wheel} holds nothing like {pattern}")
    archive.extractall(into, names)
PYTHON
}
