"""Packets, records and trees of the DHT, written from docs/protocol.md.

A second implementation for tests: it makes and reads what a node sends, and has
no sockets. Numbers in brackets are sections of docs/protocol.md.
"""

import ipaddress
import re

from chr_client import Failure, keccak256, recover, rlp, sha256, sign

HEADER, SIGNATURE, PACKET_MAX, RECORD_MAX = 60, 64, 1200, 1000
TYPES = {
    "PING": 1,
    "PONG": 2,
    "FIND_NODE": 3,
    "NODES": 4,
    "FIND_VALUE": 5,
    "VALUE": 6,
    "STORE": 7,
    "STORED": 8,
    "CHALLENGE": 9,
    "ERROR": 10,
    "SYNC": 11,
    "SYNCED": 12,
}
KINDS = {"node": 1, "presence": 2, "content": 3, "mutable": 4}
HOUR, SKEW = 3600, 600


def uint(number, size):
    return number.to_bytes(size, "big")


# --- reading RLP: canonical, all of it ------------------------------------------


def parse(data):
    """One item; lists become lists."""
    item, rest = _item(data, 0)
    if rest:
        raise Failure("payload")
    return item


def _item(data, depth):
    if not data or depth > 8:
        raise Failure("payload")
    first, rest = data[0], data[1:]
    if first < 0x80:
        return data[:1], rest
    form = first & 0x3F
    length = form
    if form > 55:
        digits, rest = rest[: form - 55], rest[form - 55 :]
        length = int.from_bytes(digits, "big")
        if len(digits) < form - 55 or digits[0] == 0 or length < 56:
            raise Failure("payload")
    if len(rest) < length:
        raise Failure("payload")
    body, rest = rest[:length], rest[length:]
    if first < 0xC0:
        if length == 1 and body[0] < 0x80:
            raise Failure("payload")
        return body, rest
    items = []
    while body:
        item, body = _item(body, depth + 1)
        items.append(item)
    return items, rest


def fields(item, count):
    if not isinstance(item, list) or len(item) != count:
        raise Failure("payload")
    return item


def text(item, size=None):
    if isinstance(item, list) or size not in (None, len(item)):
        raise Failure("payload")
    return item


def number(item, bits=64):
    text(item)
    if item[:1] == b"\0" or len(item) > 8:
        raise Failure("payload")
    value = int.from_bytes(item, "big")
    if value >> bits:
        raise Failure("payload")
    return value


def some(item, most, read):
    if not isinstance(item, list) or len(item) > most:
        raise Failure("payload")
    return [read(part) for part in item]


# --- payloads [23] --------------------------------------------------------------


def place(at):
    """`192.0.2.7:51055` or `[2001:db8::7]:51055` as two items."""
    host, _, port = at.rpartition(":")
    return [ipaddress.ip_address(host.strip("[]")).packed, int(port)]


def read_place(ip, port):
    address = ipaddress.ip_address(text(ip)) if len(text(ip)) in (4, 16) else None
    if address is None or address.is_unspecified or address.is_multicast:
        raise Failure("payload")
    if address == ipaddress.ip_address("255.255.255.255") or number(port, 16) == 0:
        raise Failure("payload")
    if address.version == 6:
        if address.ipv4_mapped:
            raise Failure("payload")
        return f"[{address}]:{number(port)}"
    return f"{address}:{number(port)}"


def contacts(item):
    def contact(item):
        ident, ip, port = fields(item, 3)
        if not any(text(ident, 20)):
            raise Failure("payload")
        return {"id": ident.hex(), "at": read_place(ip, port)}

    return some(item, 20, contact)


def records(item):
    def one(item):
        if not 1 <= len(text(item)) <= RECORD_MAX:
            raise Failure("payload")
        return item.hex()

    return some(item, 8, one)


def flag(item):
    return bool(number(item, 1))


