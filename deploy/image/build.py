#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the image of Locket's programs: an OCI layout, the same as one tar, and its SBOM.

build.py OUT PROGRAMS ARCH=FOLDER...    build/image "locket-driver locketctl" amd64=build/bin

It holds our programs, the shared libraries that these need, CA certificates, and who
wrote what. No daemon, no registry, no root.

SOURCE_DATE_EPOCH    the time of everything inside; the last commit's where not set
IMAGE                the name under which it is imported: localhost/locket
Same packages, same programs, same time: same digest.
"""
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import sys
import tarfile
import tempfile
import time
import urllib.parse

from debian import TRIPLETS, Libraries, Packages, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSION = (ROOT / "VERSION").read_text(encoding="ascii").strip()
SEEDS = ["base-files", "ca-certificates", "libc6"]
GOAL_MB = 25
ETC = {
    "etc/passwd": "root:x:0:0:root:/:/nologin\nlocket:x:65532:65532:locket:/:/nologin\n",
    "etc/group": "root:x:0:\nlocket:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
LINKS = {"lib": "usr/lib", "lib64": "usr/lib64", "var/run": "/run"}
EMPTY = {"dev": 0o755, "proc": 0o555, "run": 0o755, "sys": 0o555, "tmp": 0o1777}


def debian_layer(packages, libraries):
    """Everything of Debian's: libraries, certificates, licences, and what scanners look for."""
    files = {path: packages.files[path] for path in libraries.taken}
    for path, entry in packages.files.items():
        if re.match(r"usr/share/common-licenses/|(usr/lib|etc)/os-release$", path):
            files[path] = entry
    bundle = [body for path, (_, body) in sorted(packages.files.items())
              if re.match(r"usr/share/ca-certificates/.*\.crt$", path)]
    bundle = b"".join(body.rstrip() + b"\n" for body in bundle)
    files["etc/ssl/certs/ca-certificates.crt"] = (0o644, bundle)
    for path, text in ETC.items():
        files[path] = (0o644, text.encode())
    for link, target in LINKS.items():
        if link == "var/run" or any(path.startswith(f"{target}/") for path in files):
            files[link] = (0o777, target)
    home = {package: packages.files.get(f"usr/share/doc/{package}", (0, package))[1]
            for package in packages.control}  # some have their papers in another's folder
    others = sorted(set(home.values()) - set(home))
    if others:
        packages.add(others)
    for package in packages.control:
        words = packages.files[f"usr/share/doc/{home.get(package, package)}/copyright"]
        files[f"usr/share/doc/{package}/copyright"] = words
    for package, control in packages.control.items():
        files[f"var/lib/dpkg/status.d/{package}"] = (0o644, control.encode())
    return {**files, **{path: (mode, None) for path, mode in EMPTY.items()}}


def tar_of(files, epoch):
    """A tar of {path: (mode, body)}; a body is bytes, a link's target, or None: a folder."""
    every = {}
    for path in files:
        for parent in list(pathlib.PurePosixPath(path).parents)[:-1]:
            every[str(parent)] = (0o755, None)
    every.update(files)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, (mode, body) in sorted(every.items()):
            entry = tarfile.TarInfo(path)
            entry.mode, entry.mtime = mode, epoch
            if body is None:
                entry.type = tarfile.DIRTYPE
            elif isinstance(body, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, body
            else:
                entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body) if isinstance(body, bytes) else None)
    return out.getvalue()


def sbom(packages, programs, when):
    """SPDX 2.3: each package of Debian with its checksum and purl, each program of ours."""
    release = packages.files["usr/lib/os-release"][1].decode()
    distro = "debian-" + re.search(r'^VERSION_ID="?(\d+)', release, re.MULTILINE).group(1)
    listed = [{"SPDXID": "SPDXRef-locket", "name": "locket", "versionInfo": VERSION,
               "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
               "licenseDeclared": "Apache-2.0", "primaryPackagePurpose": "CONTAINER"}]
    related = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-locket")]
    for name in sorted(packages.control):
        version, arch = packages.field(name, "Version"), packages.field(name, "Architecture")
        purl = f"pkg:deb/debian/{urllib.parse.quote(name)}@{urllib.parse.quote(version)}"
        listed.append({
            "SPDXID": "SPDXRef-deb-" + re.sub(r"[^A-Za-z0-9.-]", "-", name), "name": name,
            "versionInfo": version, "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
            "supplier": "Organization: Debian", "licenseDeclared": "NOASSERTION",
            "licenseComments": f"/usr/share/doc/{name}/copyright in the image",
            "sourceInfo": "built from " + packages.field(name, "Source", name),
            "checksums": [{"algorithm": "SHA256", "checksumValue": packages.sha256[name]}],
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                              "referenceLocator": f"{purl}?arch={arch}&distro={distro}"}]})
        related.append(("SPDXRef-locket", "DEPENDS_ON", listed[-1]["SPDXID"]))
    files = []
    for path, (_, body) in sorted(programs.items()):
        sums = [{"algorithm": name, "checksumValue": hashlib.new(name, body).hexdigest()}
                for name in ("SHA1", "SHA256")]
        files.append({"SPDXID": "SPDXRef-file-" + path.split("/")[-1], "fileName": f"./{path}",
                      "licenseConcluded": "Apache-2.0", "copyrightText": "NOASSERTION",
                      "checksums": sums})
        related.append(("SPDXRef-locket", "CONTAINS", files[-1]["SPDXID"]))
    unique = hashlib.sha256(json.dumps([listed, files]).encode()).hexdigest()
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
            "name": f"locket-{VERSION}-{packages.arch}",
            "documentNamespace": f"https://locket.dev/spdx/{unique}",
            "creationInfo": {"created": when, "creators": [f"Tool: locket-image-{VERSION}"]},
            "packages": listed, "files": files,
            "relationships": [{"spdxElementId": a, "relationshipType": how, "relatedSpdxElement": b}
                              for a, how, b in related]}


