#!/bin/sh
# Installs chr-node in Termux from a folder with a release, without a network and
# without root; installs it again over an older one; removes it.
#
#   sh install.sh [--from DIR] [--prefix DIR] [--dns "IP IP…"] [--no-start]
#   sh install.sh --remove | --purge [--prefix DIR]
#
#   --from DIR      folder with the programs and SHA256SUMS [the one of this script]
#   --prefix DIR    Termux's folder [$PREFIX, else /data/data/com.termux/files/usr]
#   --dns LIST      name servers to write into new settings (network.dns), where
#                   Termux has none of its own (`pkg install resolv-conf` brings some)
#   --no-start      leave the service as it is: neither enable nor restart it
#   --remove        take program, manual and service away; identity and settings stay
#   --purge         take everything away, the identity, too: it is lost
#
# Goes to $PREFIX/bin/chr-node, $PREFIX/etc/chr-node/chr-node.toml (kept when it is
# there), $PREFIX/var/lib/chr-node (identity and store, never touched),
# $PREFIX/var/service/chr-node (termux-services) and ~/.termux/boot/chr-node
# (Termux:Boot). Doing it twice is fine.
set -eu

say() { printf '%s\n' "$*"; }
die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}
wrong() {
    printf 'install.sh: %s; see sh install.sh --help\n' "$*" >&2
    exit 2
}
usage() { awk 'NR == 1 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' "$0"; }

here=$(cd "$(dirname "$0")" && pwd)
from=$here
prefix=${PREFIX:-/data/data/com.termux/files/usr}
dns=''
start=yes
task=install
while [ $# -gt 0 ]; do
    case $1 in
    --from | --prefix | --dns)
        [ $# -ge 2 ] || wrong "$1 needs a value"
        case $1 in
        --from) from=$2 ;;
        --prefix) prefix=$2 ;;
        --dns) dns=$2 ;;
        esac
        shift
        ;;
    --no-start) start='' ;;
    --remove) task=remove ;;
    --purge) task=purge ;;
    -h | --help)
        usage
        exit
        ;;
    *) wrong "unknown word \"$1\"" ;;
    esac
    shift
done