def prefix_bytes(bits, prefix):
    """The bytes of a prefix; bits behind it are an error."""
    value = int.from_bytes(text(prefix), "big")
    if bits > 156 or len(prefix) != (bits + 7) // 8 or value & (1 << -bits % 8) - 1:
        raise Failure("payload")
    return prefix.hex()


def to_hashes(item):
    data = text(item, 128)
    return [data[at : at + 8].hex() for at in range(0, 128, 8)]


def entry(item):
    kind, key, slot, order, until = fields(item, 5)
    return {
        "kind": number(kind, 8),
        "key": text(key, 20).hex(),
        "slot": number(slot),
        "order": number(order),
        "until": number(until),
    }


def write_body(kind, f):
    """The payload of a packet as an item."""
    unhex = bytes.fromhex
    listed = lambda contacts: [[unhex(c["id"]), *place(c["at"])] for c in contacts]  # noqa: E731
    hashes = b"".join(unhex(h) for h in f.get("hashes", []))
    return {
        "PING": lambda: [f["serving"], place(f["check"]) if f["check"] else []],
        "PONG": lambda: [f["serving"], f["unix"], place(f["seen"])],
        "FIND_NODE": lambda: [f["serving"], unhex(f["target"])],
        "NODES": lambda: [listed(f["contacts"])],
        "FIND_VALUE": lambda: [f["serving"], unhex(f["key"])],
        "VALUE": lambda: [[unhex(r) for r in f["records"]], listed(f["contacts"])],
        "STORE": lambda: [f["serving"], [unhex(r) for r in f["records"]]],
        "STORED": lambda: [unhex(f["codes"])],
        "ERROR": lambda: [f["code"], f["text"].encode()],
        "SYNC": lambda: [f["serving"], f["bits"], unhex(f["prefix"]), hashes],
        "SYNCED": lambda: [
            hashes,
            f["listed"],
            [
                [e["kind"], unhex(e["key"]), e["slot"], e["order"], e["until"]]
                for e in f["entries"]
            ],
        ],
    }[kind]()


def read_body(kind, item):
    if kind == "PING":
        serving, check = fields(item, 2)
        if not isinstance(check, list):
            raise Failure("payload")
        return {"serving": flag(serving), "check": read_place(*fields(check, 2)) if check else None}
    if kind == "PONG":
        serving, unix, seen = fields(item, 3)
        seen = read_place(*fields(seen, 2))
        return {"serving": flag(serving), "unix": number(unix), "seen": seen}
    if kind in ("FIND_NODE", "FIND_VALUE"):
        serving, key = fields(item, 2)
        name = "target" if kind == "FIND_NODE" else "key"
        return {"serving": flag(serving), name: text(key, 20).hex()}
    if kind == "NODES":
        return {"contacts": contacts(*fields(item, 1))}
    if kind == "VALUE":
        held, known = fields(item, 2)
        return {"records": records(held), "contacts": contacts(known)}
    if kind == "STORE":
        serving, held = fields(item, 2)
        return {"serving": flag(serving), "records": records(held)}
    if kind == "STORED":
        codes = text(*fields(item, 1))
        if len(codes) > 8:
            raise Failure("payload")
        return {"codes": codes.hex()}
    if kind == "ERROR":
        code, words = fields(item, 2)
        if len(text(words)) > 128:
            raise Failure("payload")
        return {"code": number(code, 16), "text": words.decode()}
    if kind == "SYNC":
        serving, bits, prefix, hashes = fields(item, 4)
        bits = number(bits, 8)
        prefix = prefix_bytes(bits, prefix)
        return {"serving": flag(serving), "bits": bits, "prefix": prefix, "hashes": to_hashes(hashes)}
    hashes, listed, entries = fields(item, 3)
    entries = some(entries, 18, entry)
    return {"hashes": to_hashes(hashes), "listed": number(listed, 16), "entries": entries}


# --- packets [23] ---------------------------------------------------------------


def header(kind, txid, cookie, sender, to):
    return bytes([1, TYPES[kind], 0, 0]) + txid + cookie + sender + to