class Layout:
    """An OCI image layout, kept in memory until it is whole."""

    def __init__(self):
        self.files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def blob(self, kind, body, **more):
        if not isinstance(body, bytes):
            body = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(body).hexdigest()
        self.files[f"blobs/sha256/{digest}"] = body
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(body), **more}

    def image(self, arch, tars, when):
        """Adds layers, config and manifest; returns the manifest's descriptor."""
        layers = [self.blob("layer.v1.tar+gzip", gzip.compress(tar, 9, mtime=0)) for tar in tars]
        config = {
            "architecture": arch, "os": "linux", "created": when,
            "config": {"User": "65532:65532", "Env": ["PATH=/usr/bin"], "WorkingDir": "/",
                       "Cmd": ["/usr/bin/locketctl", "--help"],
                       "Labels": {"org.opencontainers.image.title": "locket",
                                  "org.opencontainers.image.version": VERSION,
                                  "org.opencontainers.image.licenses": "Apache-2.0"}},
            "rootfs": {"type": "layers",
                       "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]},
            "history": [{"created": when, "created_by": by} for by in ("debian", "locket")]}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": self.blob("config.v1+json", config), "layers": layers}
        print(f"image: {arch}: " + " + ".join(f"{layer['size'] / 1e6:.1f}" for layer in layers) +
              f" MB compressed (goal {GOAL_MB}), {sum(map(len, tars)) / 1e6:.1f} MB unpacked")
        return self.blob("manifest.v1+json", manifest,
                         platform={"architecture": arch, "os": "linux"})

    def write(self, out, manifests, epoch):
        """The layout as a folder and as a tar; several architectures behind one index."""
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}
        top = manifests[0]
        if len(manifests) > 1:
            top = self.blob("index.v1+json", {**index, "manifests": manifests})
        name = f"{os.environ.get('IMAGE', 'localhost/locket')}:{VERSION}"
        top = {**top, "annotations": {"io.containerd.image.name": name,
                                      "org.opencontainers.image.ref.name": VERSION}}
        self.files["index.json"] = json.dumps({**index, "manifests": [top]}).encode()
        shutil.rmtree(out / "oci", ignore_errors=True)
        for path, body in self.files.items():
            (out / "oci" / path).parent.mkdir(parents=True, exist_ok=True)
            (out / "oci" / path).write_bytes(body)
        tar = out / f"locket-{VERSION}.oci.tar"
        tar.write_bytes(tar_of({path: (0o644, body) for path, body in self.files.items()}, epoch))
        print(f"image: {tar}: {name} {top['digest']}")


def time_of_source():
    """SOURCE_DATE_EPOCH, else the last commit's; 0 where there is no repository, or no git."""
    if os.environ.get("SOURCE_DATE_EPOCH"):
        return int(os.environ["SOURCE_DATE_EPOCH"])
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        return 0
    return int(run("git", "-C", ROOT, "log", "-1", "--format=%ct", text=True))


def programs_of(arch, folder, names, scratch):
    """Our programs without symbols, nor the id that depends on them."""
    files = {}
    for name in names:
        run(f"{TRIPLETS[arch]}-strip", "-R", ".note.gnu.build-id", "-o", scratch, folder / name)
        files[f"usr/bin/{name}"] = (0o755, scratch.read_bytes())
    return files


def main():
    out, names = pathlib.Path(sys.argv[1]), sys.argv[2].split()
    out.mkdir(parents=True, exist_ok=True)
    epoch, layout, manifests = time_of_source(), Layout(), []
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
    with tempfile.TemporaryDirectory(prefix="locket-image-") as folder:
        scratch = pathlib.Path(folder) / "elf"
        for arch, _, place in (word.partition("=") for word in sys.argv[3:]):
            if arch not in TRIPLETS:
                raise SystemExit(f"image: {arch} is none of {', '.join(TRIPLETS)}")
            packages = Packages(arch, out)
            libraries = Libraries(packages, scratch)
            packages.add(SEEDS)
            ours = programs_of(arch, pathlib.Path(place), names, scratch)
            libraries.need([body for _, body in ours.values()])
            debian = tar_of(debian_layer(packages, libraries), epoch)
            bill = json.dumps(sbom(packages, ours, when), indent=1).encode()
            (out / f"locket-{VERSION}-{arch}.spdx.json").write_bytes(bill)
            ours["usr/share/doc/locket/sbom.spdx.json"] = (0o644, bill)
            ours["usr/share/doc/locket/copyright"] = (0o644, (ROOT / "LICENSE").read_bytes())
            manifests.append(layout.image(arch, [debian, tar_of(ours, epoch)], when))
    layout.write(out, manifests, epoch)


if __name__ == "__main__":
    main()
