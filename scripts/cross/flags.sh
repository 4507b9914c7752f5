# shellcheck shell=bash
# What the shipped builds are compiled with beyond Cargo.toml's profiles, for size.
# Sourced by scripts/cross-build; docs/sizes.md has what each brings.

# flags_for TARGET PROFILE
flags_for() {
    local target=$1 profile=$2 up
    up=$(tr 'a-z-' 'A-Z_' <<<"$target")
    add() { export "CARGO_TARGET_${up}_RUSTFLAGS=$(printenv "CARGO_TARGET_${up}_RUSTFLAGS" || true) $1"; }
    # An abort needs no tables to unwind by.
    [ "$profile" = release ] || add -Cforce-unwind-tables=no
    # What follows is for a standard library from source.
    [ "$CROSS_COMPILER" = debian ] || return 0
    # Of std's features not `backtrace`: in a stripped program it prints addresses
    # without names, and what would look for the names is 100 KB.
    if [ "$profile" = release ]; then
        export CARGO_UNSTABLE_BUILD_STD_FEATURES=panic-unwind
        return 0
    fi
    export CARGO_UNSTABLE_BUILD_STD_FEATURES=optimize_for_size
    # A panic ends the process at once, without a word, and errors of libraries are
    # told without what only `{:?}` writes.
    add "-Zunstable-options -Cpanic=immediate-abort -Zfmt-debug=none -Zlocation-detail=none"
    # Thumb-2, as Debian's armhf is all of: a third smaller.
    case $target in armv7-*) add -Ctarget-feature=+thumb-mode ;; esac
}
