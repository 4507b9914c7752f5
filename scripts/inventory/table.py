"""README.md's table of sizes and idle memory, of the programs in a release folder."""

import argparse
import gzip
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import time

import linked
from linked import Wrong

BEGIN = "<!-- sizes: written by `scripts/release --table`, not by hand -->"
END = "<!-- end of sizes -->"
# How long after the node listens its memory is read: what starting needed is
# given back by then.
SETTLE = 15
LIBRARIES = {"gnu": "glibc, 2.17 or newer", "musl": "none (musl, static)"}


class Memory:
    """What an idle node holds, in KB, and where that was read."""

    def __init__(self, rss, own, how):
        self.rss, self.own, self.how = rss, own, how

    def text(self):
        """The cell of the table."""
        parts = f" ({self.own / 1024:.1f} of its own)" if self.own is not None else ""
        return f"{self.rss / 1024:.1f} MB{parts}"


def units(folder):
    """(version, commit, {unit: program}) of a release folder."""
    if not (folder / "SHA256SUMS").is_file():
        raise Wrong(f"{folder} is no release folder: it has no SHA256SUMS")
    first, second = ((folder / "BUILD.txt").read_text() + "\n\n").splitlines()[:2]
    first, second = first.split(), second.split()
    if first[:1] != ["chr-node"] or len(first) != 2 or second[:1] != ["commit"] or len(second) < 2:
        raise Wrong(f"{folder}/BUILD.txt does not begin with chr-node VERSION and commit COMMIT")
    head, found = f"chr-node-{first[1]}-", {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(head) and file.suffix not in (".gz", ".json", ".tar"):
            found[re.sub(r"-router$", ":router", file.name[len(head) :])] = file
    if not found:
        raise Wrong(f"{folder} has no programs {head}TARGET")
    return first[1], second[1], found


def runs_here(unit):
    """Whether this machine runs a unit without an emulator, whose memory would count."""
    return unit.split("-")[0] == platform.machine()


def measure(file, settle):
    """Starts a node that knows nobody, and reads its memory when it has settled."""
    folder = tempfile.mkdtemp(prefix="chr-node-idle-")
    names = ["edge_ports", "peer_port", "rpc_port"]
    if not file.name.endswith("-router"):
        # A build for routers has no HTTPS.
        names.append("rpcs_port")
    ports = [f"network.{name}=0" for name in names]
    words = [str(file.resolve()), "run", "--data-dir", folder + "/data"]
    for port in [*ports, "network.bind=127.0.0.1"]:
        words += ["--set", port]
    clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TMPDIR")}
    with open(folder + "/log", "w+b") as log:
        node = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean)
        try:
            end = time.monotonic() + 30
            while not os.path.exists(folder + "/data/run.json"):
                if node.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise Wrong(f"{file} did not come to listen: {log.read().decode(errors='replace').strip()}")
                time.sleep(0.05)
            try:
                node.wait(settle)
            except subprocess.TimeoutExpired:
                pass
            else:
                raise Wrong(f"{file} ended while it was watched")
            status = pathlib.Path(f"/proc/{node.pid}/status").read_text()
            numbers = {k: int(v) for k, v in re.findall(r"^(VmRSS|RssAnon):\s+(\d+) kB$", status, re.MULTILINE)}
            return Memory(numbers["VmRSS"], numbers["RssAnon"], f"VmRSS, {settle:g} s after the start")
        finally:
            node.send_signal(signal.SIGTERM)
            try:
                node.wait(20)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()
            shutil.rmtree(folder, ignore_errors=True)


def told(file):
    """{unit: Memory} of a file with one JSON object a line, as scripts/measure-guest writes it."""
    found = {}
    for number, line in enumerate(pathlib.Path(file).read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            found[item["unit"]] = Memory(int(item["idle_rss_kb"]), item.get("idle_own_kb"), str(item["how"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Wrong(f"{file}, line {number}: wanted unit, idle_rss_kb and how as a JSON object: {error}") from error
    return found


def table(version, commit, programs, memory):
    """The text between the marks."""
    rows = [
        BEGIN,
        f"Version {version}, commit {commit[:12]}; a program is one file, stripped.",
        "",
        "| target | C library needed | program | gzip -9 | idle memory | measured |",
        "| --- | --- | --: | --: | --: | --- |",
    ]
    for unit, data in programs.items():
        target, router = unit.removesuffix(":router"), unit.endswith(":router")
        library = next(v for k, v in LIBRARIES.items() if k in target)
        known = memory.get(unit)
        cells = [
            f"`{target}`" + (", router build" if router else ""),
            library,
            f"{len(data) / 1000:,.0f} KB",
            f"{len(gzip.compress(data, 9, mtime=0)) / 1000:,.0f} KB",
            known.text() if known else "not measured",
            known.how if known else "",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join([*rows, END])


def put(readme, text):
    """Replaces what stands between the marks, and nothing else."""
    old = readme.read_text()
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        raise Wrong(f"{readme} must have the line {BEGIN} and, after it, {END}, once each")
    new = old[: old.index(BEGIN)] + text + old[old.index(END) + len(END) :]
    if new != old:
        temporary = readme.with_name(readme.name + ".new")
        temporary.write_text(new)
        shutil.copymode(readme, temporary)
        temporary.replace(readme)


def main():
    """The command line; scripts/release --table calls it."""
    parser = argparse.ArgumentParser(prog="scripts/release --table")
    parser.add_argument("--readme", required=True, type=pathlib.Path)
    parser.add_argument("--memory", action="append", default=[])
    parser.add_argument("--settle", type=float, default=SETTLE)
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    version, commit, programs = units(options.folder)
    memory = {}
    for file in options.memory:
        memory.update(told(file))
    for unit, file in programs.items():
        if unit not in memory and runs_here(unit):
            memory[unit] = measure(file, options.settle)
    put(options.readme, table(version, commit, {u: f.read_bytes() for u, f in programs.items()}, memory))


if __name__ == "__main__":
    linked.main("scripts/release --table", main)
