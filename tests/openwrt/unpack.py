"""Unpacks a package for OpenWrt as its installer would, checking what that checks.

unpack.py ipk|apk FILE ROOT: prints the package's version, architecture, user and
conffiles as JSON. Written from the formats, not from the program that packs.
"""
import hashlib
import io
import json
import sys
import tarfile
import zlib

kind, path, root = sys.argv[1:]
with open(path, "rb") as file:
    raw = file.read()


def members(data):
    """The gzip members of a file, unpacked, each with its length as it was."""
    while data:
        stream = zlib.decompressobj(wbits=31)
        text = stream.decompress(data) + stream.flush()
        assert stream.eof, "a member of the file is cut"
        yield text, data[: len(data) - len(stream.unused_data)]
        data = stream.unused_data


def files(tar):
    return {m.name.removeprefix("./"): tar.extractfile(m).read() for m in tar if m.isfile()}


def fields(text, sign):
    pairs = (line.split(sign, 1) for line in text.decode().splitlines() if sign in line)
    return {key.strip(): value.strip() for key, value in pairs}


if kind == "ipk":
    ((outer, _),) = members(raw)
    parts = files(tarfile.open(fileobj=io.BytesIO(outer)))
    assert list(parts) == ["debian-binary", "data.tar.gz", "control.tar.gz"], parts.keys()
    assert parts["debian-binary"] == b"2.0\n"
    control = files(tarfile.open(fileobj=io.BytesIO(parts["control.tar.gz"]), mode="r:gz"))
    data = tarfile.open(fileobj=io.BytesIO(parts["data.tar.gz"]), mode="r:gz")
    known = fields(control["control"], ":")
    told = {
        "version": known["Version"],
        "arch": known["Architecture"],
        "user": known["Require-User"],
        "conffiles": control["conffiles"].decode(),
    }
    assert known["Package"] == "chr-node"
    scripts = ["postinst", "prerm"]
    size = int(known["Installed-Size"])
else:
    (first, _), (second, packed) = members(raw)
    # Both are one stream of tar blocks to apk: the first must not end it.
    assert not first.endswith(bytes(1024)), "an end where there is none"
    control = files(tarfile.open(fileobj=io.BytesIO(first + bytes(1024))))
    known = fields(control[".PKGINFO"], "=")
    assert known["datahash"] == hashlib.sha256(packed).hexdigest()
    assert known["pkgname"] == "chr-node"
    data = tarfile.open(fileobj=io.BytesIO(second))
    inside = files(data)
    for member in data:
        if member.isfile():
            said = member.pax_headers["APK-TOOLS.checksum.SHA1"]
            assert said == hashlib.sha1(inside[member.name]).hexdigest(), member.name
    own = "lib/apk/packages/chr-node."
    listed = inside[own + "list"].decode().split()
    assert listed == sorted(f"/{name}" for name in inside if not name.startswith(own)), listed
    name, digest = inside[own + "conffiles_static"].decode().split()
    assert digest == hashlib.sha256(inside[name[1:]]).hexdigest()
    told = {
        "version": known["pkgver"],
        "arch": known["arch"],
        "user": inside[own + "rusers"].decode().strip(),
        "conffiles": inside[own + "conffiles"].decode(),
    }
    scripts = [".post-install", ".post-upgrade", ".pre-deinstall"]
    size = int(known["size"])

for name in scripts:
    assert control[name].startswith(b"#!/bin/sh\n"), name
assert size == sum(m.size for m in data if m.isfile())
assert all((m.uid, m.gid) == (0, 0) for m in data)
data.extractall(root)
print(json.dumps(told))
