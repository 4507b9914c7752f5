"""Writes an OpenWrt package: `ipk` (opkg) or `apk` (apk-tools, format 2).

Called by openwrt.sh with a folder that has all files in their places. Equal input
gives equal bytes: names are sorted, owner 0, times those of --epoch.

ipk: a gzipped tar of debian-binary, data.tar.gz and control.tar.gz.
apk: two gzipped tars one after the other, the first (.PKGINFO and scripts) without
the zero blocks at its end; each file of the second has its SHA-1 in a PAX header.
"""
import argparse
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile

NAME = "chr-node"
SUMMARY = "Peer-to-peer relay node: devices behind NAT reach each other's ports"
# A number of the range that OpenWrt leaves to packages; only where it is free.
USER = "chr-node=841:chr-node=841"
CONFFILES = "/etc/config/chr-node\n"

HEAD = """#!/bin/sh
# In an image that is being built there is nothing to start yet.
functions="${IPKG_INSTROOT}/lib/functions.sh"
[ "${IPKG_NO_SCRIPT}" != 1 ] && [ -s "$functions" ] || exit 0
. "$functions"
"""
# OpenWrt's own: makes the user, then enables and starts what is in /etc/init.d.
IPK_SCRIPTS = {
    "postinst": HEAD + 'default_postinst "$0" "$@"\n',
    "prerm": HEAD + 'default_prerm "$0" "$@"\n',
}
APK_HEAD = HEAD + f'export root="${{IPKG_INSTROOT}}" pkgname={NAME}\n'
APK_SCRIPTS = {
    ".post-install": APK_HEAD + "add_group_and_user\ndefault_postinst\n",
    ".post-upgrade": APK_HEAD + "add_group_and_user\ndefault_postinst\n",
    ".pre-deinstall": APK_HEAD + "default_prerm\n",
}


def entry(name, mode, epoch, size=0, folder=False):
    info = tarfile.TarInfo(name)
    info.mode, info.mtime, info.size = mode, epoch, size
    if folder:
        info.type = tarfile.DIRTYPE
    return info


def tar_of(entries, form=tarfile.GNU_FORMAT, end=True):
    """A tar of (info, bytes), without the blocks at its end unless `end`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data) if data is not None else None)
        tar.fileobj.flush()
        length = tar.offset
    data = out.getvalue()
    return data if end else data[:length]


def pressed(data):
    """gzip without a name and a time: as small as it gets, for small flash."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        done = subprocess.run(["zopfli", "-c", file.name], stdout=subprocess.PIPE, check=True)
    if gzip.decompress(done.stdout) != data:
        sys.exit("openwrt.py: zopfli has changed what it pressed")
    return done.stdout


def tree(root, extra):
    """All files and folders below `root`, and of `extra` {path: bytes}, in order."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = (os.stat(path).st_mode & 0o777, None)
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = (os.stat(path).st_mode & 0o777, file.read())
    for path, data in extra.items():
        found[path] = (0o644, data)
        while path := os.path.dirname(path):
            found.setdefault(path, (0o755, None))
    return sorted(found.items())


def ipk(args):
    files = tree(args.root, {})
    size = sum(len(data) for _, (_, data) in files if data is not None)
    entries = [(entry("./", 0o755, args.epoch, folder=True), None)]
    for path, (mode, data) in files:
        folder = data is None
        entries.append((entry(f"./{path}", mode, args.epoch, len(data or b""), folder), data))
    control = {
        "control": f"Package: {NAME}\nVersion: {args.version}-r1\nDepends: libc\nSource: {NAME}\n"
        f"Section: net\nRequire-User: {USER}\nMaintainer: the makers of {NAME}\n"
        f"Architecture: {args.arch}\nInstalled-Size: {size}\nLicense: MIT\n"
        f"Description: {SUMMARY}\n",
        "conffiles": CONFFILES,
        **IPK_SCRIPTS,
    }
    controls = [(entry("./", 0o755, args.epoch, folder=True), None)]
    for name, text in sorted(control.items()):
        mode = 0o755 if name in IPK_SCRIPTS else 0o644
        controls.append((entry(f"./{name}", mode, args.epoch, len(text)), text.encode()))
    parts = [
        ("./debian-binary", b"2.0\n"),
        ("./data.tar.gz", pressed(tar_of(entries))),
        ("./control.tar.gz", pressed(tar_of(controls))),
    ]
    outer = tar_of([(entry(name, 0o644, args.epoch, len(data)), data) for name, data in parts])
    # The parts are pressed already.
    return f"{NAME}_{args.version}-r1_{args.arch}.ipk", gzip.compress(outer, 9, mtime=0)


def apk(args):
    own = f"lib/apk/packages/{NAME}"
    files = dict(tree(args.root, {}))
    listed = "".join(f"/{path}\n" for path, (_, data) in sorted(files.items()) if data is not None)
    conffile = files["etc/config/chr-node"][1]
    # What OpenWrt's functions read: they look for these instead of a control file.
    extra = {
        f"{own}.conffiles": CONFFILES,
        f"{own}.conffiles_static": f"/etc/config/chr-node {hashlib.sha256(conffile).hexdigest()}\n",
        f"{own}.list": listed,
        f"{own}.rusers": f"{USER}\n",
    }
    extra = {path: text.encode() for path, text in extra.items()}
    files = tree(args.root, extra)
    size = sum(len(data) for _, (_, data) in files if data is not None)
    entries = []
    for path, (mode, data) in files:
        info = entry(path, mode, args.epoch, len(data or b""), data is None)
        info.uname = info.gname = "root"
        if data is not None:
            info.pax_headers = {"APK-TOOLS.checksum.SHA1": hashlib.sha1(data).hexdigest()}
        entries.append((info, data))
    data = pressed(tar_of(entries, tarfile.PAX_FORMAT))
    info = (
        f"pkgname = {NAME}\npkgver = {args.version}-r1\npkgdesc = {SUMMARY}\n"
        f"builddate = {args.epoch}\nsize = {size}\narch = {args.arch}\norigin = {NAME}\nlicense = MIT\n"
        f"datahash = {hashlib.sha256(data).hexdigest()}\n"
    )
    controls = [(entry(".PKGINFO", 0o644, args.epoch, len(info)), info.encode())]
    for name, text in sorted(APK_SCRIPTS.items()):
        controls.append((entry(name, 0o755, args.epoch, len(text)), text.encode()))
    # The repository's index would say for which machines; a file by itself says it here.
    return f"{NAME}_{args.version}-r1_{args.arch}.apk", pressed(tar_of(controls, end=False)) + data


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("kind", choices=["ipk", "apk"])
    for name in ("root", "version", "arch", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--epoch", type=int, required=True)
    args = parser.parse_args()
    name, data = (ipk if args.kind == "ipk" else apk)(args)
    with open(os.path.join(args.out, name), "wb") as file:
        file.write(data)
    print(name)


main()