case $prefix in
/*) ;;
*) die "--prefix $prefix: a path that begins with / is needed" ;;
esac
[ -d "$prefix" ] || die "$prefix is not there: run this in Termux, or name its folder by --prefix"
home=${HOME:-${prefix%/usr}/home}
bin=$prefix/bin
program=$bin/chr-node
settings=$prefix/etc/chr-node/chr-node.toml
data=$prefix/var/lib/chr-node
service=$prefix/var/service/chr-node
logs=$prefix/var/log/sv/chr-node
manual=$prefix/share/man/man1/chr-node.1
boot=$home/.termux/boot/chr-node
# Termux's own programs first, whoever calls this.
PATH=$bin:$PATH
export PATH

# Which program runs here. A phone's kernel may be of 64 bits below a Termux of 32,
# which only its package manager knows.
target() {
    machine=''
    if [ -x "$bin/dpkg" ]; then machine=$("$bin/dpkg" --print-architecture) || machine=''; fi
    [ -n "$machine" ] || machine=$(uname -m)
    case $machine in
    aarch64 | arm64) echo aarch64-unknown-linux-musl ;;
    arm | armv7* | armv8l) echo armv7-unknown-linux-musleabihf ;;
    x86_64 | amd64) echo x86_64-unknown-linux-musl ;;
    *) die "there is no program for $machine; there are those for aarch64, armv7 and x86_64" ;;
    esac
}

# The program in the release folder, by its name there.
find_program() {
    found=''
    for file in "$from"/chr-node-*-"$1" "$from/$1/chr-node"; do
        [ -f "$file" ] || continue
        [ -z "$found" ] || die "$from has both $found and $file: leave the one that is meant"
        found=$file
    done
    [ -n "$found" ] || die "$from has no chr-node-VERSION-$1: put the release's file for this device and its SHA256SUMS there, or name their folder by --from"
}

# Whether $1 is the file that SHA256SUMS speaks of.
check() {
    sums=$from/SHA256SUMS
    [ -f "$sums" ] || die "$sums is missing: without it nobody knows whether the file arrived whole; copy it from the release"
    name=${1#"$from"/}
    wanted=$(awk -v name="$name" '{ file = $0; sub(/^[0-9a-f]+ [ *]/, "", file); if (file == name) print $1 }' "$sums")
    [ -n "$wanted" ] || die "$sums does not name $name: it belongs to another release"
    is=$(sha256sum <"$1") || die "sha256sum is missing: pkg install coreutils"
    [ "$wanted" = "${is%% *}" ] || die "$1 is not what SHA256SUMS says: it was cut or changed on the way; copy it again"
}

# put MODE FILE: standard input becomes FILE in one step.
put() {
    mkdir -p "$(dirname "$2")"
    cat >"$2.new"
    chmod "$1" "$2.new"
    mv -f "$2.new" "$2"
}

settings_text() {
    cat <<END
# chr-node in Termux. All settings: man chr-node, or chr-node config show --config
# $settings
# After a change: sv hup chr-node (settings that need a restart are named in the log).

[node]
profile = "android"

[storage]
data_dir = "$data"

[network]
# Where the network is entered, HOST:PORT of nodes that you know; addresses need no
# name server.
#seeds = ["node.example.org:51055"]
END
    if [ -n "$dns" ]; then
        printf 'dns = "%s"\n' "$dns"
    else
        cat <<END
# Name servers that are asked besides those of $prefix/etc/resolv.conf.
#dns = ["192.0.2.53"]
END
    fi
}

run_text() {
    cat <<END
#!$bin/sh
# runsv starts this and starts it again when it ends; one process, in the foreground.
exec 2>&1
PREFIX=$prefix
HOME=\${HOME:-$home}
TMPDIR=\${TMPDIR:-$prefix/tmp}
export PREFIX HOME TMPDIR
cd "$data" || exit 1
exec "$program" run --config "$settings"
END
}

log_text() {
    cat <<END
#!$bin/sh
mkdir -p "$logs"
exec svlogd -tt "$logs"
END
}

boot_text() {
    cat <<END
#!$bin/sh
# Termux:Boot runs this when the phone has started (open that app once).
PREFIX=$prefix
export PREFIX
PATH=$bin:\$PATH
export PATH
# Without it the phone sleeps, and so does the node.
if command -v termux-wake-lock >/dev/null; then
    termux-wake-lock
fi
if [ -r "$prefix/etc/profile.d/start-services.sh" ]; then
    . "$prefix/etc/profile.d/start-services.sh"
elif command -v runsvdir >/dev/null; then
    runsvdir "$prefix/var/service" >/dev/null 2>&1 &
else
    exec "$service/run"
fi
END
}

# supervised: whether runsv looks after the service now.
supervised() { command -v sv >/dev/null && sv status "$service" >/dev/null 2>&1; }

install_service() {
    if [ -d "$service" ]; then
        run_text | put 755 "$service/run"
        log_text | put 755 "$service/log/run"
    else
        # Under a name that runsvdir does not look at, until it is complete.
        new=$prefix/var/service/.chr-node.new
        rm -rf "$new"
        run_text | put 755 "$new/run"
        log_text | put 755 "$new/log/run"
        # As Termux's packages do: sv-enable takes it away.
        if [ -z "$start" ] || ! command -v sv >/dev/null; then
            : >"$new/down"
        fi
        mv "$new" "$service"
    fi
    # Half a megabyte of log at most: the flash of a phone is not for that.
    [ -e "$logs/config" ] || printf 's100000\nn5\n' | put 644 "$logs/config"
    boot_text | put 755 "$boot"
}

install() {
    kind=$(target)
    find_program "$kind"
    check "$found"
    if [ -x "$program" ]; then before=$("$program" --version 2>/dev/null || echo another); else before=''; fi
    mkdir -p "$bin" "$prefix/tmp"
    cp "$found" "$program.new"
    chmod 755 "$program.new"
    now=$("$program.new" --version) || {
        rm -f "$program.new"
        die "$found does not run here: is this device really a ${kind%%-*}?"
    }
    mv -f "$program.new" "$program"
    if [ -f "$from/chr-node.1" ]; then put 644 "$manual" <"$from/chr-node.1"; fi
    mkdir -p "$data"
    chmod 700 "$data"
    if [ -e "$settings" ]; then
        say "settings    $settings, kept as they are"
        [ -z "$dns" ] || say "            --dns was not written: put dns under [network] yourself"
    else
        settings_text | put 600 "$settings"
        say "settings    $settings"
    fi
    "$program" config check --config "$settings" >/dev/null ||
        die "the program is there, and does not take $settings: correct it, and run this again"
    install_service
    say "program     $program ($now${before:+, was $before})"
    say "identity    in $data${before:+, untouched}"
    if ! command -v sv >/dev/null; then
        say "service     not started: pkg install termux-services, start Termux anew, sv-enable chr-node"
    elif [ -z "$start" ]; then
        say "service     $service (as it was)"
    elif supervised; then
        if sv restart "$service" >/dev/null 2>&1; then
            say "service     restarted; its log: $logs/current"
        else
            say "service     does not come up again: sv status chr-node, and its log: $logs/current"
        fi
    elif [ -e "$service/down" ]; then
        say "service     disabled, as it was: sv-enable chr-node"
    else
        say "service     starts with Termux's services; its log: $logs/current"
    fi
    say "boot        $boot (needs the app Termux:Boot, opened once)"
    if [ ! -s "$prefix/etc/resolv.conf" ] && ! grep -q '^[ ]*dns' "$settings"; then
        say "names       none can be looked up: pkg install resolv-conf, or set network.dns in $settings"
    fi
}

remove() {
    if supervised; then
        sv exit "$service" >/dev/null 2>&1 || :
    fi
    # runsv goes by itself when its folder has gone.
    rm -rf "$service"
    rm -f "$program" "$manual" "$boot"
    if [ "$task" = purge ]; then
        rm -rf "$data" "$prefix/etc/chr-node" "$logs"
        say "chr-node is gone, and with it the identity that was in $data"
        return
    fi
    say "chr-node is removed. What stays:"
    say "  $data (identity and store)"
    say "  $settings"
    say "  $logs"
    say "sh install.sh --purge removes these, too; the identity cannot be had again then."
}

case $task in
install) install ;;
*) remove ;;
esac
