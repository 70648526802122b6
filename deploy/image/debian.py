# SPDX-License-Identifier: Apache-2.0
"""Debian's packages as a source of files, and the shared libraries that programs need of them.

Nothing is installed: apt finds, downloads and verifies packages, which are read in memory. An
architecture that is not this machine's has lists of its own. Knows nothing of images.
"""
import hashlib
import io
import os
import posixpath
import re
import subprocess
import tarfile

TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}


def run(*argv, accept=(0,), **more):
    """A program's output; whatever else it says goes to stderr, in English."""
    argv, env = [str(a) for a in argv], {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, check=False, stdout=subprocess.PIPE, env=env, **more)
    if done.returncode not in accept:
        raise SystemExit(f"image: {' '.join(argv)[:200]} ended with {done.returncode}")
    return done.stdout


def merged(path):
    """A path of a package as it is on a system where /lib and /bin lead to /usr."""
    path = posixpath.normpath(path).lstrip("/")
    return f"usr/{path}" if re.match(r"(lib|lib64|bin|sbin)/", path) else path


class Packages:
    """Debian packages of one architecture, downloaded into a folder and read in memory."""

    def __init__(self, arch, folder):
        folder = folder.resolve()
        self.arch, self.cache = arch, folder / "packages"
        self.cache.mkdir(parents=True, exist_ok=True)
        self.files = {}  # path: (mode, bytes, or the link's target as text)
        self.control = {}  # package: its control file
        self.sha256 = {}  # package: of the .deb
        self.native = run("dpkg", "--print-architecture", text=True).strip()
        self.options = ["-qq", "-o", "APT::Sandbox::User=root"]
        if arch != self.native:
            self._own_lists(folder / f"apt-{arch}")

    def _own_lists(self, state):
        for name in ("lists/partial", "cache/archives/partial"):
            (state / name).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        for setting in (f"APT::Architecture={self.arch}", "APT::Architectures=",
                        f"APT::Architectures::={self.arch}", f"Dir::State={state}",
                        f"Dir::State::status={state}/status", f"Dir::Cache={state}/cache"):
            self.options += ["-o", setting]
        if not list((state / "lists").glob("*Packages*")):
            run("apt-get", *self.options, "update")

    def add(self, names):
        """Downloads what is not there yet, and reads these packages in."""
        uris = run("apt-get", *self.options, "download", "--print-uris", *names, text=True)
        wanted = re.findall(r"^'.*' (\S+) \d+ SHA256:(\w+)$", uris, re.MULTILINE)
        if len(wanted) != len(names):
            raise SystemExit(f"image: apt does not know all of {names}: apt-get update?")
        missing = [name.split("_")[0] for name, digest in wanted if not self._is_here(name, digest)]
        if missing:
            run("apt-get", *self.options, "download", *missing, cwd=self.cache)
        for name, digest in wanted:
            if not self._is_here(name, digest):
                raise SystemExit(f"image: {name} is not what apt's lists say")
            self._read(name.split("_")[0], self.cache / name, digest)

    def _is_here(self, name, digest):
        path = self.cache / name
        return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == digest

    def _read(self, package, path, digest):
        self.control[package] = run("dpkg-deb", "--field", path, text=True)
        self.sha256[package] = digest
        data = run("dpkg-deb", "--fsys-tarfile", path)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                if member.issym():
                    self.files[merged(member.name)] = (0o777, member.linkname)
                elif member.isreg():
                    self.files[merged(member.name)] = (member.mode, tar.extractfile(member).read())

    def field(self, package, name, absent=""):
        found = re.search(rf"^{name}: (.*)$", self.control[package], re.MULTILINE)
        return found.group(1) if found else absent

    def follow(self, path):
        """A file and the links that lead to it from this path, it last; empty if not there."""
        path, way = merged(path), []
        while path in self.files and path not in way:
            way.append(path)
            body = self.files[path][1]
            if isinstance(body, bytes):
                return way
            path = merged(posixpath.join(posixpath.dirname(path), body))
        return []


class Libraries:
    """The shared libraries that programs need, and the packages they are in."""

    def __init__(self, packages, scratch):
        self.packages, self.scratch = packages, scratch
        self.folder = f"usr/lib/{TRIPLETS[packages.arch]}"
        self.taken = set()

    def need(self, programs):
        """Takes what these ELF files need, and what that needs in turn."""
        waiting = set().union(*(self._needs(body) for body in programs))
        while waiting:
            absent = {name for name in waiting if not self._find(name)}
            if absent:
                self.packages.add(sorted(self._owners(absent)))
            found = set()
            for name in waiting:
                way = self._find(name)
                if not way:
                    raise SystemExit(f"image: no package of {self.packages.arch} has {name}")
                if way[-1] not in self.taken:
                    found |= self._needs(self.packages.files[way[-1]][1])
                self.taken.update(way)
            waiting = found

    def _find(self, name):
        return self.packages.follow(name if "/" in name else f"{self.folder}/{name}")

    def _needs(self, body):
        """Sonames, and the loader by its whole path."""
        self.scratch.write_bytes(body)
        text = run("readelf", "--wide", "--dynamic", "--program-headers", self.scratch, text=True)
        return set(re.findall(r"(?:\(NEEDED\).*\[|interpreter: )(.*)\]", text))

    def _owners(self, names):
        """Packages by what dpkg knows of this machine's, whose names other architectures share."""
        asked = [f"*/{name.split('/')[-1]}" for name in names]
        text = run("dpkg-query", "--search", *asked, accept=(0, 1), text=True)
        here = f"/lib/{TRIPLETS[self.packages.native]}/"
        owners = {}
        for line in text.splitlines():
            package, _, path = line.partition(": ")
            if " by " not in package and path.removeprefix("/usr").removeprefix(here) in names:
                owners[path.split("/")[-1]] = package.split(":")[0]
        unknown = sorted(set(names) - set(owners))
        if unknown:
            raise SystemExit(f"image: no installed package has {', '.join(unknown)}")
        return set(owners.values()) - set(self.packages.control)
