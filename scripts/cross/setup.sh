# shellcheck shell=bash
# The compilers for scripts/cross-build and scripts/cross/cargo, which source this.
#
#   debian  rustc-web and the source of its own standard library, from Debian 12's
#           security suite. cargo builds the library for any target (build-std), so
#           no target can be missing. The rustup toolchain, if there is one, stays
#           what plain `cargo` runs.
#   rustup  that toolchain, with a library that it has for the target or that
#           `rustup target add` brings. Needs no root and no Debian; not every
#           release has every target.
#
# With both, zig compiles the C parts and links (cargo-zigbuild): from PyPI, in a
# folder of its own.

CROSS_ZIG=0.17.1
CROSS_ZIGBUILD=0.24.0
# The first one of Debian's that was tried; older ones lack what heed calls.
CROSS_RUST=1.96
CROSS_DIR=${CHR_CROSS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/chr-node-cross}
CROSS_VENV=$CROSS_DIR/venv
CROSS_PACKAGES=(rustc-web cargo-web rust-web-src python3-venv binutils git)
# The oldest glibc that the glibc builds run with: no Rust of today runs with less.
CROSS_GLIBC=2.17
CROSS_TARGETS=(
    aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf x86_64-unknown-linux-musl
    aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf x86_64-unknown-linux-gnu
    aarch64-linux-android
)

# known_target TARGET: whether it is one of them.
known_target() {
    local target
    for target in "${CROSS_TARGETS[@]}"; do
        [ "$target" != "$1" ] || return 0
    done
    return 1
}

package_version() {
    # shellcheck disable=SC2016 # dpkg's own variable
    dpkg-query -W -f '${Version}' "$1" | sed 's/[+-].*//'
}

missing_packages() {
    local package
    for package in "${CROSS_PACKAGES[@]}"; do
        # shellcheck disable=SC2016 # dpkg's own variable
        dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || printf '%s ' "$package"
    done
}

install_packages() {
    local conf result=0
    echo "== installing: $*" >&2
    # This machine's own architecture alone: the index of a foreign one that is
    # out of step with the others would fail the whole update.
    conf=$(mktemp)
    printf '#clear APT::Architectures;\nAPT::Architectures { "%s"; };\nAPT::Get::List-Cleanup "0";\n' \
        "$(dpkg --print-architecture)" >"$conf"
    APT_CONFIG=$conf apt-get update -qq >&2 || echo "cross: apt-get update complained; going on" >&2
    rm -f "$conf"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 || result=$?
    return "$result"
}

# Installs Debian's compiler where that can be done. Says on standard output why it
# cannot be used; nothing when it can.
debian_lacks() {
    local missing rust src
    command -v dpkg-query >/dev/null || { echo "this is no Debian"; return; }
    missing=$(missing_packages)
    if [ -n "$missing" ] && [ "$(id -u)" = 0 ]; then
        # shellcheck disable=SC2086 # a list of words
        install_packages $missing >&2 || {
            echo "apt-get install ${missing}failed: is Debian 12's security suite, which has rustc-web, among the apt sources?"
            return
        }
        missing=$(missing_packages)
    fi
    if [ -n "$missing" ]; then
        echo "missing: as root, apt-get install $missing"
        return
    fi
    rust=$(package_version rustc-web)
    src=$(package_version rust-web-src)
    if [ "$rust" != "$src" ]; then
        echo "rustc-web is $rust and rust-web-src $src: upgrade both"
    elif ! dpkg --compare-versions "$rust" ge "$CROSS_RUST"; then
        echo "rustc-web is $rust, and $CROSS_RUST is needed: apt-get upgrade it"
    fi
}

# Whether rustup's compiler has the standard library of TARGET.
rustup_has() {
    local folder
    command -v rustup >/dev/null || return 1
    folder=$(rustc --print target-libdir --target "$1" 2>/dev/null) || return 1
    compgen -G "$folder/libstd-*" >/dev/null
}

