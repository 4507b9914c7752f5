# shellcheck shell=bash
# What the shipped builds are compiled with beyond Cargo.toml's profiles, for size.
# Sourced by scripts/cross-build; docs/sizes.md has what each brings.

# flags_for TARGET PROFILE
flags_for() {
    local target=$1 up
    up=$(tr 'a-z-' 'A-Z_' <<<"$target")
    add() { export "CARGO_TARGET_${up}_RUSTFLAGS=$(printenv "CARGO_TARGET_${up}_RUSTFLAGS" || true) $1"; }
    : "$2"
}
