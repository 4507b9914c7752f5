"""An emulated arm64 machine for tests/python/boot_test.py.

QEMU with a disk that can lose power (volatile_disk.py), two of the node's ports
forwarded to 127.0.0.1, no way to anything else, and a second serial line on which
the test's base system runs what it is told (scripts/boot-test makes it).
"""

import base64
import os
import secrets
import socket
import subprocess
import time

from volatile_disk import VolatileDisk

# Emulation on a busy machine: a boot takes half a minute to several.
BOOT_TIME = 600.0
COMMAND_TIME = 300.0


class Broken(Exception):
    """The machine does not do what a machine does, so that nothing can be checked."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machine:
    def __init__(self, image, kernel, initrd, folder, seed):
        self.kernel, self.initrd, self.folder = kernel, initrd, folder
        self.name = os.path.basename(image).removesuffix(".img")
        # Not in `folder`: the path of a socket has at most 107 bytes.
        self.sockets = f"/tmp/boot-test-{os.getpid()}-{secrets.token_hex(4)}"
        os.mkdir(self.sockets, 0o700)
        self.disk = VolatileDisk(image, f"{self.sockets}/disk", seed)
        self.rpc, self.edge = free_port(), free_port()
        self.process = self.console = None
        self.pending = b""

    def start(self):
        """Switches it on; seconds until its system answers."""
        line = f"{self.sockets}/console"
        if os.path.exists(line):
            os.unlink(line)
        forwards = f"hostfwd=tcp:127.0.0.1:{self.rpc}-:8545"
        forwards += f",hostfwd=tcp:127.0.0.1:{self.edge}-:41046"
        command = ["qemu-system-aarch64", "-nodefaults", "-no-user-config", "-display", "none"]
        command += ["-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "512"]
        # It ends where it would reset itself: TCG is several times slower in memory
        # that had a kernel in it before, so a reboot gets a new process.
        command += ["-accel", "tcg,thread=multi", "-no-reboot"]
        command += ["-kernel", self.kernel, "-initrd", self.initrd, "-append"]
        # What guards against other processors' errors only costs time here.
        command += ["root=/dev/vda2 rw console=ttyAMA0 nokaslr mitigations=off panic=-1"]
        command += ["-serial", f"file:{self.folder}/{self.name}-{time.time():.0f}.console"]
        # A disk with a write cache that obeys flushes (cache=writeback of -drive).
        command += [
            "-blockdev",
            "driver=nbd,node-name=disk,export=disk,server.type=unix"
            f",server.path={self.sockets}/disk,cache.direct=off,cache.no-flush=off",
        ]
        command += ["-device", "virtio-blk-pci,drive=disk,write-cache=on"]
        command += ["-netdev", f"user,id=net,restrict=on,ipv6=off,{forwards}"]
        command += ["-device", "virtio-net-pci,netdev=net,romfile="]
        command += ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
        command += ["-chardev", f"socket,id=console,path={line},server=on,wait=off"]
        command += ["-device", "virtserialport,chardev=console,name=boot-test"]
        self.disk.power_on()
        began = time.monotonic()
        with open(f"{self.folder}/{self.name}.qemu", "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while self.console is None:
            self.alive()
            try:
                self.console = socket.socket(socket.AF_UNIX)
                self.console.connect(line)
            except OSError:
                self.console = None
                time.sleep(0.05)
        self.wait_for_system(BOOT_TIME)
        return time.monotonic() - began

    def alive(self):
        if self.process.poll() is not None:
            with open(f"{self.folder}/{self.name}.qemu", encoding="utf-8") as log:
                raise Broken(f"qemu ended: {log.read().strip()[-500:]}")

    def wait_for_system(self, most):
        """Until its console answers. What is said before that may be lost."""
        end = time.monotonic() + most
        while self.ask("true", 5.0) is None:
            self.alive()
            if time.monotonic() > end:
                raise Broken(f"the system did not answer within {most:.0f} s; see its console")

    def ask(self, script, most):
        """(exit code, output) of a shell script inside; None: no answer in time."""
        nonce = secrets.token_hex(8)
        words = base64.b64encode(script.encode()).decode()
        end = time.monotonic() + most
        try:
            self.console.settimeout(most)
            self.console.sendall(f"{nonce} {words}\n".encode())
            while time.monotonic() < end:
                line, found, rest = self.pending.partition(b"\n")
                if found:
                    self.pending = rest
                    said = line.decode("ascii", "replace").split(" ")
                    if said[0] == nonce and len(said) == 3:
                        return int(said[1]), base64.b64decode(said[2]).decode("utf-8", "replace")
                    continue
                self.console.settimeout(max(0.01, end - time.monotonic()))
                part = self.console.recv(1 << 16)
                if not part:
                    self.alive()
                    raise Broken("qemu closed the console")
                self.pending += part
        except TimeoutError:
            pass
        return None

    def run(self, script, most=COMMAND_TIME):
        answer = self.ask(script, most)
        if answer is None:
            raise Broken(f"not within {most:.0f} s: {script.splitlines()[0]}")
        return answer

    def output(self, script, most=COMMAND_TIME):
        return self.run(script, most)[1].strip()

    def until(self, script, most):
        """Seconds until the script succeeds inside; None if it never does."""
        began = time.monotonic()
        while time.monotonic() - began < most:
            if self.run(script)[0] == 0:
                return time.monotonic() - began
            time.sleep(0.5)
        return None

    def reboot(self):
        """`reboot`, and seconds until the new system answers. The disk keeps its
        power, and with it what it has not been told to flush."""
        began = time.monotonic()
        self.leave("reboot")
        self.start()
        return time.monotonic() - began

    def power_off(self):
        """An ordinary end."""
        self.leave("poweroff")

    def leave(self, how):
        # Later, so that the console can answer first.
        self.run(f"systemd-run -q --on-active=1 --timer-property=AccuracySec=100ms {how}")
        try:
            self.process.wait(BOOT_TIME)
        except subprocess.TimeoutExpired:
            raise Broken(f"{how} did not end within {BOOT_TIME:.0f} s; see its console") from None
        self.gone()

    def power_cut(self):
        """Pulls the plug: (blocks that survived, blocks lost) of the disk's cache."""
        left = self.disk.power_cut(120)
        self.process.kill()
        self.gone()
        if left is None:
            raise Broken(
                "nothing was written for two minutes, so the power was not cut in the middle"
            )
        return left

    def gone(self):
        self.process.wait(30)
        self.console.close()
        self.process = self.console = None
        self.pending = b""

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.gone()
        self.disk.close()
        for name in os.listdir(self.sockets):
            os.unlink(f"{self.sockets}/{name}")
        os.rmdir(self.sockets)
