"""Checks docs/vectors.json against the Python client's codecs.

`python3 chr_client.py vectors FILE` runs it. A category that nothing here reads
is an error, so that no vector is silently left out.
"""

import json

import chr_client as client
import chr_dht as dht


def unhex(kind, value):
    """A field of the file as the codecs want it."""
    if value is None or kind in ("str", "str?") or not isinstance(value, (str, list)):
        return value
    if isinstance(value, list):
        return [bytes.fromhex(item) for item in value]
    return bytes.fromhex(value)


def frame(given, wanted):
    name = given["struct"]
    kinds = dict(client.FIELDS[name])
    fields = {field: unhex(kinds[field], value) for field, value in given["fields"].items()}
    made = client.encode(name, given["id"], fields)
    assert made.hex() == wanted["frame"]
    assert client.STRUCTS[name][0] == wanted["type"]
    [(kind, number, body)] = client.Frames().feed(made)
    assert (client.NAMES[kind], number) == (name, given["id"])
    assert client.decode(name, body) == fields


def data(given, wanted):
    made = client.encode_data(given["port"], bytes.fromhex(given["raw"]))
    assert made.hex() == wanted["frame"]
    [(kind, number, raw)] = client.Frames().feed(made)
    assert (kind, number, raw.hex()) == (client.DATA, given["port"], given["raw"])


def refused(given, wanted):
    if wanted["error"] == "too long":
        return  # a bound of the receiver; the client trusts its node
    try:
        for kind, _, body in client.Frames().feed(bytes.fromhex(given["bytes"])):
            client.decode(client.NAMES[kind], body)
    except client.Failure:
        return
    raise AssertionError("it was understood")


def varint(given, wanted):
    number, encoded = int(given["number"]), bytes.fromhex(wanted["bytes"])
    assert client.put_varint(number) == encoded
    assert client.Reader(encoded).varint(given["bits"]) == number


def hash_of(given, wanted, name):
    value = given["data_ascii"].encode() if "data_ascii" in given else bytes.fromhex(given["data"])
    function = client.sha256 if "sha256" in name else client.keccak256
    assert function(value).hex() == wanted["hash"]


def identity(given, wanted):
    public = client.public_key(bytes.fromhex(given["private_key"]))
    assert public.hex() == wanted["public_key_uncompressed"]
    assert client.address_of(public).hex() == wanted["address"]


def signature(given, wanted):
    digest = bytes.fromhex(given["digest"])
    made = client.sign(bytes.fromhex(given["private_key"]), digest)
    assert made.hex() == wanted["signature"]
    assert client.recover(made, digest).hex() == wanted["signer"]


def certificate(_, wanted):
    der = bytes.fromhex(wanted["example_cert_der"])
    assert client.address_of_certificate(der).hex() == wanted["address_from_cert"]


def rlp(given, wanted):
    if "int" in given:
        item = given["int"]
    elif "bytes" in given:
        item = bytes.fromhex(given["bytes"])
    elif "bytes_repeat" in given:
        byte, times = given["bytes_repeat"].split(" x ")
        item = bytes.fromhex(byte) * int(times)
    else:
        item = [[key.encode(), value.encode()] for key, value in given["map"].items()]
    assert client.rlp(item).hex() == wanted["rlp"]


def local_address(given, wanted):
    made = client.local_address(
        [bytes.fromhex(relay) for relay in given["s"]],
        given["t"],
        [bytes.fromhex(fleet) for fleet in given["f"]],
        given["p"] and bytes.fromhex(given["p"]),
    )
    assert made.hex() == wanted["local_address"]


def edge_ticket(given, wanted):
    kinds = dict(client.FIELDS["Ticket"])
    ticket = {f: unhex(kind, given[f]) for f, kind in kinds.items() if f != "signature"}
    digest = client.ticket_digest(ticket, bytes.fromhex(given["node"]))
    assert digest.hex() == wanted["digest"]
    ticket["signature"] = client.sign(bytes.fromhex(given["device_private_key"]), digest)
    assert ticket["signature"].hex() == wanted["signature"]
    assert client.recover(ticket["signature"], digest).hex() == wanted["signer"]
    assert client.encode("Ticket", given["id"], ticket).hex() == wanted["frame"]


def presence(given, wanted):
    device, node = (bytes.fromhex(given[key]) for key in ("device_private_key", "node_private_key"))
    addresses = [client.address_of(client.public_key(secret)) for secret in (device, node)]
    fields = (*addresses, given["t"], given["not_after"])
    digest = client.presence_digest(*fields)
    assert digest.hex() == wanted["device_digest"]
    device_sig = client.sign(device, digest)
    assert device_sig.hex() == wanted["device_sig"]
    digest = client.presence_node_digest(*fields, device_sig, given["until"])
    assert digest.hex() == wanted["node_digest"]
    node_sig = client.sign(node, digest)
    assert node_sig.hex() == wanted["node_sig"]
    record = client.rlp([*fields, device_sig, given["until"], node_sig])
    assert record.hex() == wanted["record"]


