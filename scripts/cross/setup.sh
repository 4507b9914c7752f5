# shellcheck shell=bash
# The compilers for scripts/cross-build, which sources this: Debian's rustc-web with
# the source of its own standard library (build-std: any target), and zig as C
# compiler and linker (cargo-zigbuild), from PyPI. The rustup toolchain, if there is
# one, stays what plain `cargo` runs.

CROSS_ZIG=0.17.1
CROSS_ZIGBUILD=0.24.0
# The first one that was tried; older ones lack what heed calls.
CROSS_RUST=1.96
CROSS_DIR=${CHR_CROSS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/chr-node-cross}
CROSS_VENV=$CROSS_DIR/venv
CROSS_PACKAGES=(rustc-web cargo-web rust-web-src python3-venv binutils git)

# Installs what is missing, or says what to install.
set_up_compiler() {
    local missing=() package conf
    [ "$(uname -m)" = x86_64 ] || die "this script builds on x86_64; on $(uname -m) use cargo build itself"
    command -v dpkg-query >/dev/null ||
        die "this script takes its compiler from Debian 12's packages (${CROSS_PACKAGES[*]}); elsewhere use \`cross build --target …\` (docs/cross-building.md)"
    for package in "${CROSS_PACKAGES[@]}"; do
        dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
    done
    if [ ${#missing[@]} != 0 ]; then
        [ "$(id -u)" = 0 ] || die "missing: as root, apt-get install ${missing[*]}"
        echo "== installing: ${missing[*]}" >&2
        # This machine's own architecture alone: the index of a foreign one that is
        # out of step with the others would fail the whole update.
        conf=$(mktemp)
        printf '#clear APT::Architectures;\nAPT::Architectures { "%s"; };\nAPT::Get::List-Cleanup "0";\n' \
            "$(dpkg --print-architecture)" >"$conf"
        APT_CONFIG=$conf apt-get update -qq >&2 || echo "scripts/cross-build: apt-get update complained; going on" >&2
        rm -f "$conf"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
            die "apt-get install ${missing[*]} failed: rustc-web is in Debian 12's security suite; is that among the apt sources?"
    fi
    local rust src
    rust=$(package_version rustc-web)
    src=$(package_version rust-web-src)
    [ "$rust" = "$src" ] || die "rustc-web is $rust and rust-web-src $src: upgrade both"
    dpkg --compare-versions "$rust" ge "$CROSS_RUST" || die "rustc-web is $rust, and $CROSS_RUST is needed: apt-get upgrade it"
    if [ "$(cat "$CROSS_DIR/versions" 2>/dev/null)" != "$CROSS_ZIG $CROSS_ZIGBUILD" ]; then
        echo "== installing: zig $CROSS_ZIG, cargo-zigbuild $CROSS_ZIGBUILD in $CROSS_DIR" >&2
        mkdir -p "$CROSS_DIR"
        rm -rf "$CROSS_VENV"
        /usr/bin/python3 -m venv "$CROSS_VENV"
        "$CROSS_VENV/bin/pip" install -q --disable-pip-version-check \
            "ziglang==$CROSS_ZIG" "cargo-zigbuild==$CROSS_ZIGBUILD" >&2 ||
            die "zig could not be installed from PyPI"
        echo "$CROSS_ZIG $CROSS_ZIGBUILD" >"$CROSS_DIR/versions"
    fi
}

package_version() {
    # shellcheck disable=SC2016 # dpkg's own variable
    dpkg-query -W -f '${Version}' "$1" | sed 's/[+-].*//'
}

# compiler_for TARGET: the environment of cargo for it.
compiler_for() {
    local target=$1 up low
    up=$(tr 'a-z-' 'A-Z_' <<<"$target")
    low=${target//-/_}
    unset RUSTUP_TOOLCHAIN RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTFLAGS
    export CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
    # build-std is not stable, and Debian's compiler is a stable one.
    export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort,panic_unwind
    export PATH=$CROSS_VENV/bin:$PATH
    case $target in
    *-musl*)
        # zig brings crt1.o and libc.a; rustc would name its own, which are not here.
        export "CARGO_TARGET_${up}_RUSTFLAGS=-Clink-self-contained=no"
        # As in .cargo/config.toml, which what stands in the environment overrules.
        export "CFLAGS_$low=-DMDB_USE_ROBUST=0"
        ;;
    *-android)
        # Without Android's headers the C parts are compiled against musl's, never linked.
        make_android_compiler
        export "CFLAGS_$low=-DMDB_USE_ROBUST=0" "CC_$low=$CROSS_DIR/android-cc" "AR_$low=$CROSS_DIR/android-ar"
        ;;
    esac
}

make_android_compiler() {
    cat >"$CROSS_DIR/android-cc" <<END
#!/bin/bash
words=()
for word in "\$@"; do case \$word in --target=*) ;; *) words+=("\$word") ;; esac; done
exec "$CROSS_VENV/bin/python" -m ziglang cc -target aarch64-linux-musl -D__ANDROID__=1 "\${words[@]}"
END
    printf '#!/bin/sh\nexec "%s" -m ziglang ar "$@"\n' "$CROSS_VENV/bin/python" >"$CROSS_DIR/android-ar"
    chmod +x "$CROSS_DIR/android-cc" "$CROSS_DIR/android-ar"
}