def to_compact(signature):
    """65 bytes as 64 (EIP-2098)."""
    parity, r, s = signature[0], signature[1:33], bytearray(signature[33:])
    s[0] |= parity << 7
    return r + bytes(s)


def from_compact(compact):
    s = bytearray(compact[32:])
    parity = s[0] >> 7
    s[0] &= 0x7F
    return bytes([parity]) + compact[:32] + bytes(s)


def signer(signature, digest):
    try:
        return recover(signature, digest)
    except ValueError:
        return None


def encode_packet(kind, head, body, secret):
    made = head + rlp(write_body(kind, body))
    return made + to_compact(sign(secret, keccak256(b"chr-dht/1" + made)))


def decode_packet(data):
    """(type, txid, cookie, from, to, fields); Failure names what is wrong."""
    if not HEADER <= len(data) <= PACKET_MAX:
        raise Failure("length")
    if data[0] != 1:
        raise Failure("version")
    kind = {number: name for name, number in TYPES.items()}.get(data[1])
    if kind is None:
        raise Failure("type")
    if any(data[2:4]):
        raise Failure("flags")
    if (len(data) != HEADER) if kind == "CHALLENGE" else (len(data) <= HEADER + SIGNATURE):
        raise Failure("length")
    head = (kind, data[4:12], data[12:20], data[20:40], data[40:60])
    if not any(data[20:40]):
        raise Failure("from")
    if kind == "CHALLENGE":
        return *head, {}
    body = read_body(kind, parse(data[HEADER:-SIGNATURE]))
    digest = keccak256(b"chr-dht/1" + data[:-SIGNATURE])
    if signer(from_compact(data[-SIGNATURE:]), digest) != data[20:40]:
        raise Failure("signature")
    return *head, body


# --- records [24] ---------------------------------------------------------------


def key_of(kind, subject):
    return keccak256(bytes([KINDS[kind]]) + subject)[12:]


def presence_digest(f):
    said = [f["device"], f["node"], uint(f["t"], 8), uint(f["not_after"], 8)]
    return keccak256(b"chr-presence/1" + b"".join(said))


def presence_node_digest(f, device_sig):
    said = [f["device"], f["node"], uint(f["t"], 8), uint(f["not_after"], 8)]
    said += [device_sig, uint(f["until"], 8)]
    return keccak256(b"chr-presence-node/1" + b"".join(said))


def encode_record(kind, f, secrets):
    """Signed by `secrets`: of the node; of device and node; none; of the owner."""
    if kind == "node":
        body = [f["node"], f["seq"], f["until"], [place(p) for p in f["places"]]]
        body += [f["edge_ports"], f["capabilities"], f["name"].encode()]
        body.append(sign(secrets[0], keccak256(b"chr-node-record/1" + rlp(body))))
    elif kind == "presence":
        device_sig = sign(secrets[0], presence_digest(f))
        node_sig = sign(secrets[1], presence_node_digest(f, device_sig))
        body = [f["device"], f["node"], f["t"], f["not_after"], device_sig, f["until"], node_sig]
    elif kind == "content":
        body = [f["until"], f["value"]]
    else:
        body = [f["owner"], f["name"], f["seq"], f["until"], f["value"]]
        body.append(sign(secrets[0], keccak256(b"chr-value/1" + rlp(body))))
    return bytes([KINDS[kind]]) + rlp(body)


