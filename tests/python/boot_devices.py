"""The devices of tests/python/boot_test.py, on this side of the emulated machine:
the programs `chr-node publish` and `forward`, devices that only pay, and what asks
the node over its forwarded ports.
"""

import http.server
import json
import subprocess
import threading
import time
import urllib.request

from boot_machine import Broken
from chr_client import Client, Failure, Identity

TICKET_DEVICES = 4


def ask(machine, method, most=30.0):
    """One call of the node's RPC, over the forwarded port."""
    question = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{machine.rpc}/rpc", question, {"Content-Type": "application/json"}
    )
    end = time.monotonic() + most
    while True:
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)["result"]
        except OSError as problem:
            if time.monotonic() > end:
                raise Broken(f"{method} is not answered: {problem}") from problem
            time.sleep(0.3)


class TicketDevice(Client):
    """A device that does nothing but pay, as often as it is told that a ticket is
    on the node's disk. `sent` and `durable` are bytes that its tickets name."""

    def __init__(self, node, identity):
        super().__init__(node, identity, step=1)
        self.sent = self.durable = self.tickets = 0
        self.ended = None

    def admitted(self):
        pass  # each ticket is followed in `pay`

    def follow(self):
        """Turns once; true when an answer came."""
        self.turn()
        self.sent = max(self.sent, self.session.signed)
        accepted, self.session.accepted = self.session.accepted, None
        if accepted is None:
            return False
        if accepted["durable"]:
            self.durable = max(self.durable, accepted["total_bytes"])
            self.tickets += 1
        return True

    def pay(self, step):
        """Until the connection breaks."""
        try:
            while True:
                if self.follow():
                    self.session.signed += step
                    self.sent = self.session.signed
                    self.session.send_ticket(self.session.welcome["epoch"], int(time.time()))
        except (Failure, OSError) as problem:
            self.ended = str(problem)
        finally:
            self.socket.close()


class TicketTraffic:
    """Devices that send tickets until the node goes away."""

    def __init__(self, machine, folder):
        self.machine = machine
        self.identities = [
            Identity(f"{folder}/{machine.name}-ticket-{i}.pem") for i in range(TICKET_DEVICES)
        ]
        self.sent, self.durable = {}, {}
        self.devices, self.threads = [], []

    def node(self):
        return f"127.0.0.1:{self.machine.edge}"

    def begin(self):
        self.devices = [TicketDevice(self.node(), identity) for identity in self.identities]
        self.threads = [
            threading.Thread(target=device.pay, args=(1_000_003 + number,), daemon=True)
            for number, device in enumerate(self.devices)
        ]
        for thread in self.threads:
            thread.start()

    def tickets(self):
        return sum(device.tickets for device in self.devices)

    def end(self):
        """What was sent and what was told to be durable, by device."""
        for device, thread in zip(self.devices, self.threads, strict=True):
            # The emulator is gone or its system restarts: the connection ends.
            device.answer_by = min(device.answer_by or 0, time.monotonic())
            thread.join(60)
            if thread.is_alive():
                raise Broken("a device of the ticket traffic does not end")
            address = device.identity.address
            self.sent[address] = max(self.sent.get(address, 0), device.sent)
            self.durable[address] = max(self.durable.get(address, 0), device.durable)

    def known(self, address):
        """The bytes that the node says the device has paid for: it refuses a
        ticket for one byte, and names what it has."""
        identity = next(i for i in self.identities if i.address == address)
        device = TicketDevice(self.node(), identity)
        try:
            while not device.follow():
                pass
            low = device.session.too_low
            return low["last_total"] if low else 0
        finally:
            device.socket.close()

    def check(self, checks, when):
        """No ticket that was acknowledged is lost, and none was made up."""
        held = {address: self.known(address) for address in self.durable}
        lost = [
            f"0x{address.hex()}: {held[address]} of {paid}"
            for address, paid in self.durable.items()
            if not paid <= held[address] <= self.sent[address]
        ]
        total = sum(self.durable.values())
        checks.check(
            not lost and total > 0,
            f"{when}: every acknowledged ticket is there ({len(held)} devices, {total} bytes)",
            "; ".join(lost) or "no ticket was acknowledged",
        )
        epochs = ask(self.machine, "ticket_list")["epochs"]
        listed = sum(epoch["bytes"] for epoch in epochs)
        count = sum(epoch["count"] for epoch in epochs)
        checks.check(
            listed >= total and count >= len(held),
            f"{when}: ticket_list counts {count} devices and {listed} bytes",
            f"at least {len(held)} and {total} were acknowledged",
        )


class Program:
    """`chr-node publish` or `forward` on this machine, and its events."""

    running = []

    def __init__(self, program, folder, name, *words):
        self.log = open(f"{folder}/{name}.log", "ab")
        command = [program, *words, "--json", "--identity", f"{folder}/{name}.key"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        Program.running.append(self)
        self.events = []
        self.came = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            with self.came:
                self.events.append(json.loads(line))
                self.came.notify_all()

    def wait(self, event, most, after=0):
        """The next such event behind the first `after` ones, or None."""

        def found():
            return next((e for e in self.events[after:] if e["event"] == event), None)

        with self.came:
            self.came.wait_for(found, most)
            return found()

    @staticmethod
    def end_all():
        for program in Program.running:
            program.process.terminate()
            try:
                program.process.wait(30)
            except subprocess.TimeoutExpired:
                program.process.kill()
            program.log.close()


def serve(contents):
    """An HTTP server of one file; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(contents)))
            self.end_headers()
            self.wfile.write(contents)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def fetch(url):
    with urllib.request.urlopen(url, timeout=120) as answer:
        return answer.status, answer.read()
