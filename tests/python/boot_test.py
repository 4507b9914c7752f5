#!/usr/bin/env python3
"""The checks of scripts/boot-test, which makes what they need and starts them.

    boot_test.py package --image FILE --deb FILE --kernel FILE --initrd FILE
                         --program FILE --folder FOLDER --seed N
    boot_test.py flashed …the same…

`package`: the image has the package as /root/new.deb, and as /root/old.deb with an
older version. `flashed`: scripts/flash-pi has prepared the image. Each check prints
`ok: …` or `failed: …`; exit code 1 if one failed.
"""

import argparse
import hashlib
import random
import re
import subprocess
import sys
import time

from boot_devices import TICKET_DEVICES, Program, TicketTraffic, ask, fetch, serve
from boot_machine import Broken, Machine
from chr_client import Failure

# How long a unit may take to come up under emulation.
UNIT_TIME = 180.0
PAYLOAD = 2 * 1024 * 1024
# What systemd-analyze security may say at most; the scale ends at 10.
EXPOSURE_MAX = 2.0


class Checks:
    failed = 0

    def check(self, good, what, otherwise=""):
        if not good:
            self.failed += 1
        line = f"{'ok' if good else 'failed'}: {what}"
        print(line + (f": {otherwise}" if otherwise and not good else ""), flush=True)
        return good

    def note(self, what):
        print(f"    {what}", flush=True)


# --- what is looked at inside ---------------------------------------------------


def unit(machine):
    """The unit's properties."""
    names = "Type,ActiveState,SubState,StatusText,ActiveEnterTimestamp,NRestarts,MainPID"
    names += ",WatchdogUSec,Result,User,ExecMainStartTimestampMonotonic"
    text = machine.output(f"systemctl show chr-node -p {names},ActiveEnterTimestampMonotonic")
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def check_unit(checks, machine, when, restarts=0):
    if machine.until("systemctl is-active -q chr-node", UNIT_TIME) is None:
        checks.check(
            False,
            f"{when}: the unit is active",
            machine.output(
                "systemctl is-active chr-node; journalctl -b -u chr-node -n 20 -o cat --no-pager"
            ),
        )
        raise Broken("without a running unit there is nothing to check")
    shown = unit(machine)
    # A unit of such a type is active only once it has sent READY=1.
    checks.check(
        shown["Type"].startswith("notify") and shown["ActiveState"] == "active",
        f"{when}: the unit is up and READY was notified ({shown['Type']}, watchdog "
        f"{shown['WatchdogUSec']}, since {shown['ActiveEnterTimestamp']})",
        str(shown),
    )
    checks.check(
        shown["NRestarts"] == str(restarts),
        f"{when}: it was restarted {restarts} times",
        f"{shown['NRestarts']} times",
    )
    return shown


def check_journal(checks, machine, when):
    """Neither the program nor the kernel complains."""
    ours = machine.output("journalctl -b -u chr-node -p warning -o cat --no-pager")
    checks.check(not ours, f"{when}: no warning of ours in the journal", ours)
    kills = machine.output("journalctl -b --no-pager -o short | grep -E 'SIGSYS|type=1326' || true")
    checks.check(not kills, f"{when}: no system call was refused by force", kills)


