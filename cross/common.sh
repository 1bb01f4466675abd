# Shared by the scripts of this folder: sourced, never run, with the architecture (amd64 or arm64) in $1.
# Owns what an architecture is called by whom, and where its sysroot and its builds lie.
. "$(dirname "${BASH_SOURCE[0]}")/../tools/common.sh"

arch=${1-}
case "$arch" in
    amd64) cpu=x86_64 ;;
    arm64) cpu=aarch64 ;;
    *) stop "usage: ${0##*/} amd64|arm64" ;;
esac
# shellcheck disable=SC2034 # Whoever sources this uses them.
{
    triple=$cpu-unknown-linux-gnu
    gnu=$cpu-linux-gnu
    sysroot=$DEPS/sysroot-$arch
    # Not cargo's own target/: other compilers and flags would throw away what lies there.
    built=$PWD/target/cross
}

# Two builds of one checkout would make the same things in each other's way. Held until the script ends.
one_at_a_time() {
    mkdir -p "$DEPS"
    exec 9>"$DEPS/lock"
    flock --nonblock 9 || say "Waiting for another build of this checkout"
    flock --timeout 1800 9 || stop "another build of this checkout has held $DEPS/lock for half an hour: end it, then repeat"
}

# Nor two of one architecture: they share a stage, and a sysroot must not be made anew below a build. The first takes a
# lock within this one.
one_of_its_arch_at_a_time() {
    mkdir -p "$DEPS"
    exec 8>"$DEPS/lock-$arch"
    flock --nonblock 8 || say "Waiting for another build for $arch"
    flock --timeout 3600 8 || stop "another build for $arch has held $DEPS/lock-$arch for an hour: end it, then repeat"
}

# Debian's compilers: rustup's, where it has the target, wins.
choose_rust() {
    local found
    PATH="$PATH:$HOME/.cargo/bin"
    found=$(rustc --print sysroot 2>/dev/null) || found=
    rust_flags=()
    if [ -n "$found" ] && [ -d "$found/lib/rustlib/$triple/lib" ]; then
        cargo=cargo RUSTC=rustc
    else
        # A rustup without the target shadows Debian's, which has it as a package.
        # Only those of rustc-web and cargo-web: the packages rustc and cargo of Debian 12 are too old.
        cargo=/usr/bin/cargo RUSTC=/usr/bin/rustc
        [ -d "/usr/lib/rustlib/$triple/lib" ] || rust_flags+=("--sysroot=$sysroot/usr")
    fi
    export RUSTC
}

# The version of an installed package; nothing where it is not installed.
version_of() {
    dpkg-query --show --showformat='${db:Status-Status} ${source:Version}' "$1" 2>/dev/null | sed -n 's/^installed //p' || true
}

# Or upgrades it: the library of the sysroot comes from the archive as it is today.
install_debians_rust() {
    as_root apt-get update --quiet --quiet &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --quiet --no-install-recommends rustc-web cargo-web >/dev/null
}
