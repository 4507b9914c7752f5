#!/bin/bash
# What the scripts of this folder share; sourced by them, does nothing by itself.
#
#   . "$(dirname "$0")/lib.sh"       then $root is the folder of the sources
#
# Everything that people are to read goes to standard error: standard output is
# for what a script was asked for (paths), so that scripts can be put together.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The name that messages begin with.
case $0 in
*/scripts/*) script=scripts/${0##*/scripts/} ;;
*) script=${0#./} ;;
esac
export script

# say WORDS…: how far it is.
say() { printf '== %s\n' "$*" >&2; }

# die WORDS…: what is wrong, where, and what to do; ends the script.
die() {
    printf '%s: %s\n' "$script" "$*" >&2
    exit 1
}

# usage: the text at the head of the calling script, without its signs.
usage() { awk 'NR == 1 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' "$0"; }

# wrong WORDS…: a word on the command line that cannot be; ends with 2.
wrong() {
    printf '%s: %s; see %s --help\n' "$script" "$*" "$script" >&2
    exit 2
}

# version: of Cargo.toml.
version() { sed -n '/^\[package\]/,/^\[[^p]/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml"; }

# source_date_epoch: the seconds that every time in a package gets, so that two
# builds of one commit are equal: SOURCE_DATE_EPOCH, else the last commit's.
source_date_epoch() {
    if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
        printf '%s\n' "$SOURCE_DATE_EPOCH"
    else
        git -C "$root" log -1 --format=%ct 2>/dev/null ||
            die "the time of the last commit is unknown (no git, or no repository); set SOURCE_DATE_EPOCH"
    fi
}

# target_dir: where cargo builds, as an absolute path.
target_dir() {
    case ${CARGO_TARGET_DIR:-} in
    '') printf '%s\n' "$root/target" ;;
    /*) printf '%s\n' "$CARGO_TARGET_DIR" ;;
    *) printf '%s\n' "$PWD/$CARGO_TARGET_DIR" ;;
    esac
}

# need PROGRAM=PACKAGE…: installs Debian's packages of the programs that are
# missing, or ends with the command that would. A word without = is a package
# that has no program of its own (asked of dpkg).
need() {
    local word missing=()
    # Programs of administrators, which a plain user's PATH may lack. Only if so:
    # C parts are compiled anew when PATH is another one.
    case :$PATH: in
    *:/usr/sbin:*) ;;
    *) export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" ;;
    esac
    for word; do
        case $word in
        *=*) command -v "${word%%=*}" >/dev/null || missing+=("${word#*=}") ;;
        *) dpkg-query -W -f '${Status}' "$word" 2>/dev/null | grep -q ' installed$' || missing+=("$word") ;;
        esac
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        die "missing: ${missing[*]}; as root on Debian: apt-get install ${missing[*]}"
    fi
    say "installing: ${missing[*]}"
    install_quietly "${missing[@]}" || die "apt-get install ${missing[*]} failed; see above"
}

# install_quietly PACKAGE…: without starting services that the packages bring.
install_quietly() {
    local policy=/usr/sbin/policy-rc.d made='' result=0
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made=$policy
    fi
    # Lists that are there may do; fetching them takes half a minute. Others may be
    # installing at the same time.
    {
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" ||
            {
                apt-get -o DPkg::Lock::Timeout=300 update -qq &&
                    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@"
            }
    } >/dev/null || result=$?
    [ -z "$made" ] || rm -f "$made"
    return "$result"
}