def check_hardening(checks, machine, folder):
    said = machine.output("systemd-analyze security --no-pager chr-node")
    with open(f"{folder}/security.txt", "w", encoding="utf-8") as file:
        file.write(said)
    level = re.search(r"Overall exposure level for chr-node.service: ([0-9.]+) (\w+)", said)
    checks.check(
        level is not None and float(level[1]) <= EXPOSURE_MAX,
        f"systemd-analyze security: {level[1] if level else '?'} of 10 ({folder}/security.txt)",
        said[-300:],
    )
    # What the program reads of the machine, with its eyes: its namespace, its user.
    pid = unit(machine)["MainPID"]
    seen = machine.run(
        f"""group=$(cut -d: -f3 /proc/{pid}/cgroup)
        nsenter -t {pid} -m setpriv --reuid "$(stat -c %u /proc/{pid})" --clear-groups sh -euc '
        grep -q MemAvailable /proc/meminfo
        cat "/sys/fs/cgroup$1/memory.max" /proc/sys/kernel/osrelease /proc/cpuinfo >/dev/null
        ls /sys/class/thermal /sys/class/power_supply /sys/class/net >/dev/null
        cat /etc/resolv.conf /etc/hosts >/dev/null 2>&1 || [ ! -e /etc/resolv.conf ]
        ! touch /usr/bin/x /etc/x /root/x 2>/dev/null' sh "$group" """
    )
    checks.check(
        seen[0] == 0,
        "inside the sandbox /proc, /sys and its cgroup can be read, "
        "and nothing of the system written",
        seen[1],
    )
    # A rate needs two readings.
    end = time.monotonic() + 60
    while True:
        numbers = ask(machine, "network_stats")
        numbers = {key: numbers[key] for key in ("memory_bytes", "cpu_percent")}
        if None not in numbers.values() or time.monotonic() > end:
            break
        time.sleep(1)
    checks.check(
        None not in numbers.values(), f"the node reads its own memory and CPU time: {numbers}"
    )


def memory(checks, machine, when):
    pid = unit(machine)["MainPID"]
    text = machine.output(
        f"grep -E '^(VmHWM|VmRSS|RssAnon|RssFile|Threads):' /proc/{pid}/status | "
        "tr -s ' \\t' ' ' | tr '\\n' ' '"
    )
    checks.note(f"memory {when}: {text}")


def open_rpc(machine):
    """The RPC port answers on all addresses, as somebody would set it. The rest of
    the file stays."""
    machine.run(
        """set -e
        file=/etc/chr-node/chr-node.toml
        mkdir -p /etc/chr-node
        touch $file
        if grep -q '^\\[network\\]' $file; then
            sed -i 's/^\\[network\\].*/&\\nrpc_bind = "0.0.0.0"/' $file
        else
            printf '\\n[network]\\nrpc_bind = "0.0.0.0"\\n' >>$file
        fi
        systemctl restart chr-node"""
    )


# --- the two parts --------------------------------------------------------------