# choose_compiler TARGET: sets CROSS_COMPILER to debian or rustup.
choose_compiler() {
    local target=$1 lacks='not wanted (CHR_CROSS_COMPILER)'
    case ${CHR_CROSS_COMPILER:-} in
    '' | debian | rustup) ;;
    *) die "CHR_CROSS_COMPILER is '$CHR_CROSS_COMPILER': there are debian and rustup" ;;
    esac
    if [ "${CHR_CROSS_COMPILER:-}" != rustup ]; then
        lacks=$(debian_lacks)
        if [ -z "$lacks" ]; then
            CROSS_COMPILER=debian
            return
        fi
    fi
    if [ "${CHR_CROSS_COMPILER:-}" != debian ]; then
        if ! rustup_has "$target" && command -v rustup >/dev/null; then
            echo "== rustup target add $target" >&2
            rustup target add "$target" >&2 || true
        fi
        if rustup_has "$target"; then
            CROSS_COMPILER=rustup
            return
        fi
    fi
    die "no compiler for $target. Debian's (${CROSS_PACKAGES[*]}): $lacks. rustup's: $(
        if command -v rustup >/dev/null; then
            echo "$(rustc --version) has no library for this target"
        else
            echo "no rustup"
        fi
    ). With a container engine there is \`cross build --target $target\` (docs/cross-building.md)"
}

# Installs zig where it is missing. Two at a time wait for each other.
install_zig() {
    local lock
    mkdir -p "$CROSS_DIR" || die "cannot make $CROSS_DIR: set CHR_CROSS_DIR to a folder that can be written"
    [ "$(cat "$CROSS_DIR/versions" 2>/dev/null)" != "$CROSS_ZIG $CROSS_ZIGBUILD" ] || return 0
    exec {lock}>"$CROSS_DIR/lock"
    flock "$lock"
    if [ "$(cat "$CROSS_DIR/versions" 2>/dev/null)" != "$CROSS_ZIG $CROSS_ZIGBUILD" ]; then
        echo "== installing: zig $CROSS_ZIG, cargo-zigbuild $CROSS_ZIGBUILD in $CROSS_DIR" >&2
        rm -rf "$CROSS_VENV" "$CROSS_DIR/versions"
        python3 -m venv "$CROSS_VENV" >&2 || die "python3 cannot make a folder for zig (Debian: apt-get install python3-venv)"
        "$CROSS_VENV/bin/pip" install -q --disable-pip-version-check \
            "ziglang==$CROSS_ZIG" "cargo-zigbuild==$CROSS_ZIGBUILD" >&2 ||
            die "zig could not be installed from PyPI"
        echo "$CROSS_ZIG $CROSS_ZIGBUILD" >"$CROSS_DIR/versions"
    fi
    exec {lock}>&-
}

# What a second build needs to be the same.
compiler_versions() {
    if [ "$CROSS_COMPILER" = debian ]; then
        echo "rustc $(package_version rustc-web) of Debian, the standard library from its source"
    else
        echo "$(rustc --version) of rustup, with its standard library"
    fi
    echo "zig $CROSS_ZIG"
    echo "cargo-zigbuild $CROSS_ZIGBUILD"
}

# compiler_for TARGET: the environment of cargo for it. Wants CROSS_COMPILER.
compiler_for() {
    local target=$1 up low flags=''
    up=$(tr 'a-z-' 'A-Z_' <<<"$target")
    low=${target//-/_}
    # They would hide what is set for the target here.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
    if [ "$CROSS_COMPILER" = debian ]; then
        unset RUSTUP_TOOLCHAIN RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
        export CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
        # build-std is not stable, and Debian's compiler is a stable one.
        export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort,panic_unwind
        case $target in
        # zig brings crt1.o and libc.a; rustc would name its own, which are not here.
        *-musl*) flags=-Clink-self-contained=no ;;
        esac
    else
        CARGO=$(command -v cargo)
        export CARGO
    fi
    export PATH=$CROSS_VENV/bin:$PATH
    [ -z "$flags" ] || export "CARGO_TARGET_${up}_RUSTFLAGS=$flags"
    case $target in
    # As in .cargo/config.toml, which what stands in the environment overrules.
    *-musl* | *-android) export "CFLAGS_$low=-DMDB_USE_ROBUST=0" ;;
    esac
    case $target in
    *-android)
        # Without Android's headers the C parts are compiled against musl's, never linked.
        make_android_compiler
        export "CC_$low=$CROSS_DIR/android-cc" "AR_$low=$CROSS_DIR/android-ar"
        ;;
    esac
    echo "== $target: $("${RUSTC:-rustc}" --version | cut -d ' ' -f 1,2) ($CROSS_COMPILER), zig $CROSS_ZIG" >&2
}

make_android_compiler() {
    cat >"$CROSS_DIR/android-cc.$$" <<END
#!/bin/bash
words=()
for word in "\$@"; do case \$word in --target=*) ;; *) words+=("\$word") ;; esac; done
exec "$CROSS_VENV/bin/python" -m ziglang cc -target aarch64-linux-musl -D__ANDROID__=1 "\${words[@]}"
END
    printf '#!/bin/sh\nexec "%s" -m ziglang ar "$@"\n' "$CROSS_VENV/bin/python" >"$CROSS_DIR/android-ar.$$"
    chmod +x "$CROSS_DIR/android-cc.$$" "$CROSS_DIR/android-ar.$$"
    mv -f "$CROSS_DIR/android-cc.$$" "$CROSS_DIR/android-cc"
    mv -f "$CROSS_DIR/android-ar.$$" "$CROSS_DIR/android-ar"
}

# cargo_for TARGET COMMAND ARGUMENTS…: cargo in that environment; all it says goes to
# standard error, but for what a program writes that it runs.
cargo_for() {
    local target=$1 command=$2
    shift 2
    case $command/$target in
    *-android | check/* | clippy/* | run/*) "$CARGO" "$command" --target "$target" "$@" ;;
    build/*-gnu*) "$CROSS_VENV/bin/cargo-zigbuild" zigbuild --target "$target.$CROSS_GLIBC" "$@" ;;
    build/*) "$CROSS_VENV/bin/cargo-zigbuild" zigbuild --target "$target" "$@" ;;
    */*-gnu*) "$CROSS_VENV/bin/cargo-zigbuild" "$command" --target "$target.$CROSS_GLIBC" "$@" ;;
    *) "$CROSS_VENV/bin/cargo-zigbuild" "$command" --target "$target" "$@" ;;
    esac
}
