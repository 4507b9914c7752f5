#!/usr/bin/env python3
"""A device that speaks EdgeV2, dialect chr-edge/2, written from docs/protocol.md.

It needs Python 3.11 and the program `openssl` (once, to make a key). It is a
second implementation for tests, not a product: one session, no reconnecting.

    chr_client.py address --key FILE
    chr_client.py publish --node [0xADDR@]HOST:PORT --key FILE 8080=127.0.0.1:80
    chr_client.py open    --node [0xADDR@]HOST:PORT --key FILE 0xADDR:8080
    chr_client.py message --node [0xADDR@]HOST:PORT --key FILE 0xADDR TEXT
    chr_client.py vectors docs/vectors.json

`publish` prints `ready 0xADDR` when its ports stand, and serves until it is
stopped. `open` joins standard input and output to the port, and ends when both
directions have ended. `message` prints `delivered`, or fails with the reason.
`--no-presence` makes it a client of before that capability. Numbers in brackets
are sections of docs/protocol.md.
"""

import argparse
import base64
import collections
import hashlib
import hmac
import json
import os
import selectors
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time

ALPN = "chr-edge/2"
AGENT = "chr-client-py/1"
RECORD = 16_372  # [5] raw bytes of a data frame that fills one TLS record
WINDOW = 256 * 1024  # what this program buffers a port, granted at once
AHEAD = 256 * 1024  # what may wait to be sent, a port and the session
PING_EVERY = 100.0  # [13]
ANSWER_TIME = 20.0  # [13]
STEP = 64 * 1024 * 1024  # [9] bytes that each ticket pays in advance
PRESENCE = 1  # [16.2] capability bit
DAY = 24 * 3600  # [16.2] how long a presence holds
MESSAGE_MAX = 8192  # [16.3]

LEAVING, NOT_PUBLISHED, NOT_ALLOWED, TARGET = 11, 33, 34, 38  # [18]
NO_TICKET, ABORTED, END_TO_END = 40, 41, 43
ANSWERS = (
    "Welcome", "TicketAccepted", "TicketTooLow", "Pong", "Published", "Opened", "PresenceTaken",
    "ErrorAnswer",
)  # fmt: skip


class Failure(Exception):
    """What ends the program, in words."""


# --- hashes and signatures [9] -------------------------------------------------

MASK = (1 << 64) - 1


