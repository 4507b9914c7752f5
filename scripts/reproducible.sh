# shellcheck shell=bash
# What makes two builds of one commit equal, byte for byte, wherever they are made.
# Sourced by scripts/cross-build (for every build, so that what is tested is what is
# released) and by scripts/release. Nothing here decides about size or speed.
#
# What made them differ, and what is done about it:
#   panic messages name source files   the folders of the checkout, of cargo's crates, of
#                                      its output and of the standard library are cut off
#   __FILE__ and debug lines of C      the same for the C compiler, and no debug lines
#   the build date (platform::clock)   SOURCE_DATE_EPOCH: the time of the last commit
#   the compiler and zig               pinned in scripts/cross-build; `scripts/release`
#                                      writes their versions into BUILD.txt
# What does not: names of users and machines, times of files, the number of CPUs, the
# order of folders. `scripts/release --verify-reproducible` shows it.

# reproducible TARGET: sets CARGO_TARGET_*_RUSTFLAGS and CFLAGS_* (after what they have)
# and SOURCE_DATE_EPOCH for a build of the checkout that is the current folder.
reproducible() {
    local target=$1 up low root home out flags='' cflags='-g0' pair from
    up=$(tr 'a-z-' 'A-Z_' <<<"$target")
    low=${target//-/_}
    root=$(pwd -P)
    home=${CARGO_HOME:-$HOME/.cargo}
    out=${CARGO_TARGET_DIR:-$root/target}
    case $out in /*) ;; *) out=$root/$out ;; esac
    # Where cargo has unpacked nothing yet, it does now: the folder's name depends on
    # which index or mirror it comes from.
    if ! compgen -G "$home/registry/src/*/" >/dev/null; then
        "${CARGO:-cargo}" fetch --locked --quiet >&2 || return 1
    fi
    # The last that fits counts, so the inner folders come last. A crate's folder is
    # named after it and its version: that is all that a message needs.
    local pairs=("/usr/lib/rustlib/src/rust=/rust" "$home=/cargo")
    for from in "$home"/registry/src/*/; do
        [ -d "$from" ] && pairs+=("${from%/}=/crates")
    done
    pairs+=("$root=/chr-node" "$out=/out")
    for pair in "${pairs[@]}"; do
        case $pair in
        *[[:space:]]*)
            echo "reproducible: a space in ${pair%=*}: cargo's flags have none; build in another folder" >&2
            return 1
            ;;
        esac
        flags+=" --remap-path-prefix=$pair"
        cflags+=" -ffile-prefix-map=$pair"
    done
    export "CARGO_TARGET_${up}_RUSTFLAGS=$(printenv "CARGO_TARGET_${up}_RUSTFLAGS" || true)$flags"
    export "CFLAGS_${low}=$(printenv "CFLAGS_${low}" || true) $cflags"
    if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
        SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
    fi
    export SOURCE_DATE_EPOCH
}
