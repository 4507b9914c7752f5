"""Counts the instructions of a node in QEMU's user-mode emulation; scripts/measure-instructions calls this."""

import argparse
import collections
import json
import mmap
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from crowd import Crowd, Failed  # noqa: E402

# What the emulator is told: processors of small devices, none with AES.
EMULATORS = {
    "armv7": ("qemu-arm", "cortex-a7"),
    "aarch64": ("qemu-aarch64", "cortex-a53"),
    "x86_64": ("qemu-x86_64", "Haswell,-aes,-pclmulqdq"),
}
# A node that starts in an emulator on a busy machine.
PATIENCE = 120
# Bytes that go before those that are counted: windows grow, buffers come.
WARM_UP = 4 << 20
# Sessions whose beginning is counted, after some that bring in what all share.
SESSIONS = 20


class Node:
    """`chr-node run` in the emulator with the counting plugin."""

    def __init__(self, options, folder, settings=()):
        target = options.target
        name, cpu = EMULATORS[target.split("-")[0]]
        self.folder = folder
        self.blocks = folder / "blocks"
        counts = folder / "counts"
        emulator = [
            options.qemu + "/" + name, "-cpu", options.cpu or cpu,
            "-plugin", f"{options.plugin},counts={counts},blocks={self.blocks}",
        ]
        if target.endswith("-gnu") or "-gnueabi" in target:
            emulator += ["-L", options.libraries]
        self.emulator = emulator
        words = [options.program, "run", "--data-dir", str(folder / "data")]
        for setting in (
            "network.edge_ports=0", "network.peer_port=off", "network.rpc_port=0", "network.rpcs_port=off",
            "network.bind=127.0.0.1", "log.level=warn", *settings, *options.set,
        ):
            words += ["--set", setting]
        self.log = open(folder / "log", "w")
        self.child = subprocess.Popen(emulator + words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        run = folder / "data" / "run.json"
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.at = json.loads(run.read_text())["edge"][0]
                break
            except (OSError, ValueError):
                pass
            if self.child.poll() is not None or time.monotonic() > end:
                raise Failed(f"the node does not start: {(folder / 'log').read_text().strip() or 'it says nothing'}")
            time.sleep(0.02)
        with open(counts, "r+b") as file:
            self.counts = mmap.mmap(file.fileno(), 4096)

    def count(self):
        """Instructions so far. What is under way is let come to its end first."""
        last = -1
        while True:
            now = sum(memoryview(self.counts).cast("Q"))
            # An idle node's timers are ten seconds apart: three equal looks are rest.
            if now == last:
                return now
            last = now
            time.sleep(0.4)

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def functions(blocks, program):
    """Instructions by function, most first; by the symbols of a program that was not stripped."""
    symbols = []
    for line in subprocess.run(["nm", "-C", "--defined-only", program], capture_output=True, text=True, check=True).stdout.splitlines():
        address, kind, name = line.split(" ", 2)
        if kind in "tTwW" and not name.startswith("$"):
            symbols.append((int(address, 16) & ~1, name))
    symbols.sort()
    if not symbols:
        raise Failed(f"{program} has no symbols (build it with CARGO_PROFILE_RELEASE_STRIP=false)")
    found = collections.Counter()
    place, name = 0, "?"
    for address, number, times in sorted(blocks):
        while place < len(symbols) and symbols[place][0] <= address:
            name = symbols[place][1]
            place += 1
        found[name] += number * times
    return found


def read_blocks(file):
    return [(int(a, 16), int(n), int(t)) for a, n, t in (line.split() for line in file.read_text().splitlines())]


def measure(options, folder):
    node = Node(options, folder)
    crowd = None
    figures = {"target": options.target, "cpu": options.cpu or EMULATORS[options.target.split("-")[0]][1]}
    try:
        figures["start"] = node.count()
        crowd = Crowd(options.crowd, node.at)
        suite = crowd.ask("suite").removeprefix("suite ")
        figures["suite"] = suite
        if "CHACHA20" not in suite:
            raise Failed(f"the node chose {suite}, not ChaCha20")
        crowd.ask("hold 4")
        before = node.count()
        crowd.ask(f"hold {SESSIONS}")
        figures["session"] = (node.count() - before) // SESSIONS
        crowd.ask("pair")
        crowd.ask(f"carry {WARM_UP}")
        counts = [node.count()]
        for times in (1, 2):
            crowd.ask(f"carry {times * options.bytes}")
            counts.append(node.count())
        first, second = counts[1] - counts[0], counts[2] - counts[1]
        # What one asking costs by itself, and what time brings, is in both.
        figures["instructions_a_byte"] = round((second - first) / options.bytes, 2)
        figures["first"], figures["second"] = (round(first / options.bytes, 2), round(second / options.bytes / 2, 2))
        figures["bytes"] = options.bytes
    finally:
        if crowd:
            crowd.close()
        node.stop()
    if options.functions:
        figures["functions"] = functions(read_blocks(node.blocks), options.functions).most_common(options.most)
    return figures


def main():
    parser = argparse.ArgumentParser(add_help=False)
    for name in ("target", "program", "crowd", "plugin", "qemu"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--libraries", default="/")
    parser.add_argument("--cpu")
    parser.add_argument("--bytes", type=int, default=16 << 20)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--functions")
    parser.add_argument("--most", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="chr-count-"))
    try:
        figures = measure(options, folder)
    except (Failed, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"scripts/measure-instructions: {options.target}: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    most = figures.pop("functions", [])
    if options.json:
        print(json.dumps(figures))
    else:
        print(f"{figures['target']} ({figures['cpu']}), {figures['suite']}:")
        print(f"  instructions a relayed byte   {figures['instructions_a_byte']:>12,}")
        print(f"  … of a session's beginning    {figures['session']:>12,}")
        print(f"  … from exec to listening      {figures['start']:>12,}")
    for name, number in most:
        print(f"  {number:>14,}  {name[:110]}")


if __name__ == "__main__":
    main()