def ticket(given, wanted, name):
    if name == "ticket.v2.full":
        fields = {
            "chain_id": given["chain_id"],
            "epoch": given["epoch"],
            "fleet": bytes.fromhex(given["fleet_contract"]),
            "total_connections": given["total_connections"],
            "total_bytes": given["total_bytes"],
            "local_address": bytes.fromhex(given["local_address"]),
        }
        digest = client.ticket_digest(fields, bytes.fromhex(given["server_id"]))
        assert digest.hex() == wanted["device_digest"]
        made = client.sign(bytes.fromhex(given["device_private_key"]), digest)
        assert made.hex() == wanted["device_signature"]
    elif name == "ticket.local_address.v2":
        relays = [bytes.fromhex(relay) for relay in given["preferred"]]
        made = client.local_address(relays, given["timestamp"])
        assert made.hex() == wanted["local_address"]
    # The others are of dialects and chains that this client does not speak.


def dht_packet(given, wanted):
    kind, unhex = given["type"], bytes.fromhex
    if kind == "CHALLENGE":
        _, txid, _, asker, _, _ = dht.decode_packet(unhex(given["request"]))
        made = dht.header(kind, txid, unhex(given["cookie"]), unhex(given["from"]), asker)
        assert made.hex() == wanted["packet"]
        assert dht.decode_packet(made)[0] == kind
        return
    secret = unhex(given["private_key"])
    sender = client.address_of(client.public_key(secret))
    assert sender.hex() == wanted["from"] and dht.TYPES[kind] == wanted["type"]
    place = [unhex(given[field]) for field in ("txid", "cookie")] + [sender, unhex(given["to"])]
    made = dht.encode_packet(kind, dht.header(kind, *place), given["fields"], secret)
    assert made.hex() == wanted["packet"]
    assert dht.decode_packet(made) == (kind, *place, given["fields"])


def dht_record(given, wanted):
    fields, kind = dict(given["fields"]), given["kind"]
    for field in ("node", "device", "owner", "value"):
        if field in fields:
            fields[field] = bytes.fromhex(fields[field])
    if kind == "mutable":
        fields["name"] = bytes.fromhex(fields["name"])
    made = dht.encode_record(kind, fields, [bytes.fromhex(key) for key in given["private_keys"]])
    assert made.hex() == wanted["record"]
    assert dht.read_record(made)[2] == fields
    assert dht.check_record(made, fields["until"] - 1)[1].hex() == wanted["key"]


def dht_refused(given, wanted):
    data = bytes.fromhex(given["bytes"])
    try:
        if given["what"] == "packet":
            dht.decode_packet(data)
        else:
            dht.check_record(data, given["unix"])
    except client.Failure as error:
        assert str(error) == wanted["error"], error
        return
    raise AssertionError("it was understood")


def dht_tree(given, wanted):
    hashes = dht.tree(given["bits"], given["entries"])
    assert [f"{value:016x}" for value in hashes] == wanted["hashes"]


def reply(given, wanted):
    body = given["body_utf8"].encode()
    digest = client.sha256(b"DiodeNodeReply" + body)
    assert digest.hex() == wanted["digest"]
    made = client.sign(bytes.fromhex(given["private_key"]), digest)
    assert "0x" + made.hex() == wanted["x-diode-signature"]
    assert "0x" + client.recover(made, digest).hex() == wanted["x-diode-sender"]


def skip(*_):
    """Decisions that only a node takes."""


CHECKS = {
    "edge.frame": frame,
    "peer.frame": frame,
    "edge.data": data,
    "edge.refused": refused,
    "edge.varint": varint,
    "edge.dialect": skip,
    "edge.port_name": skip,
    "edge.local_address": local_address,
    "edge.ticket": edge_ticket,
    "edge.presence": presence,
    "dht.packet": dht_packet,
    "dht.record": dht_record,
    "dht.refused": dht_refused,
    "dht.tree": dht_tree,
    "hash": hash_of,
    "identity": identity,
    "signature": signature,
    "tls": certificate,
    "rlp": rlp,
    "ticket": ticket,
    "epoch": skip,
    "rpc": reply,
}
NAMED = (hash_of, ticket)


def check(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)["vectors"]
    for vector in vectors:
        function = CHECKS[vector["category"]]
        arguments = [vector["input"], vector["expected"]]
        if function in NAMED:
            arguments.append(vector["id"])
        try:
            function(*arguments)
        except (AssertionError, client.Failure) as error:
            raise client.Failure(f"vector {vector['id']} does not hold: {error}") from error
    return len(vectors)