def read_record(data):
    """(kind, key, fields, signatures)."""
    kind = {number: name for name, number in KINDS.items()}.get(data[0] if data else 0)
    if kind is None or len(data) > RECORD_MAX:
        raise Failure("payload")
    item = parse(data[1:])
    if kind == "node":
        node, seq, until, places, ports, capabilities, name, sig = fields(item, 8)
        f = {
            "node": text(node, 20),
            "seq": number(seq),
            "until": number(until),
            "places": some(places, 8, lambda p: read_place(*fields(p, 2))),
            "edge_ports": some(ports, 8, lambda p: number(p, 16)),
            "capabilities": number(capabilities),
            "name": text(name).decode(),
        }
        bad_name = len(name) > 64 or re.search(r"[\x00-\x1f\x7f-\x9f]", f["name"])
        if not f["places"] or 0 in f["edge_ports"] or bad_name:
            raise Failure("payload")
        return kind, key_of(kind, node), f, [text(sig, 65)]
    if kind == "presence":
        device, node, t, not_after, device_sig, until, node_sig = fields(item, 7)
        f = {"device": text(device, 20), "node": text(node, 20), "t": number(t)}
        f |= {"not_after": number(not_after), "until": number(until)}
        return kind, key_of(kind, device), f, [text(device_sig, 65), text(node_sig, 65)]
    if kind == "content":
        until, value = fields(item, 2)
        f = {"until": number(until), "value": text(value)}
        return kind, key_of(kind, keccak256(value)), f, []
    owner, name, seq, until, value, sig = fields(item, 6)
    f = {"owner": text(owner, 20), "name": text(name), "seq": number(seq)}
    f |= {"until": number(until), "value": text(value)}
    if len(name) > 64:
        raise Failure("payload")
    return kind, key_of(kind, owner + keccak256(name)), f, [text(sig, 65)]


def check_record(data, now):
    """As a storer or asker whose clock is right; Failure names what is wrong."""
    try:
        kind, key, f, signatures = read_record(data)
    except (Failure, UnicodeDecodeError):
        raise Failure("form") from None
    until = f["until"]
    if kind == "presence":
        until = min(until, f["not_after"])
    if until <= now:
        raise Failure("over")
    if until > now + 25 * HOUR:
        raise Failure("ahead")
    body = parse(data[1:])
    if kind == "presence":
        if f["t"] > now + SKEW or f["not_after"] > now + 25 * HOUR:
            raise Failure("ahead")
        if f["until"] > now + HOUR + SKEW:
            raise Failure("ahead")
        if not 0 < f["not_after"] - f["t"] <= 24 * HOUR:
            raise Failure("form")
        if signer(signatures[0], presence_digest(f)) != f["device"]:
            raise Failure("signature")
        digest = presence_node_digest(f, signatures[0])
        if signer(signatures[1], digest) != f["node"]:
            raise Failure("signature")
    elif kind == "node":
        digest = keccak256(b"chr-node-record/1" + rlp(again(body[:-1])))
        if signer(signatures[0], digest) != f["node"]:
            raise Failure("signature")
    elif kind == "mutable":
        digest = keccak256(b"chr-value/1" + rlp(again(body[:-1])))
        if signer(signatures[0], digest) != f["owner"]:
            raise Failure("signature")
    return kind, key


def again(items):
    """What was read, as `rlp` takes it."""
    return [again(item) if isinstance(item, list) else item for item in items]


# --- the tree [25] --------------------------------------------------------------


def leaf(e):
    made = bytes([e["kind"]]) + bytes.fromhex(e["key"])
    made += uint(e["slot"], 8) + uint(e["order"], 8) + uint(e["until"], 8)
    return first(sha256(made))


def first(digest):
    return max(int.from_bytes(digest[:8], "big"), 1)


def tree(bits, entries):
    """The 16 hashes below the prefix of `bits` bits that all entries have."""
    branch = lambda e: int(e["key"], 16) >> 160 - bits - 4 & 15  # noqa: E731
    return [subtree(bits + 4, [e for e in entries if branch(e) == b]) for b in range(16)]


def subtree(bits, entries):
    if not entries:
        return 0
    if len(entries) > 16 and bits <= 156:
        return first(sha256(b"\1" + b"".join(uint(h, 8) for h in tree(bits, entries))))
    entries = sorted(entries, key=lambda e: (e["key"], e["slot"]))
    return first(sha256(b"\0" + b"".join(uint(leaf(e), 8) for e in entries)))