def _rotation_offsets():
    offsets, x, y = {}, 1, 0
    for t in range(24):
        offsets[x, y] = (t + 1) * (t + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return offsets


def _round_constants():
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            if register & 1:
                constant |= 1 << ((1 << j) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return constants


OFFSETS, CONSTANTS = _rotation_offsets(), _round_constants()


def keccak256(data):
    """Keccak-256 with the padding of before SHA-3."""
    rate = 136
    data = bytearray(data) + b"\x01" + bytes(-(len(data) + 1) % rate)
    data[-1] |= 0x80
    state = [[0] * 5 for _ in range(5)]
    for at in range(0, len(data), rate):
        for i in range(rate // 8):
            state[i % 5][i // 5] ^= int.from_bytes(data[at + 8 * i : at + 8 * i + 8], "little")
        for constant in CONSTANTS:
            column = [s[0] ^ s[1] ^ s[2] ^ s[3] ^ s[4] for s in state]
            for x in range(5):
                turned = column[(x + 1) % 5]
                mix = column[x - 1] ^ (turned << 1 & MASK | turned >> 63)
                state[x] = [lane ^ mix for lane in state[x]]
            moved = [[0] * 5 for _ in range(5)]
            for x in range(5):
                for y in range(5):
                    by, lane = OFFSETS.get((x, y), 0), state[x][y]
                    moved[y][(2 * x + 3 * y) % 5] = (lane << by | lane >> (64 - by)) & MASK
            for x in range(5):
                for y in range(5):
                    state[x][y] = moved[x][y] ^ (~moved[(x + 1) % 5][y] & moved[(x + 2) % 5][y])
            state[0][0] ^= constant
    return b"".join(state[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


def sha256(data):
    return hashlib.sha256(data).digest()


P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def point_add(a, b):
    """Sum of two points of secp256k1; None is the point at infinity."""
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def point_times(k, point):
    total = None
    while k:
        if k & 1:
            total = point_add(total, point)
        point = point_add(point, point)
        k >>= 1
    return total


def public_key(secret):
    x, y = point_times(int.from_bytes(secret, "big"), G)
    return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def address_of(public):
    """The address of an uncompressed public key [3]."""
    return keccak256(public[1:])[12:]


def nonces(secret, digest):
    """RFC 6979 with HMAC-SHA-256."""
    number = (int.from_bytes(digest, "big") % N).to_bytes(32, "big")
    mac = lambda key, *parts: hmac.digest(key, b"".join(parts), "sha256")  # noqa: E731
    k, v = bytes(32), b"\x01" * 32
    for tag in (b"\0", b"\1"):
        k = mac(k, v, tag, secret, number)
        v = mac(k, v)
    while True:
        v = mac(k, v)
        yield int.from_bytes(v, "big")
        k = mac(k, v, b"\0")
        v = mac(k, v)


def sign(secret, digest):
    """65 bytes: recovery id, r, s; s is low."""
    for nonce in nonces(secret, digest):
        if not 0 < nonce < N:
            continue
        x, y = point_times(nonce, G)
        r = x % N
        s = pow(nonce, -1, N) * (int.from_bytes(digest, "big") + r * int.from_bytes(secret, "big")) % N
        if r == 0 or s == 0 or x >= N:
            continue
        parity = y & 1
        if s > N // 2:
            s, parity = N - s, parity ^ 1
        return bytes([parity]) + r.to_bytes(32, "big") + s.to_bytes(32, "big")


def recover(signature, digest):
    """The address that made a signature."""
    r, s = (int.from_bytes(signature[i : i + 32], "big") for i in (1, 33))
    if signature[0] > 1 or not 0 < r < N or not 0 < s <= N // 2:
        raise ValueError("not a canonical signature")
    y = pow(r**3 + 7, (P + 1) // 4, P)
    if (y * y - r**3 - 7) % P:
        raise ValueError("r is no coordinate")
    y = y if y & 1 == signature[0] else P - y
    inverse = pow(r, -1, N)
    digest = int.from_bytes(digest, "big")
    x, y = point_add(point_times(s * inverse % N, (r, y)), point_times(-digest * inverse % N, G))
    return address_of(b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big"))


# --- frames and their structs [5, 6, 7] ----------------------------------------

DATA = 0x10
STRUCTS = {
    "Hello": (0x01, "capabilities:u64 agent:str"),
    "Welcome": (
        0x02,
        "capabilities:u64 agent:str chain_id:u64 epoch:u64 unix_time:u64 fleet:address"
        " tickets_required:bool grace_bytes:u64 idle_timeout:u32 max_ports:u32",
    ),
    "TicketAsk": (0x03, "epoch:u64 epoch_known:bool usage:u64"),
    "Ticket": (
        0x04,
        "chain_id:u64 epoch:u64 fleet:address total_connections:u64 total_bytes:u64"
        " local_address:bytes signature:signature",
    ),
    "TicketAccepted": (0x05, "epoch:u64 total_bytes:u64 usage:u64 durable:bool"),
    "Ping": (0x06, ""),
    "Pong": (0x07, ""),
    "Close": (0x08, "code:u16 text:str retry_after_ms:u32?"),
    "ErrorAnswer": (0x09, "code:u16 text:str limit:u64? retry_after_ms:u32?"),
    "TicketTooLow": (0x0A, "usage:u64 last_total:u64"),
    "Openings": (0x0B, "open:bool code:u16 text:str retry_after_ms:u32?"),
    "Credit": (0x11, "port:u32 bytes:u32"),
    "Open": (0x12, "port:u32 peer:address name:str credit:u32"),
    "Opened": (0x13, "credit:u32"),
    "Finish": (0x14, "port:u32"),
    "Abort": (0x15, "port:u32 code:u16 text:str"),
    "Publish": (0x16, "name:str allow:addresses?"),
    "Published": (0x17, ""),
    "PresenceAsk": (0x30, "last_t:u64 unix_time:u64"),
    "PresenceSigned": (0x31, "t:u64 not_after:u64 signature:signature"),
    "PresenceTaken": (0x32, ""),
    # Between nodes; here for the test vectors.
    "PeerHello": (0x50, "agent:str capabilities:u64 unix_time:u64 peer_port:u16 serving:bool"),
    "PeerWelcome": (0x51, "agent:str capabilities:u64 unix_time:u64 peer_port:u16 serving:bool"),
    "PeerOpen": (0x52, "port:u32 opener:address device:address name:str credit:u32"),
}
FIELDS = {
    name: [field.split(":") for field in fields.split()] for name, (_, fields) in STRUCTS.items()
}
NAMES = {kind: name for name, (kind, _) in STRUCTS.items()}
FIXED = {"address": 20, "signature": 65}


def put_varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put(kind, value):
    if kind.endswith("?"):
        return b"\0" if value is None else b"\1" + put(kind[:-1], value)
    if kind[0] == "u":
        if not 0 <= value < 1 << int(kind[1:]):
            raise ValueError(f"{value} is no {kind}")
        return put_varint(value)
    if kind == "bool":
        return bytes([value])
    if kind == "str":
        value, kind = value.encode(), "bytes"
    if kind == "bytes":
        return put_varint(len(value)) + value
    if kind == "addresses":
        return put_varint(len(value)) + b"".join(put("address", a) for a in value)
    if len(value) != FIXED[kind]:
        raise ValueError(f"{len(value)} bytes are no {kind}")
    return value


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise Failure("a struct is cut short")
        part = self.data[self.at : self.at + n]
        self.at += n
        return part

    def varint(self, bits):
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if value >> bits or (byte & 0x80 and shift >= bits):
                raise Failure(f"a number does not fit in {bits} bits")
            if byte < 0x80:
                return value

    def get(self, kind):
        if kind.endswith("?"):
            return self.get(kind[:-1]) if self.get("bool") else None
        if kind[0] == "u":
            return self.varint(int(kind[1:]))
        if kind == "bool":
            (byte,) = self.take(1)
            if byte > 1:
                raise Failure("a truth value is neither 0 nor 1")
            return byte == 1
        if kind == "str":
            try:
                return self.get("bytes").decode()
            except UnicodeDecodeError as error:
                raise Failure("a text is not UTF-8") from error
        if kind == "bytes":
            return self.take(self.varint(32))
        if kind == "addresses":
            return [self.get("address") for _ in range(self.varint(32))]
        return self.take(FIXED[kind])


def header(kind, length, word):
    return struct.pack(">BBHII", 2, kind, 0, length + 4, word)


def encode(name, number, fields):
    """A control frame."""
    if set(fields) != {field for field, _ in FIELDS[name]}:
        raise ValueError(f"{name} has other fields than {sorted(fields)}")
    body = b"".join(put(kind, fields[field]) for field, kind in FIELDS[name])
    return header(STRUCTS[name][0], len(body), number) + body


def encode_data(port, raw):
    return header(DATA, len(raw), port) + raw


def decode(name, body):
    reader = Reader(body)
    fields = {field: reader.get(kind) for field, kind in FIELDS[name]}
    if reader.at != len(body):
        raise Failure(f"bytes are left over behind {name}")
    return fields


class Frames:
    """Cuts a byte stream into (type, id or port, rest of the payload)."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data):
        self.buffer += data
        while len(self.buffer) >= 8:
            version, kind, flags, length = struct.unpack_from(">BBHI", self.buffer)
            limit = 65_536 if kind == DATA else 16_384
            if version != 2 or not 0 < kind < 0x80 or flags or not 4 <= length <= limit:
                raise Failure(f"not a frame: {bytes(self.buffer[:8]).hex()}")
            if len(self.buffer) < 8 + length:
                return
            payload = bytes(self.buffer[8 : 8 + length])
            del self.buffer[: 8 + length]
            yield kind, int.from_bytes(payload[:4], "big"), payload[4:]


# --- tickets [9] ---------------------------------------------------------------


def rlp(item):
    """Bytes, numbers and lists of them."""
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, list):
        body, base = b"".join(rlp(part) for part in item), 0xC0
    elif len(item) == 1 and item[0] < 0x80:
        return item
    else:
        body, base = item, 0x80
    if len(body) < 56:
        return bytes([base + len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(size)]) + size + body


def local_address(relays, unix_time, fleets=(), payment=None):
    pairs = [[b"s", list(relays)], [b"t", unix_time]]
    if fleets:
        pairs.append([b"f", list(fleets)])
    if payment:
        pairs.append([b"p", payment])
    return b"\x02" + rlp(pairs)


def ticket_digest(ticket, node):
    word = lambda value: value.rjust(32, b"\0")  # noqa: E731
    number = lambda value: value.to_bytes(32, "big")  # noqa: E731
    return keccak256(
        number(ticket["chain_id"])
        + number(ticket["epoch"])
        + word(ticket["fleet"])
        + word(node)
        + number(ticket["total_connections"])
        + number(ticket["total_bytes"])
        + sha256(ticket["local_address"])
    )


# --- presence [16.2] -----------------------------------------------------------


def presence_fields(device, node, t, not_after):
    return device + node + t.to_bytes(8, "big") + not_after.to_bytes(8, "big")


def presence_digest(device, node, t, not_after):
    return keccak256(b"chr-presence/1" + presence_fields(device, node, t, not_after))


def presence_node_digest(device, node, t, not_after, device_sig, until):
    fields = presence_fields(device, node, t, not_after)
    return keccak256(b"chr-presence-node/1" + fields + device_sig + until.to_bytes(8, "big"))


# --- identity and TLS [3] ------------------------------------------------------


def der_item(data, at):
    """(tag, start of the contents, end) of the DER item at `at`."""
    tag, length, at = data[at], data[at + 1], at + 2
    if length > 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(data[at : at + size], "big"), at + size
    if at + length > len(data):
        raise Failure("the certificate is cut short")
    return tag, at, at + length


def address_of_certificate(der):
    """Walks to the public key: names, dates and extensions do not matter."""
    try:
        _, at, _ = der_item(der, 0)
        _, at, _ = der_item(der, at)
        tag, _, end = der_item(der, at)
        at = end if tag == 0xA0 else at  # version; absent in version 1
        for _ in range(5):  # serial, algorithm, issuer, validity, subject
            _, _, at = der_item(der, at)
        _, at, end = der_item(der, at)
    except IndexError as error:
        raise Failure("the certificate is malformed") from error
    fixed = bytes.fromhex("301006072a8648ce3d020106052b8104000a03420004")
    if der[at : at + len(fixed)] != fixed or at + len(fixed) + 64 != end:
        raise Failure("the certificate's key is not an uncompressed one on secp256k1")
    return address_of(b"\x04" + der[end - 64 : end])


class Identity:
    """A key in a PEM file, and a certificate of it beside that file."""

    def __init__(self, path):
        self.key, self.certificate = path, path + ".crt"
        if not os.path.exists(self.key):
            self.openssl("ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", self.key)
        if not os.path.exists(self.certificate):
            self.openssl(
                "req", "-new", "-x509", "-key", self.key, "-subj", "/CN=device",
                "-days", "36500", "-out", self.certificate,
            )  # fmt: skip
        with open(self.key, encoding="ascii") as file:
            lines = [line for line in file.read().splitlines() if line and line[0] != "-"]
        der = base64.b64decode("".join(lines))
        _, at, _ = der_item(der, 0)
        _, _, at = der_item(der, at)  # version 1
        _, at, end = der_item(der, at)
        self.secret = der[at:end].rjust(32, b"\0")
        self.address = address_of(public_key(self.secret))

    @staticmethod
    def openssl(*arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(f"openssl {arguments[0]}: {done.stderr.strip()}")

    def context(self, server):
        """TLS 1.2 with group secp256k1, and this identity."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ecdh_curve("secp256k1")
        context.load_cert_chain(self.certificate, self.key)
        if server:
            context.verify_mode = ssl.CERT_REQUIRED
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE  # the key is proven in any case
        return context


class Tls:
    """TLS without sockets: ciphertext in and out of memory."""

    def __init__(self, context, server=False):
        self.context = context
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server)
        self.peer = None
        self.ended = False  # close_notify came
        # A server must know the client's certificate before OpenSSL sees it.
        self.records = bytearray() if server else None
        self.handshake = bytearray()
        self.step()

    def step(self):
        if self.peer is not None:
            return
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.peer = address_of_certificate(self.tls.getpeercert(True))

    def feed(self, data):
        """Takes ciphertext, returns plaintext."""
        if self.records is None:
            self.incoming.write(data)
        else:
            self.records += data
            self.scan()
        self.step()
        plain = bytearray()
        while self.peer is not None and not self.ended:
            try:
                part = self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                part = b""
            self.ended = not part
            plain += part
        return bytes(plain)

    def scan(self):
        """Passes records on one by one. In TLS 1.2 the client's certificate
        travels in clear: it becomes the one that OpenSSL trusts."""
        while self.records is not None and len(self.records) >= 5:
            kind, length = self.records[0], int.from_bytes(self.records[3:5], "big")
            if len(self.records) < 5 + length:
                return
            if kind == 22:
                self.handshake += self.records[5 : 5 + length]
            found = self.find_certificate()
            self.incoming.write(self.records[: 5 + length])
            del self.records[: 5 + length]
            if found:
                self.incoming.write(self.records)
                self.records = None

    def find_certificate(self):
        while len(self.handshake) >= 4:
            kind, end = self.handshake[0], 4 + int.from_bytes(self.handshake[1:4], "big")
            if len(self.handshake) < end:
                return False
            body = bytes(self.handshake[4:end])
            del self.handshake[:end]
            if kind == 11:
                certificate = body[6 : 6 + int.from_bytes(body[3:6], "big")]
                if certificate:
                    self.context.load_verify_locations(cadata=certificate)
                return True
        return False

    def write(self, plain):
        self.tls.write(plain)

    def close(self):
        """Sends close_notify; reading goes on. Everything fed must have been read."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # it waits for the other side's

    def output(self):
        return self.outgoing.read()


# --- a session [8, 10 to 13] ---------------------------------------------------


class Port:
    """One port; its `owner` is told: opened, received, finished, closed or ended."""

    def __init__(self, session, number, peer, name, credit, is_open):
        self.session, self.number, self.peer, self.name = session, number, peer, name
        self.credit, self.is_open = credit, is_open
        self.granted, self.held = WINDOW, 0
        self.queue = bytearray()
        self.finishing = self.finished = self.received_finish = False
        self.owner = None

    def write(self, data):
        self.queue += data
        self.session.active.add(self)

    def finish(self):
        self.finishing = True
        self.session.active.add(self)

    def abort(self, code, text):
        if self.session.ports.pop(self.number, None):
            self.session.send("Abort", 0, port=self.number, code=code, text=text[:200])

    def receive(self, raw):
        self.granted -= len(raw)
        self.held += len(raw)
        if self.granted < 0 or self.received_finish:
            raise Failure(f"the node sent more on port {self.number} than it may")
        self.owner.received(raw)

    def drained(self):
        """All that was received has been used."""
        self.granted, free, self.held = self.granted + self.held, self.held, 0
        if free and not self.received_finish and self.number in self.session.ports:
            self.session.send("Credit", 0, port=self.number, bytes=free)

    def pump(self):
        """Sends one frame's worth; false when nothing can be sent now."""
        if not self.is_open or self.finished:
            return False
        part = bytes(self.queue[: min(RECORD, self.credit)])
        if part:
            del self.queue[: len(part)]
            self.credit -= len(part)
            self.session.out += encode_data(self.number, part)
            self.session.carried += len(part)
        elif self.finishing and not self.queue:
            self.finished = True
            self.session.send("Finish", 0, port=self.number)
            self.forget()
        return bool(part)

    def forget(self):
        if self.finished and self.received_finish:
            self.session.ports.pop(self.number, None)
            self.owner.closed()


class Session:
    """The device's side of the protocol, without sockets."""

    def __init__(self, identity, node, owner):
        self.identity, self.node, self.owner = identity, node, owner
        self.frames, self.out = Frames(), bytearray()
        self.next_number = 1  # odd: a device's ids and ports share one row [8]
        self.highest_offer = 0
        self.ports, self.active, self.waiting = {}, set(), {}
        self.welcome, self.admitted = None, False
        self.carried, self.opened, self.signed = 0, 0, 0
        self.accepted, self.too_low = None, None  # the node's last words on a ticket
        # The node's ask, when to say again that we are here, the word on its way.
        self.asked, self.presence_at, self.saying = None, None, False
        self.request("Hello", self.welcomed, capabilities=owner.capabilities, agent=AGENT)

    def send(self, kind, number, /, **fields):
        self.out += encode(kind, number, fields)

    def number(self):
        self.next_number += 2
        return self.next_number - 2

    def request(self, kind, then, number=None, /, **fields):
        number = number or self.number()
        self.waiting[number] = (kind, then)
        self.send(kind, number, **fields)

    def publish(self, name, allow, then):
        self.request("Publish", then, name=name, allow=allow)

    def open(self, peer, name, owner):
        number = self.number()
        port = Port(self, number, peer, name, 0, False)
        port.owner = owner
        self.ports[number] = port

        def answered(kind, fields):
            if number not in self.ports:
                return  # given up meanwhile
            if kind == "Opened":
                self.opened += 1
                port.credit, port.is_open = fields["credit"], True
                self.active.add(port)
                owner.opened()
            else:
                del self.ports[number]
                owner.ended(fields["code"], fields["text"])

        self.request("Open", answered, number, port=number, peer=peer, name=name, credit=WINDOW)
        return port

    def close(self, code, text):
        self.send("Close", 0, code=code, text=text, retry_after_ms=None)

    def feed(self, plain):
        for kind, number, body in self.frames.feed(plain):
            if kind == DATA:
                port = self.find(number)
                if port:
                    self.carried += len(body)
                    port.receive(body)
                continue
            name = NAMES.get(kind)
            if name is None or (self.welcome is None and name not in ("Welcome", "Close")):
                raise Failure(f"frame type 0x{kind:02x} is not expected here")
            self.take(name, number, decode(name, body))

    def take(self, name, number, fields):
        if name in ANSWERS:
            asked, then = self.waiting.pop(number, (None, None))
            if asked is None:
                raise Failure(f"{name} answers a request that was never made")
            if fields.get("code") == NO_TICKET:
                self.ports.pop(number, None)  # asked again after a better ticket
                if asked == "PresenceSigned":
                    self.saying = False
            else:
                then(name, fields)
        elif name == "TicketAsk":
            self.pay(fields)
        elif name == "PresenceAsk" and self.welcome["capabilities"] & PRESENCE:
            self.asked = fields
            if self.admitted:
                self.say_presence()
        elif name == "Ping":
            self.send("Pong", number)
        elif name == "Open":
            self.offered(number, fields)
        elif name == "Close":
            raise Failure(f"the node closed the session: {fields['text']} ({fields['code']})")
        elif name in ("Credit", "Finish", "Abort"):
            port = self.find(fields["port"])
            if port is None:
                return
            if name == "Credit":
                port.credit += fields["bytes"]
                self.active.add(port)
            elif name == "Finish":
                port.received_finish = True
                port.owner.finished()
                port.forget()
            else:
                del self.ports[port.number]
                port.owner.ended(fields["code"], fields["text"])
        else:
            raise Failure(f"{name} is not for a device")

    def find(self, number):
        """The port, or None for a late frame [12]."""
        highest = self.next_number - 2 if number % 2 else self.highest_offer
        if not 0 < number <= highest:
            raise Failure(f"port {number} was never opened")
        return self.ports.get(number)

    def welcomed(self, name, fields):
        if name != "Welcome":
            raise Failure(f"the node refused: {fields['text']}")
        self.welcome = fields
        if not fields["tickets_required"]:
            self.admit()

    def admit(self):
        if not self.admitted:
            self.admitted = True
            self.owner.admitted()

    def pay(self, ask):
        """Answers TicketAsk [9]."""
        now = int(time.time())
        epoch = ask["epoch"] if ask["epoch_known"] else now // 2_592_000
        if abs(epoch - now // 2_592_000) > 1:
            raise Failure(f"the node asks for epoch {epoch}, which is not now")
        # With a step that is always the same, no ticket is below an earlier one.
        self.signed = max(self.signed, ask["usage"] + self.owner.step)
        self.send_ticket(epoch, now)

    def send_ticket(self, epoch, now):
        ticket = {
            "chain_id": self.welcome["chain_id"],
            "epoch": epoch,
            "fleet": self.welcome["fleet"],
            "total_connections": self.opened,
            "total_bytes": self.signed,
            "local_address": local_address([self.node], now),
        }
        ticket["signature"] = sign(self.identity.secret, ticket_digest(ticket, self.node))

        def answered(name, fields):
            if name == "TicketTooLow":  # an earlier run has signed more
                self.too_low = fields
                self.signed = max(fields["usage"] + self.owner.step, fields["last_total"])
                self.admitted = False
                self.send_ticket(epoch, now)
            elif name == "TicketAccepted":
                self.accepted = fields
            else:
                raise Failure(f"the ticket was refused: {fields['text']} ({fields['code']})")

        self.request("Ticket", answered, **ticket)
        if self.presence_at is None:
            self.say_presence()
        self.admit()  # the node validates it before it looks at what follows [10]

    def say_presence(self):
        """Signs that this device is at this node [16.2]."""
        if self.asked is None or self.saying:
            return
        t = max(self.asked["last_t"] + 1, int(time.time()))
        digest = presence_digest(self.identity.address, self.node, t, t + DAY)

        def answered(name, fields):
            self.saying = False
            if name == "PresenceTaken":
                self.presence_at = time.monotonic() + DAY / 2
            elif fields["limit"] is not None:  # another node has told of us meanwhile
                self.asked["last_t"] = fields["limit"]
                self.say_presence()
            else:
                raise Failure(f"presence was refused: {fields['text']} ({fields['code']})")

        self.saying = True
        signature = sign(self.identity.secret, digest)
        self.request(
            "PresenceSigned", answered, t=t, not_after=t + DAY, signature=signature
        )

    def offered(self, number, fields):
        if fields["port"] % 2 or fields["port"] <= self.highest_offer:
            raise Failure(f"{fields['port']} is not the node's next port")
        self.highest_offer = fields["port"]
        port = Port(self, fields["port"], fields["peer"], fields["name"], fields["credit"], True)
        owner = self.owner.offered(port)
        if isinstance(owner, tuple):
            code, text = owner
            self.send("ErrorAnswer", number, code=code, text=text, limit=None, retry_after_ms=None)
            return
        port.owner = owner
        self.ports[port.number] = port
        self.active.add(port)
        self.send("Opened", number, credit=WINDOW)

    def pump(self, room):
        """Turns waiting data into frames, ports in turn, up to `room` bytes."""
        while self.active and len(self.out) < room:
            for port in list(self.active):
                if not port.pump():
                    self.active.discard(port)


# --- streams through ports, joined to files [14] -------------------------------


class Stream:
    """A port with TLS inside (or plain), joined to a reading and a writing end."""

    def __init__(self, client, tls):
        self.client, self.tls, self.port = client, tls, None
        self.source = self.sink = None  # file descriptors
        self.waiting = bytearray()  # plaintext for the sink
        self.source_ended = self.sink_ended = self.port_closed = self.over = False
        self.on_secured = None

    # called by the session

    def opened(self):
        self.flush()
        if self.tls is None:
            self.on_secured()

    def received(self, raw):
        if self.tls is None:
            plain = raw
        else:
            before = self.tls.peer
            try:
                plain = self.tls.feed(raw)
            except (ssl.SSLError, Failure) as error:
                self.flush()
                return self.fail(END_TO_END, f"end to end: {error}")
            self.flush()
            if before is None and self.tls.peer is not None:
                self.on_secured()
        self.waiting += plain
        if self.tls and self.tls.ended:
            self.sink_ended = True
        self.write_sink()

    def finished(self):
        if self.tls and not self.tls.ended:
            return self.fail(END_TO_END, "the stream was cut: the port ended before its TLS")
        self.sink_ended = True
        self.write_sink()

    def closed(self):
        """Both directions of the port have ended."""
        self.port_closed = True
        self.settle()

    def ended(self, code, text):
        self.over = True
        self.client.stream_over(self, f"{text} ({code})")

    # called by the client's loop

    def fail(self, code, text):
        self.port.abort(code, text)
        self.ended(code, text)

    def flush(self):
        if self.tls:
            self.port.write(self.tls.output())

    def join(self, source, sink):
        self.source, self.sink = source, sink
        for fd in {source, sink}:
            os.set_blocking(fd, False)
        self.write_sink()

    def wants(self):
        """(reading, writing) descriptors to wait for."""
        reading = self.source is not None and not self.source_ended
        reading = reading and len(self.port.queue) < AHEAD
        return (self.source if reading else None), (self.sink if self.waiting else None)

    def read_source(self):
        try:
            data = os.read(self.source, 1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            return self.fail(ABORTED, f"the local end broke: {error}")
        if data:
            if self.tls:
                self.tls.write(data)
                self.flush()
            else:
                self.port.write(data)
            return
        self.source_ended = True
        if self.tls:
            self.tls.close()
            self.flush()
        self.port.finish()

    def write_sink(self):
        if self.over or self.sink is None:
            return
        try:
            while self.waiting:
                del self.waiting[: os.write(self.sink, self.waiting[: 1 << 16])]
        except BlockingIOError:
            return
        except OSError as error:
            return self.fail(ABORTED, f"the local end broke: {error}")
        self.port.drained()
        if self.sink_ended:
            self.client.end_sink(self)
            self.sink = None
        self.settle()

    def settle(self):
        if self.port_closed and not self.waiting and not self.over:
            self.over = True
            self.client.stream_over(self, None)


class Client:
    """One session over one socket, and what is joined to its ports."""

    def __init__(self, node, identity, alpn=True, step=STEP, presence=True):
        self.capabilities = PRESENCE if presence else 0
        expected, _, place = node.rpartition("@")
        host, _, port = place.rpartition(":")
        self.identity, self.step, self.streams = identity, step, set()
        self.sending = bytearray()
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = identity.context(server=False)
        if alpn:
            context.set_alpn_protocols([ALPN])
        self.tls = Tls(context)
        while self.tls.peer is None:
            self.socket.sendall(self.tls.output())
            data = self.socket.recv(1 << 16)
            if not data:
                raise Failure("the node closed the connection in the TLS handshake")
            self.tls.feed(data)
        if expected and parse_address(expected) != self.tls.peer:
            raise Failure(f"the node is 0x{self.tls.peer.hex()}, not {expected}")
        self.socket.setblocking(False)
        self.selector = selectors.SelectSelector()  # also takes plain files
        self.session = Session(identity, self.tls.peer, self)
        self.done = False
        self.ping_at, self.answer_by = time.monotonic(), time.monotonic() + ANSWER_TIME

    def run(self):
        while not self.done:
            self.turn()
        self.leave()

    def turn(self):
        now = time.monotonic()
        if self.answer_by and now > self.answer_by:
            raise Failure("the node no longer answers")
        if self.session.welcome and now >= self.ping_at:
            self.ping_at, self.answer_by = now + PING_EVERY, now + ANSWER_TIME
            self.session.request("Ping", self.answered)
        if self.session.presence_at and now >= self.session.presence_at:
            self.session.say_presence()
        self.send()
        interest = collections.defaultdict(int)
        interest[self.socket.fileno()] |= selectors.EVENT_READ
        if self.sending:
            interest[self.socket.fileno()] |= selectors.EVENT_WRITE
        for stream in self.streams:
            reading, writing = stream.wants()
            if reading is not None:
                interest[reading] |= selectors.EVENT_READ
            if writing is not None:
                interest[writing] |= selectors.EVENT_WRITE
        for fd, events in interest.items():
            self.selector.register(fd, events)
        try:
            ready = {key.fd: events for key, events in self.selector.select(1.0)}
        finally:
            for fd in interest:
                self.selector.unregister(fd)
        if ready.get(self.socket.fileno(), 0) & selectors.EVENT_READ:
            self.receive()
        for stream in list(self.streams):
            reading, writing = stream.wants()
            if writing is not None and ready.get(writing, 0) & selectors.EVENT_WRITE:
                stream.write_sink()
            if not stream.over and reading is not None:
                if ready.get(reading, 0) & selectors.EVENT_READ:
                    stream.read_source()
        self.send()

    def answered(self, name, fields):
        self.answer_by = None

    def receive(self):
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        if not data:
            raise Failure("the node closed the connection")
        self.session.feed(self.tls.feed(data))
        if self.tls.ended:
            raise Failure("the node ended TLS")

    def send(self):
        if len(self.sending) < AHEAD:
            self.session.pump(AHEAD)
            if self.session.out:
                self.tls.write(self.session.out)
                self.session.out = bytearray()
        self.sending += self.tls.output()
        try:
            while self.sending:
                del self.sending[: self.socket.send(self.sending[: 1 << 16])]
        except BlockingIOError:
            pass

    def leave(self):
        """Says goodbye and lets it leave."""
        self.session.close(LEAVING, "the program ended")
        self.tls.write(self.session.out)
        self.tls.close()
        self.sending += self.tls.output()
        self.socket.settimeout(2)
        try:
            self.socket.sendall(self.sending)
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(1 << 16):
                pass
        except OSError:
            pass

    # what publish and open fill in

    def admitted(self):
        raise NotImplementedError

    def offered(self, port):
        return NOT_PUBLISHED, "this device publishes nothing"

    def stream_over(self, stream, problem):
        raise NotImplementedError

    def end_sink(self, stream):
        raise NotImplementedError


class Publisher(Client):
    """Joins offered ports to local TCP services."""

    def __init__(self, node, identity, alpn, step, presence, targets, allow, plain):
        self.targets = targets
        self.allow, self.kind = allow, "tcp" if plain else "tls"
        self.sockets, self.missing = {}, set(targets)
        super().__init__(node, identity, alpn, step, presence)

    def admitted(self):
        for number in self.targets:

            def answered(kind, fields, number=number):
                if kind != "Published":
                    raise Failure(f"port {number} was refused: {fields['text']}")
                self.missing.discard(number)
                if not self.missing:
                    print(f"ready 0x{self.identity.address.hex()}", flush=True)

            self.session.publish(f"{self.kind}:{number}", self.allow, answered)

    def offered(self, port):
        kind, _, number = port.name.partition(":")
        if kind != self.kind or int(number) not in self.targets:
            return NOT_PUBLISHED, f"{port.name} is not published"
        if kind == "tcp" and not self.may_open(port.peer):
            return NOT_ALLOWED, "not for this opener"
        tls = Tls(self.identity.context(server=True), True) if kind == "tls" else None
        stream = Stream(self, tls)
        stream.port = port
        stream.on_secured = lambda: self.connect(stream, int(number))
        self.streams.add(stream)
        if tls is None:
            stream.on_secured()
        return stream

    def may_open(self, opener):
        return self.allow is None or opener in self.allow

    def connect(self, stream, number):
        if stream.tls and not self.may_open(stream.tls.peer):
            return stream.fail(NOT_ALLOWED, "not for this opener")
        try:
            target = socket.create_connection(self.targets[number], timeout=10)
        except OSError as error:
            return stream.fail(TARGET, f"the target does not answer: {error}")
        self.sockets[stream] = target
        stream.join(target.fileno(), target.fileno())

    def end_sink(self, stream):
        try:
            self.sockets[stream].shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other direction reports it

    def stream_over(self, stream, problem):
        self.streams.discard(stream)
        target = self.sockets.pop(stream, None)
        if problem:
            print(f"a connection ended: {problem}", file=sys.stderr, flush=True)
            if target:  # a reset: a stream that was cut must not look complete
                target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if target:
            target.close()


class Opener(Client):
    """Joins standard input and output to a port of another device."""

    def __init__(self, node, identity, alpn, step, presence, peer, name):
        self.peer, self.name = peer, name
        super().__init__(node, identity, alpn, step, presence)

    def admitted(self):
        sealed = self.name == "msg" or self.name.startswith("tls:")
        tls = Tls(self.identity.context(server=False)) if sealed else None
        stream = Stream(self, tls)
        stream.on_secured = lambda: self.secured(stream)
        self.streams.add(stream)
        stream.port = self.session.open(self.peer, self.name, stream)

    def secured(self, stream):
        if stream.tls and stream.tls.peer != self.peer:
            raise Failure(f"the other end is 0x{stream.tls.peer.hex()}: somebody else was connected")
        stream.join(*self.ends())

    def ends(self):
        """Descriptors to read from and to write to."""
        return sys.stdin.fileno(), sys.stdout.fileno()

    def end_sink(self, stream):
        os.close(stream.sink)

    def stream_over(self, stream, problem):
        self.streams.discard(stream)
        if problem:
            raise Failure(problem)
        self.done = True


class Messenger(Opener):
    """Sends one message to another device [16.3]."""

    def __init__(self, node, identity, alpn, step, presence, peer, text):
        self.text, self.answer = text, None
        if len(text) > MESSAGE_MAX:
            raise Failure(f"a message has at most {MESSAGE_MAX} bytes")
        super().__init__(node, identity, alpn, step, presence, peer, "msg")

    def ends(self):
        source, put = os.pipe()  # holds a whole message
        os.write(put, len(self.text).to_bytes(2, "big") + self.text)
        os.close(put)
        self.answer, sink = os.pipe()
        return source, sink

    def delivered(self):
        answer = os.read(self.answer, 1024)
        if answer[:1] != b"\0":
            raise Failure(f"not delivered: {answer[1:].decode(errors='replace') or 'no answer'}")


# --- commands ------------------------------------------------------------------


def parse_address(text):
    if not text.startswith("0x") or len(text) != 42:
        raise Failure(f"{text} is not an address")
    return bytes.fromhex(text[2:])


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("address", "publish", "open", "message"):
        command = commands.add_parser(name)
        command.add_argument("--key", required=True)
        if name == "address":
            continue
        command.add_argument("--node", required=True)
        command.add_argument("--no-alpn", action="store_true")
        command.add_argument("--no-presence", action="store_true")
        command.add_argument("--plain", action="store_true")
        command.add_argument("--step", type=int, default=STEP)
    commands.choices["publish"].add_argument("--allow", action="append", type=parse_address)
    commands.choices["publish"].add_argument("spec", nargs="+")
    commands.choices["open"].add_argument("target")
    commands.choices["message"].add_argument("target", type=parse_address)
    commands.choices["message"].add_argument("text")
    commands.add_parser("vectors").add_argument("file")
    arguments = parser.parse_args()
    if arguments.command == "vectors":
        import check_vectors

        print(f"{check_vectors.check(arguments.file)} vectors hold")
        return
    identity = Identity(arguments.key)
    if arguments.command == "address":
        print(f"0x{identity.address.hex()}")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    common = (arguments.node, identity, not arguments.no_alpn, arguments.step)
    common += (not arguments.no_presence,)
    if arguments.command == "publish":
        targets = {}
        for spec in arguments.spec:
            number, _, place = spec.partition("=")
            host, _, port = place.rpartition(":")
            targets[int(number)] = (host.strip("[]"), int(port))
        client = Publisher(*common, targets, arguments.allow, arguments.plain)
    elif arguments.command == "message":
        client = Messenger(*common, arguments.target, arguments.text.encode())
    else:
        peer, _, number = arguments.target.partition(":")
        name = f"{'tcp' if arguments.plain else 'tls'}:{int(number)}"
        client = Opener(*common, parse_address(peer), name)
    try:
        client.run()
    except SystemExit:
        client.leave()
    if arguments.command == "message":
        client.delivered()
        print("delivered")


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError) as problem:
        print(f"chr_client: {problem}", file=sys.stderr)
        sys.exit(1)
