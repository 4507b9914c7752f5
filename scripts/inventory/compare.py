"""Compares two releases file by file, and names what differs first.

    python3 compare.py DIR DIR
"""

import gzip
import hashlib
import io
import pathlib
import struct
import sys
import tarfile


def files(folder):
    """{name: path} of all files that a build makes. Signatures are made anew each time."""
    folder = pathlib.Path(folder)
    return {
        str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".minisig"
    }


def _ar(data):
    """{member: (what describes it, content)} of an ar archive (a .deb)."""
    members, at = {}, 8
    while at + 60 <= len(data):
        head = data[at : at + 60]
        size = int(head[48:58])
        members[head[:16].decode().strip().rstrip("/")] = (head[16:48], data[at + 60 : at + 60 + size])
        at += 60 + size + size % 2
    return members


def _tar(data):
    members = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for item in archive:
            content = archive.extractfile(item).read() if item.isfile() else item.linkname.encode()
            about = (oct(item.mode), item.mtime, item.uid, item.gid, item.uname, item.gname, item.type)
            members[item.name] = (about, content)
    return members


def _members(data):
    if data.startswith(b"!<arch>\n"):
        return _ar(data)
    if data[:2] == b"\x1f\x8b" or data[:6] == b"\xfd7zXZ\x00" or data[257:262] == b"ustar":
        try:
            return _tar(data)
        except tarfile.TarError:
            return None
    return None


def _section(data, at):
    """The ELF section that a byte of the file belongs to."""
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    if wide:
        (table,) = struct.unpack_from(order + "Q", data, 40)
        size, count, names = struct.unpack_from(order + "HHH", data, 58)
    else:
        (table,) = struct.unpack_from(order + "I", data, 32)
        size, count, names = struct.unpack_from(order + "HHH", data, 46)

    def entry(index):
        base = table + index * size
        name, kind = struct.unpack_from(order + "II", data, base)
        place = struct.unpack_from(order + "QQ", data, base + 24) if wide else struct.unpack_from(order + "II", data, base + 16)
        return name, kind, place[0], place[1]

    strings = entry(names)[2]
    for index in range(count):
        name, kind, start, length = entry(index)
        if kind != 8 and start <= at < start + length:  # 8: takes no place in the file
            return data[strings + name :].split(b"\0", 1)[0].decode()
    return "headers"


def _around(data, at):
    return repr(data[max(0, at - 24) : at + 40])[2:-1]


def difference(one, two):
    """What differs first between the contents of two files, in words."""
    a, b = _members(one), _members(two)
    if a is not None and b is not None:
        if list(a) != list(b):
            return f"members or their order: {sorted(set(a) ^ set(b)) or 'another order'}"
        for name, (about, content) in a.items():
            if about != b[name][0]:
                return f"{name}: {about} and {b[name][0]}"
            if content != b[name][1]:
                return f"{name}: {difference(content, b[name][1])}"
        if one[:2] == b"\x1f\x8b" and gzip.decompress(one) == gzip.decompress(two):
            return "the way of compressing alone"
        return "padding or headers of the archive"
    if len(one) != len(two):
        size = f"{len(one)} and {len(two)} bytes; "
    else:
        size = ""
    at = next((i for i, (x, y) in enumerate(zip(one, two)) if x != y), min(len(one), len(two)))
    where = f"byte {at}"
    if one[:4] == b"\x7fELF" and at < len(one):
        where += f", section {_section(one, at)}"
    return f"{size}{where}: “{_around(one, at)}” and “{_around(two, at)}”"


def main():
    """Exit code 1 when anything differs."""
    if len(sys.argv) != 3:
        print("usage: compare.py DIR DIR", file=sys.stderr)
        sys.exit(2)
    one, two = files(sys.argv[1]), files(sys.argv[2])
    equal, wrong = 0, []
    for name in sorted(set(one) | set(two)):
        if name not in one or name not in two:
            wrong.append(f"{name} is in {sys.argv[1] if name in one else sys.argv[2]} alone")
            continue
        a, b = one[name].read_bytes(), two[name].read_bytes()
        if a == b:
            equal += 1
            print(f"equal  {hashlib.sha256(a).hexdigest()[:16]}  {name}", file=sys.stderr)
        elif name != "SHA256SUMS":  # it differs where the others do
            wrong.append(f"{name}: {difference(a, b)}")
    for line in wrong:
        print(f"differs: {line}", file=sys.stderr)
    print(f"{equal} of {len(set(one) | set(two))} files are equal", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
