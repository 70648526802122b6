# SPDX-License-Identifier: Apache-2.0
"""Images without a registry: archives of static programs that containerd imports."""
import hashlib
import io
import json
import pathlib
import tarfile

from harness import ROOT, run, tool

PAUSE, BUSYBOX = "rig.local/pause:1", "rig.local/busybox:1"
UPSTREAM, REGISTRAR = "rig.local/upstream:1", "rig.local/registrar:1"
APPLETS = ["sh", "cat", "sleep", "ls", "id", "touch", "mount", "umount"]


def tar_of(entries):
    """A tar of {path: bytes, or the target of a link}; what is bytes is executable."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, body in entries.items():
            entry = tarfile.TarInfo(path)
            entry.mode = 0o755
            if isinstance(body, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, body
                tar.addfile(entry)
            else:
                entry.size = len(body)
                tar.addfile(entry, io.BytesIO(body))
    return out.getvalue()


def archive(path, name, entries, command):
    """Writes an image of one layer in the format of `docker save`."""
    layer = tar_of(entries)
    config = json.dumps({
        "architecture": run(["dpkg", "--print-architecture"]).stdout.strip(), "os": "linux",
        "config": {"Entrypoint": command, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }).encode()
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    path.write_bytes(tar_of({"manifest.json": json.dumps(manifest).encode(),
                             "config.json": config, "layer.tar": layer}))
    return path


def make_images(folder):
    """The images that pods here are made of, as archives."""
    pause = folder / "pause"
    run(["gcc", "-Os", "-static", "-s", "-o", pause, ROOT / "tests/node/pause.c"])
    return [
        archive(folder / "pause.tar", PAUSE, {"pause": pause.read_bytes()}, ["/pause"]),
        archive(folder / "busybox.tar", BUSYBOX, busybox(), ["/bin/sh"]),
    ]


def busybox():
    links = {f"bin/{name}": "busybox" for name in APPLETS}
    return {"bin/busybox": pathlib.Path("/bin/busybox").read_bytes(), **links}


def make_old_images(folder):
    """The driver before Locket, which mounts by a program, and what tells kubelet of it."""
    driver, wire = (pathlib.Path(tool(name)).read_bytes() for name in ("upstream", "wire"))
    return [
        archive(folder / "upstream.tar", UPSTREAM, {"driver": driver, **busybox()}, ["/driver"]),
        archive(folder / "registrar.tar", REGISTRAR, {"wire": wire}, ["/wire", "register"]),
    ]