def package(checks, machine, options):
    took = machine.start()
    system = machine.output(
        'uname -sr; . /etc/os-release; echo "$PRETTY_NAME"; '
        "systemctl --version | sed -n 's/ (.*//;1p'"
    ).replace("\n", ", ")
    checks.check(True, f"boots in {took:.0f} s: {system}")

    began = time.monotonic()
    code, said = machine.run("dpkg -i /root/old.deb")
    checks.check(code == 0, f"dpkg installs it in {time.monotonic() - began:.0f} s", said)
    check_unit(checks, machine, "installed")
    open_rpc(machine)
    check_unit(checks, machine, "restarted with a setting")
    check_hardening(checks, machine, options.folder)

    began = time.monotonic()
    status, page = fetch(f"http://127.0.0.1:{machine.rpc}/")
    checks.check(
        status == 200 and b"<html" in page.lower() and b"chr-node" in page,
        f"the status page answers through the forwarded port ({len(page)} bytes, "
        f"{(time.monotonic() - began) * 1000:.0f} ms)",
    )
    info = ask(machine, "chr_node_info")
    node = info["node_id"]
    checks.check(info["health"] == "ok", f"node {node} is well", str(info))

    payload = random.Random(options.seed).randbytes(PAYLOAD)
    target = serve(payload)
    place = f"{node}@127.0.0.1:{machine.edge}"
    publisher = Program(
        options.program, options.folder, "publisher", "publish", f"{target}:public", "--node", place
    )
    ready = publisher.wait("ready", 60)
    if not checks.check(ready, "a device on the host publishes through it"):
        raise Broken(f"it says {publisher.events}; its log is publisher.log")
    forwarder = Program(
        options.program, options.folder, "forwarder",
        "forward", "127.0.0.1:0", f"{ready['device']}:{target}", "--node", place,
    )  # fmt: skip
    joined = forwarder.wait("ready", 60)
    if not checks.check(joined, "another one forwards to it"):
        raise Broken(f"it says {forwarder.events}; its log is forwarder.log")

    def compare(when):
        began = time.monotonic()
        try:
            _, got = fetch(f"http://{joined['listen']}/")
        except OSError as problem:
            checks.check(False, f"{when}: bytes compare", str(problem))
            return
        same = hashlib.sha256(got).digest() == hashlib.sha256(payload).digest()
        rate = len(got) / (time.monotonic() - began) / 1e6
        checks.check(
            same, f"{when}: {len(got)} bytes through it compare ({rate:.1f} MB/s emulated)"
        )

    def back(when, before):
        """Both devices are connected again, by themselves."""
        both = all(
            program.wait("back", 180, after)
            for program, after in zip((publisher, forwarder), before, strict=True)
        )
        checks.check(both, f"{when}: the devices come back by themselves")
        compare(when)

    def marks():
        return len(publisher.events), len(forwarder.events)

    def identity(when):
        now = ask(machine, "chr_node_info", 180)["node_id"]
        checks.check(now == node, f"{when}: it is the same node", f"{now} was {node}")

    compare("installed")
    pid = unit(machine)["MainPID"]
    code, said = machine.run("systemctl reload chr-node")
    time.sleep(1)
    shown = unit(machine)
    checks.check(
        code == 0 and shown["MainPID"] == pid and shown["ActiveState"] == "active",
        "a reload keeps the process",
        said + str(shown),
    )
    memory(checks, machine, "with two devices, after a transfer")
    check_journal(checks, machine, "installed")

    # An upgrade, with the setting that somebody has made.
    before = marks()
    old, new = machine.output(
        "dpkg-query -W -f '${Version}\\n' chr-node; dpkg-deb -f /root/new.deb Version"
    ).splitlines()
    kept = "sha256sum /etc/chr-node/chr-node.toml"
    settings = machine.output(kept)
    began = time.monotonic()
    code, said = machine.run("dpkg -i /root/new.deb")
    checks.check(
        code == 0, f"upgrade from {old} to {new} in {time.monotonic() - began:.0f} s", said
    )
    check_unit(checks, machine, "upgraded")
    checks.check(machine.output(kept) == settings, "upgraded: the settings are as they were")
    identity("upgraded")
    back("upgraded", before)

    # A process that hangs.
    shown = unit(machine)
    before, began = marks(), time.monotonic()
    machine.run(f"kill -STOP {shown['MainPID']}")
    again = machine.until(
        f"[ \"$(systemctl show chr-node -p MainPID --value)\" != {shown['MainPID']} ] && "
        "systemctl is-active -q chr-node", 300
    )  # fmt: skip
    checks.check(
        again is not None,
        f"systemd's watchdog replaces a stopped process after {time.monotonic() - began:.0f} s",
        str(unit(machine)),
    )
    check_unit(checks, machine, "after the watchdog", restarts=1)
    identity("after the watchdog")
    back("after the watchdog", before)

    # A reboot in the middle of ticket traffic.
    traffic = TicketTraffic(machine, options.folder)

    def pay_for(seconds):
        traffic.begin()
        end = time.monotonic() + seconds
        while time.monotonic() < end or traffic.tickets() < 2 * TICKET_DEVICES:
            if time.monotonic() > end + 120:
                raise Broken("the node acknowledges no tickets")
            time.sleep(0.05)

    pay_for(10)
    before = marks()
    took = machine.reboot()
    traffic.end()
    checks.note(f"{traffic.tickets()} tickets were acknowledged; reboot took {took:.0f} s")
    check_unit(checks, machine, "rebooted")
    identity("rebooted")
    traffic.check(checks, "rebooted")
    back("rebooted", before)
    check_journal(checks, machine, "rebooted")

    # The plug is pulled, at a moment that the seed decides.
    lots = random.Random(options.seed)
    for cut in range(1, options.cuts + 1):
        when = f"power cut {cut}"
        pay_for(8 + 4 * lots.random())
        before = marks()
        kept, lost = machine.power_cut()
        traffic.end()
        checks.note(
            f"{traffic.tickets()} tickets were acknowledged; of {kept + lost} blocks that were not "
            f"flushed {lost} are lost"
        )
        took = machine.start()
        checks.note(f"boot took {took:.0f} s")
        check_unit(checks, machine, when)
        identity(when)
        traffic.check(checks, when)
        back(when, before)
        check_journal(checks, machine, when)
    memory(checks, machine, "with two devices, after the power cut")

    # The store itself, which a running node holds.
    code, said = machine.run(
        "systemctl stop chr-node && "
        "runuser -u chr-node -- chr-node store check --data-dir /var/lib/chr-node"
    )
    checks.check(code == 0, f"store check: {said.strip()}", f"exit code {code}")
    machine.power_off()


