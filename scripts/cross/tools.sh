# shellcheck shell=bash disable=SC2034
# What cross-building needs, and how it is had. For `.` (source) in scripts of this
# folder and in scripts/cross-build; everything that people are told goes to
# standard error.
#
# Two compilers can do it:
#   debian  rustc and the source of its library as Debian packages them in one and
#           the same release (rustc-web, cargo-web, rust-web-src of the security
#           suite). cargo builds the library for any target from that source, so
#           no target can be missing.
#   rustup  the compiler of rustup with a library that it has for the target, or
#           that `rustup target add` brings. Needs no root. Not every release has
#           every target.
# With both, zig (from PyPI, with cargo-zigbuild, in a folder of its own) compiles the
# C parts and links: against an old glibc, or statically against its own musl.

CROSS_ZIG=0.17.1
CROSS_ZIGBUILD=0.24.0
# rust-version in Cargo.toml.
CROSS_RUST_MIN=1.87
# The oldest glibc that the glibc builds run with: CentOS 7, Debian 8, and later.
CROSS_GLIBC=2.17
CROSS_PACKAGES='rustc-web cargo-web rust-web-src python3-venv binutils'

CROSS_TARGETS='aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf x86_64-unknown-linux-gnu
aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf x86_64-unknown-linux-musl
aarch64-linux-android'

cross_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

cross_say() { printf 'cross: %s\n' "$*" >&2; }
cross_die() {
    printf 'cross: error: %s\n' "$*" >&2
    exit 1
}

# Whether TARGET is one of ours.
cross_knows() {
    local target
    for target in $CROSS_TARGETS; do
        [ "$target" != "$1" ] || return 0
    done
    return 1
}

# Sets CROSS_DIR, where zig lies.
cross_dir() {
    if [ -n "${CHR_CROSS_DIR:-}" ]; then
        CROSS_DIR=$CHR_CROSS_DIR
    else
        CROSS_DIR=${CARGO_TARGET_DIR:-$cross_root/target}/cross
        if ! mkdir -p "$CROSS_DIR" 2>/dev/null || [ ! -w "$CROSS_DIR" ]; then
            CROSS_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/chr-node-cross
        fi
    fi
    mkdir -p "$CROSS_DIR" || cross_die "cannot make $CROSS_DIR; set CHR_CROSS_DIR to a folder that can be written"
    CROSS_DIR=$(cd "$CROSS_DIR" && pwd)
}

# Whether version $1 is at least $2.
cross_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# Why the system's compiler cannot do it; nothing when it can.
cross_debian_lacks() {
    local version source
    if [ ! -x /usr/bin/rustc ] || [ ! -x /usr/bin/cargo ]; then
        echo "no /usr/bin/rustc and /usr/bin/cargo"
        return
    fi
    version=$(/usr/bin/rustc --version | cut -d ' ' -f 2)
    if ! cross_at_least "$version" "$CROSS_RUST_MIN"; then
        echo "/usr/bin/rustc is $version, older than $CROSS_RUST_MIN"
    elif [ ! -f /usr/lib/rustlib/src/rust/library/Cargo.lock ]; then
        echo "no source of the library in /usr/lib/rustlib/src/rust"
    else
        # A library of another release does not build, or builds something else.
        source=$(cat /usr/lib/rustlib/src/rust/version 2>/dev/null || true)
        if [ -z "$source" ] && command -v dpkg-query >/dev/null; then
            source=$(dpkg-query -W -f '${Version}' rust-web-src 2>/dev/null || true)
        fi
        case $source in
        '' | "$version"*) ;;
        *) echo "rustc is $version and the source of its library is $source" ;;
        esac
    fi
}

# Installs Debian's packages where that is possible.
cross_install_debian() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    cross_say "installing: $CROSS_PACKAGES"
    apt-get update -qq >&2 || cross_say "apt-get update had errors; going on with the lists that are there"
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $CROSS_PACKAGES >/dev/null
}

# Whether rustup's compiler has the library for TARGET.
cross_rustup_has() {
    local folder
    command -v rustup >/dev/null || return 1
    folder=$(rustc --print target-libdir --target "$1" 2>/dev/null) || return 1
    compgen -G "$folder/libstd-*" >/dev/null
}

# Sets CROSS_COMPILER to debian or rustup for TARGET; CHR_CROSS_COMPILER decides, else
# what is there, else what can be installed.
cross_choose() {
    local target=$1 lacks
    case ${CHR_CROSS_COMPILER:-} in
    '' | debian | rustup) ;;
    *) cross_die "CHR_CROSS_COMPILER is '$CHR_CROSS_COMPILER'; it may be debian or rustup" ;;
    esac
    lacks='not wanted (CHR_CROSS_COMPILER=rustup)'
    if [ "${CHR_CROSS_COMPILER:-}" != rustup ]; then
        lacks=$(cross_debian_lacks)
        if [ -n "$lacks" ] && { [ "${CHR_CROSS_COMPILER:-}" = debian ] || ! cross_rustup_has "$target"; }; then
            cross_install_debian || true
            lacks=$(cross_debian_lacks)
        fi
        if [ -z "$lacks" ]; then
            CROSS_COMPILER=debian
            return
        fi
    fi
    if [ "${CHR_CROSS_COMPILER:-}" != debian ] && command -v rustup >/dev/null; then
        if ! cross_rustup_has "$target"; then
            cross_say "rustup target add $target"
            (cd "$cross_root" && rustup target add "$target" >&2) || true
        fi
        if cross_rustup_has "$target"; then
            CROSS_COMPILER=rustup
            return
        fi
    fi
    cross_die "no compiler for $target. Debian's: $lacks; on Debian 12 with its security suite, as root: apt-get install $CROSS_PACKAGES. rustup's: no library for this target in $(command -v rustup >/dev/null && rustc --version || echo 'no rustup')"
}

# zig and cargo-zigbuild, once.
cross_install_zig() {
    local venv=$CROSS_DIR/venv wanted="$CROSS_ZIG $CROSS_ZIGBUILD" python
    [ "$(cat "$venv/.versions" 2>/dev/null || true)" != "$wanted" ] || return 0
    python=$(command -v python3) || cross_die "python3 is missing (Debian: apt-get install python3-venv)"
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -qq >&2 || true
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
        else
            cross_die "python3 cannot make a venv (as root on Debian: apt-get install python3-venv)"
        fi
    fi
    cross_say "installing zig $CROSS_ZIG and cargo-zigbuild $CROSS_ZIGBUILD in $venv"
    # Made beside its place, so that a broken download leaves nothing that looks whole.
    # (The programs in a venv find it by its final name: made there, stamped last.)
    rm -rf "$venv"
    "$python" -m venv "$venv" >&2
    "$venv/bin/pip" install -q --disable-pip-version-check \
        "ziglang==$CROSS_ZIG" "cargo-zigbuild==$CROSS_ZIGBUILD" >&2 ||
        cross_die "pip could not install ziglang and cargo-zigbuild (see above)"
    printf '%s' "$wanted" >"$venv/.versions"
}
