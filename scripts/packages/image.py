#!/usr/bin/env python3
"""Puts an image for containers together without an engine; see scripts/packages/oci.

usage: image.py DOCKERFILE ARCH PROGRAM VERSION TIME FORMAT OUT

Reads the last stage of the Dockerfile. Only what stands there today is understood;
anything else is an error, so that file and image cannot differ unnoticed.
"""

import hashlib
import io
import json
import re
import shlex
import sys
import tarfile
from datetime import datetime, timezone

# What builders put into an image that does not say it, so that theirs and ours are equal.
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Bytes that a program for these machines has in its head: ELF class and machine.
ELF = {"amd64": (2, 62), "arm64": (2, 183), "arm": (1, 40)}


def die(why):
    sys.exit(f"image.py: {why}")


def instructions(text):
    """The words behind each instruction of the last stage."""
    text = re.sub(r"\\\n", " ", text)
    found = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found = []
            base = rest.split()[0]
        else:
            found.append((name, rest.strip()))
    if base != "scratch":
        die(f"the last stage begins with {base}, not with scratch")
    return found


def seconds(word):
    """A duration such as 60s in nanoseconds."""
    match = re.fullmatch(r"(\d+)s", word)
    return int(match[1]) * 10**9 if match else die(f"the duration {word} is not in seconds")


def health(rest):
    check = {}
    names = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod"}
    while rest.startswith("--"):
        option, _, rest = rest.partition(" ")
        key, _, value = option[2:].partition("=")
        if key == "retries":
            check["Retries"] = int(value)
        else:
            check[names[key]] = seconds(value)
    if not rest.startswith("CMD "):
        die(f"HEALTHCHECK without CMD: {rest}")
    return {"Test": ["CMD"] + json.loads(rest[4:]), **check}


def settings(lines, version):
    """What the image's configuration says, and the files that are put in."""
    config = {"Env": [PATH], "Labels": {"org.opencontainers.image.version": version}}
    files = []
    for name, rest in lines:
        if name == "LABEL":
            for word in shlex.split(rest):
                key, _, value = word.partition("=")
                config["Labels"][key] = value
        elif name == "COPY":
            options, paths = {}, []
            for word in rest.split():
                if word.startswith("--"):
                    key, _, value = word[2:].partition("=")
                    options[key] = value
                else:
                    paths.append(word)
            files.append((options, paths[-1]))
        elif name == "USER":
            config["User"] = rest
        elif name == "ENV":
            config["Env"] += shlex.split(rest)
        elif name == "VOLUME":
            config["Volumes"] = {path: {} for path in rest.split()}
        elif name == "WORKDIR":
            config["WorkingDir"] = rest
        elif name == "EXPOSE":
            config["ExposedPorts"] = {port: {} for port in sorted(rest.split())}
        elif name == "STOPSIGNAL":
            config["StopSignal"] = rest
        elif name == "HEALTHCHECK":
            config["Healthcheck"] = health(rest)
        elif name == "ENTRYPOINT":
            config["Entrypoint"] = json.loads(rest)
        elif name == "CMD":
            config["Cmd"] = json.loads(rest)
        else:
            die(f"the instruction {name} is not understood; teach it to this script")
    return config, files


def entry(name, time, size=0, mode=0o644, uid=0, gid=0, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime, info.uid, info.gid, info.type = size, mode, time, uid, gid, kind
    return info


def layer(files, program, time):
    """The tar of the root folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for options, path in files:
            uid, gid = (int(n) for n in options["chown"].split(":"))
            name = path.lstrip("/")
            if options["from"] == "program":
                mode = int(options["chmod"], 8)
                info = entry(name, time, len(program), mode, uid, gid)
                tar.addfile(info, io.BytesIO(program))
            elif options["from"] == "folders":
                tar.addfile(entry(name, time, 0, 0o755, uid, gid, tarfile.DIRTYPE))
            else:
                die(f"COPY --from={options['from']} is not understood")
    return out.getvalue()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def text(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def main():
    if len(sys.argv) != 8:
        sys.exit(__doc__)
    dockerfile, arch, program, version, time, form, out = sys.argv[1:]
    time = int(time)
    with open(program, "rb") as file:
        program = file.read()
    head = (program[4], int.from_bytes(program[18:20], "little")) if program[:4] == b"\x7fELF" else None
    if head != ELF[arch]:
        die(f"{sys.argv[3]} is no program for {arch}")
    # A dynamic program names its interpreter, which an empty image lacks.
    if b"/ld-linux" in program or b"/ld-musl" in program:
        die(f"{sys.argv[3]} is not static: it would not start in an image without libraries")
    with open(dockerfile, encoding="utf-8") as file:
        config, files = settings(instructions(file.read()), version)
    root = layer(files, program, time)
    created = datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    image = {
        "architecture": arch,
        "os": "linux",
        "created": created,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(root)]},
        "history": [{"created": created, "created_by": "scripts/packages/oci"}],
    }
    if arch == "arm":
        image["variant"] = "v7"
    image = text(image)

    def blob(data, kind):
        return {"mediaType": kind, "digest": "sha256:" + digest(data), "size": len(data)}

    manifest = text(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(image, "application/vnd.oci.image.config.v1+json"),
            "layers": [blob(root, "application/vnd.oci.image.layer.v1.tar")],
        }
    )
    place = blob(manifest, "application/vnd.oci.image.manifest.v1+json")
    place["platform"] = {"architecture": arch, "os": "linux"}
    place["annotations"] = {
        "io.containerd.image.name": "docker.io/library/chr-node:latest",
        "org.opencontainers.image.ref.name": "latest",
    }
    if arch == "arm":
        place["platform"]["variant"] = "v7"
    if form == "oci":
        path = "blobs/sha256/"
        index = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [place],
        }
        members = {
            "oci-layout": text({"imageLayoutVersion": "1.0.0"}),
            "index.json": text(index),
            path + digest(manifest): manifest,
            path + digest(image): image,
            path + digest(root): root,
        }
    else:
        saved = {
            "Config": digest(image) + ".json",
            "RepoTags": ["chr-node:latest", f"chr-node:{version}"],
            "Layers": [digest(root) + ".tar"],
        }
        members = {
            "manifest.json": text([saved]),
            saved["Config"]: image,
            saved["Layers"][0]: root,
        }
    with tarfile.open(out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in ("blobs", "blobs/sha256") if form == "oci" else ():
            tar.addfile(entry(folder, time, 0, 0o755, kind=tarfile.DIRTYPE))
        for name in sorted(members):
            tar.addfile(entry(name, time, len(members[name])), io.BytesIO(members[name]))


if __name__ == "__main__":
    main()