def flashed(checks, machine, options):
    took = machine.start()
    checks.check(True, f"the image that flash-pi made boots in {took:.0f} s")
    # The plug is pulled while the package is being installed: the next boot goes on.
    busy = machine.run("[ -e /etc/systemd/system/chr-node-first-boot.service ]")[0] == 0
    kept, lost = machine.power_cut()
    checks.note(
        f"power cut {'in' if busy else 'after'} the installation; of {kept + lost} blocks that "
        f"were not flushed {lost} are lost"
    )
    checks.note(f"boot took {machine.start():.0f} s")
    gone = machine.until("[ ! -e /etc/systemd/system/chr-node-first-boot.service ]", 300)
    checks.check(
        gone is not None,
        f"the first-boot unit has done its work and is gone ({gone or 0:.0f} s after the boot)",
        machine.output("systemctl status --no-pager -l chr-node-first-boot"),
    )
    state = machine.output("dpkg-query -W -f '${db:Status-Abbrev} ${Version}' chr-node")
    checks.check(state.startswith("ii "), f"the package is installed ({state})", state)
    check_unit(checks, machine, "first boot")
    left = machine.output(
        "cd /etc/systemd/system; "
        "ls -d /var/lib/chr-node-first-boot *.wants/chr-node-first-boot.service 2>/dev/null"
    )
    checks.check(not left, "nothing of the first boot is left over", left)
    info = ask(machine, "chr_node_info", 120)
    checks.check(
        info["name"] == "flashed", f"the node has the name that was given ({info['name']})"
    )
    told = machine.output("cat /boot/firmware/chr-node.txt")
    checks.check(
        info["node_id"] in told,
        "the boot partition tells the node's address",
        told or "no chr-node.txt",
    )
    check_journal(checks, machine, "first boot")
    memory(checks, machine, "idle")
    took = machine.reboot()
    check_unit(checks, machine, f"rebooted in {took:.0f} s")
    again = ask(machine, "chr_node_info", 120)
    checks.check(
        again["node_id"] == info["node_id"] and again["name"] == "flashed",
        "rebooted: it is the same node",
        str(again),
    )
    machine.power_off()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("package", "flashed"))
    for name in ("image", "deb", "kernel", "initrd", "program", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--cuts", type=int, default=3)
    options = parser.parse_args()
    checks = Checks()
    print(f"== {options.part} (seed {options.seed})", flush=True)
    began = time.monotonic()
    machine = Machine(options.image, options.kernel, options.initrd, options.folder, options.seed)
    try:
        (package if options.part == "package" else flashed)(checks, machine, options)
    except (Broken, Failure, OSError, subprocess.TimeoutExpired) as problem:
        checks.check(False, f"the test came to its end: {problem}")
    finally:
        if machine.process is not None:
            state = machine.ask(
                "journalctl -b --no-pager -n 200; systemctl --failed --no-pager", 60
            )
            with open(f"{options.folder}/{machine.name}.journal", "w", encoding="utf-8") as file:
                file.write(state[1] if state else "no answer\n")
        machine.close()
        Program.end_all()
    print(
        f"== {options.part}: {time.monotonic() - began:.0f} s, {checks.failed} failed", flush=True
    )
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
