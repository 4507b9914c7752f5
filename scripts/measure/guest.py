"""Reads a node's memory inside an emulated machine; scripts/measure-guest calls this.

The machine is QEMU's `virt` with Debian's kernel. Its only program beside the
node is busybox, whose shell takes commands over the serial line. The devices run
outside, through a port forwarded on 127.0.0.1: neither they nor the emulator count.
"""

import argparse
import json
import pathlib
import queue
import re
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from crowd import Crowd, Failed  # noqa: E402

# A kernel that boots in an emulator on a busy machine.
BOOT = 240
# One command in there.
PATIENCE = 120
# Where devices connect, as the node's defaults have it.
PORT = 41046
# The node looks after its house every ten seconds, and gives memory back when
# nobody has left since it looked last.
AFTERWARDS = 40
# Bytes carried while all sessions stand.
TRAFFIC = 8 << 20
# The end of an answer; nothing else in there writes it.
END = "\x04end"


class Guest:
    """An emulated machine and its shell."""

    def __init__(self, options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        arm = options.target.startswith("armv7")
        self.cpu = options.cpu or ("cortex-a7" if arm else "cortex-a53")
        self.child = subprocess.Popen(
            [
                "qemu-system-arm" if arm else "qemu-system-aarch64", "-M", "virt", "-cpu", self.cpu,
                "-smp", str(options.cores), "-m", f"{options.memory}M", "-kernel", options.kernel,
                "-initrd", options.initramfs, "-append", "console=ttyAMA0 quiet loglevel=0 rootfstype=ramfs panic=-1",
                "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nodefaults",
                "-netdev", f"user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:{PORT}",
                "-device", "virtio-net-device,netdev=n",
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )
        self.lines = queue.Queue()
        self.seen = []
        threading.Thread(target=self.read, daemon=True).start()
        self.answer(BOOT)

    def read(self):
        for line in self.child.stdout:
            self.lines.put(line.strip("\r\n"))
        self.lines.put(None)

    def answer(self, patience):
        end, lines = time.monotonic() + patience, []
        while True:
            try:
                line = self.lines.get(timeout=max(0.1, end - time.monotonic()))
            except queue.Empty:
                raise Failed(f"the emulated machine does not answer; it said last: {' / '.join(self.seen[-5:])}") from None
            if line is None:
                raise Failed(f"the emulated machine stopped; it said last: {' / '.join(self.seen[-5:])}")
            self.seen.append(line)
            if line.startswith(END):
                return "\n".join(lines)
            lines.append(line)

    def run(self, command):
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        return self.answer(PATIENCE)

    def memory(self):
        """What the kernel in there says of the node, in KiB."""
        text = self.run("cat /proc/$node/status /proc/$node/smaps_rollup; grep -E 'MemTotal|MemFree|MemAvailable' /proc/meminfo")
        numbers = {key: int(value) for key, value in re.findall(r"^(\w+):\s+(\d+)", text, re.M)}
        if "VmRSS" not in numbers:
            raise Failed(f"the node has ended in there: {self.run('tail -n 5 /log')}")
        faults = self.run("cat /proc/$node/stat").rsplit(")", 1)[-1].split()
        return {
            "rss_kb": numbers["VmRSS"],
            "own_kb": numbers["RssAnon"],
            "file_kb": numbers["RssFile"] + numbers["RssShmem"],
            "peak_kb": numbers["VmHWM"],
            "dirty_kb": numbers.get("Private_Dirty", 0) + numbers.get("Shared_Dirty", 0),
            "pss_kb": numbers.get("Pss", 0),
            "threads": numbers["Threads"],
            "faults": int(faults[7]),
            "free_kb": numbers["MemAvailable"],
            "total_kb": numbers["MemTotal"],
        }

    def close(self):
        self.child.kill()
        self.child.wait()


def measure(options):
    say(f"booting with {options.memory} MB and {options.cores} CPUs")
    guest = Guest(options)
    crowd = None
    try:
        before = int(re.search(r"MemAvailable:\s+(\d+)", guest.run("cat /proc/meminfo")).group(1))
        words = " ".join("--set " + setting for setting in options.set)
        profile = f"--profile {options.profile}" if options.profile else ""
        started = guest.run(
            f"read a b </proc/uptime; chr-node run --data-dir /data {profile} {words} </dev/null >/log 2>&1 & node=$!; "
            "until [ -s /data/run.json ] || [ ! -d /proc/$node ]; do usleep 5000; done; read c d </proc/uptime; echo $a $c"
        ).split()
        if not guest.run("cat /data/run.json").startswith("{"):
            raise Failed(f"the node does not start in there: {guest.run('tail -n 5 /log')}")
        figures = {
            "unit": options.target + (":router" if options.router else ""),
            "target": options.target, "cpu": guest.cpu, "cores": options.cores, "memory_mb": options.memory,
            "free_before_kb": before, "profile": options.profile or "auto",
            "start_s": round(float(started[1]) - float(started[0]), 2),
        }
        say(f"idle: its memory is read {options.settle} s after the start")
        time.sleep(options.settle)
        figures["idle"] = guest.memory()
        crowd = Crowd(options.crowd, f"127.0.0.1:{guest.port}")
        say(f"{options.sessions} sessions")
        crowd.ask(f"hold {options.sessions}")
        time.sleep(options.settle)
        figures["sessions"] = options.sessions
        figures["with_sessions"] = guest.memory()
        say(f"{TRAFFIC >> 20} MiB of traffic beside them")
        crowd.ask("pair")
        begun = time.monotonic()
        crowd.ask(f"carry {TRAFFIC}")
        figures["mb_a_second"] = round(TRAFFIC / 1e6 / (time.monotonic() - begun), 2)
        figures["with_traffic"] = guest.memory()
        say(f"all leave; {AFTERWARDS} s later")
        crowd.ask("leave")
        time.sleep(AFTERWARDS)
        figures["afterwards"] = guest.memory()
        if options.maps:
            pathlib.Path(options.maps).write_text(guest.run("cat /proc/$node/smaps"))
    except Failed as error:
        if guest.child.poll() is None and crowd:
            raise Failed(f"{error}; the node: {guest.run('tail -n 3 /log')}") from None
        raise
    finally:
        if crowd:
            crowd.close()
        guest.close()
    idle = figures["idle"]
    figures |= {
        "idle_rss_kb": idle["rss_kb"], "idle_own_kb": idle["own_kb"],
        "with_sessions_kb": figures["with_sessions"]["rss_kb"],
        "how": f"VmRSS in an emulated {guest.cpu} with {options.memory} MB, {options.settle} s after the start",
    }
    return figures


def say(text):
    print(f"== {text}", file=sys.stderr)


def table(figures):
    print(f"{figures['unit']} on {figures['cpu']}, {figures['memory_mb']} MB, {figures['cores']} CPUs, started in {figures['start_s']} s, "
          f"relayed {figures['mb_a_second']} MB/s; KiB:")
    names = ("rss_kb", "own_kb", "file_kb", "peak_kb", "dirty_kb", "threads", "faults", "free_kb")
    print(f"  {'':22}" + "".join(f"{name.removesuffix('_kb'):>9}" for name in names))
    rows = {"idle": "idle", "with_sessions": f"{figures['sessions']} sessions", "with_traffic": "… and traffic", "afterwards": "when they have left"}
    for key, title in rows.items():
        print(f"  {title:22}" + "".join(f"{figures[key][name]:>9}" for name in names))


def main():
    parser = argparse.ArgumentParser(add_help=False)
    for name in ("target", "crowd", "kernel", "initramfs", "out"):
        parser.add_argument("--" + name, required=True)
    for name, default in (("memory", 256), ("cores", 2), ("sessions", 200), ("settle", 15)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--cpu")
    parser.add_argument("--profile")
    parser.add_argument("--maps")
    parser.add_argument("--router", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        figures = measure(options)
    except (Failed, OSError) as error:
        sys.exit(f"scripts/measure-guest: {options.target}: {error}")
    line = json.dumps(figures)
    pathlib.Path(options.out).write_text(line + "\n")
    if options.json:
        print(line)
    else:
        table(figures)


if __name__ == "__main__":
    main()
