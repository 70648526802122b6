#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The image: unpacked, its programs started by runc as a cluster would start them, and built again.

Not one of `make test`, since the image asks Debian's archive for packages: see `make image-test`.
PROGRAMS="locket-driver ..."         what must be in it
BINARIES="amd64=build/bin ..."       for which architectures, and what was put in
image.py [WORD...]                   the tests with such a word in their names
"""
import hashlib
import io
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
import harness  # noqa: E402
from harness import expect, expect_equal, test, wait_until  # noqa: E402

PROGRAMS = os.environ["PROGRAMS"].split()
VERSION = (harness.ROOT / "VERSION").read_text(encoding="ascii").strip()
BINARIES = dict(word.split("=") for word in os.environ["BINARIES"].split())
ARCH = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
FOREIGN = sorted(set(BINARIES) - {ARCH})
EMULATORS = {"arm64": "qemu-aarch64-static", "amd64": "qemu-x86_64-static"}
MOST_BYTES = 25_000_000


def sha256(body):
    return hashlib.sha256(body).hexdigest()


class Image:
    """A layout, read as a client reads it: from index.json on, by digests alone."""

    def __init__(self, folder, arch):
        self.folder = folder
        self.top = json.loads((folder / "index.json").read_bytes())["manifests"][0]
        manifests = [self.top]
        if "index" in self.top["mediaType"]:
            manifests = json.loads(self.blob(self.top))["manifests"]
        self.manifest = json.loads(self.blob(next(
            one for one in manifests if one["platform"] == {"architecture": arch, "os": "linux"})))
        self.config = json.loads(self.blob(self.manifest["config"]))
        self.tars = [self.unzip(self.blob(layer)) for layer in self.manifest["layers"]]

    def blob(self, descriptor):
        body = (self.folder / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()
        expect_equal(f"sha256:{sha256(body)}", descriptor["digest"], "the digest of a blob")
        expect_equal(len(body), descriptor["size"], "the size of a blob")
        return body

    @staticmethod
    def unzip(body):
        return subprocess.run(["gzip", "-dc"], input=body, check=True, capture_output=True).stdout

    def members(self):
        for body in self.tars:
            with tarfile.open(fileobj=io.BytesIO(body)) as tar:
                for member in tar:
                    yield member, tar.extractfile(member).read() if member.isreg() else b""

    def unpack(self, root):
        root.mkdir(parents=True)
        for body in self.tars:
            with tarfile.open(fileobj=io.BytesIO(body)) as tar:
                tar.extractall(root)


class World:
    """The image as `make image` leaves it, unpacked for this machine."""

    def __init__(self, programs):
        self.programs = programs
        self.out = harness.BUILD / "image"
        self.images = {arch: Image(self.out / "oci", arch) for arch in BINARIES}
        self.image = self.images[ARCH]
        self.root = programs.folder / "bundle/rootfs"
        self.image.unpack(self.root)
        self.count = 0
        # A plain user's namespace has no other user than root.
        self.user = int(self.image.config["config"]["User"].split(":")[0])
        if not harness.is_gid_mapped(self.user):
            self.user = 0

    def members(self):
        for image in self.images.values():
            yield from image.members()

    def command(self, argv, user=None, mounts=()):
        """The command line by which runc starts argv in the image, and the container's name."""
        self.count += 1
        user = self.user if user is None else user
        spec = {
            "ociVersion": "1.0.2",
            "process": {
                "args": argv, "cwd": self.image.config["config"]["WorkingDir"],
                "env": [*self.image.config["config"]["Env"], "LD_BIND_NOW=1"],
                "user": {"uid": user, "gid": user}, "noNewPrivileges": True, "capabilities": {}},
            "root": {"path": "rootfs", "readonly": True},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}, *mounts],
            "linux": {"namespaces": [{"type": kind} for kind in
                                     ("pid", "mount", "ipc", "uts", "network")]}}
        (self.root.parent / "config.json").write_text(json.dumps(spec))
        name = f"locket-image-{os.getpid()}-{self.count}"
        return name, ["runc", "--root", self.programs.folder / "runc", "run",
                      "--bundle", self.root.parent, name]

    def run(self, *argv, **more):
        return harness.run(self.command(argv, **more)[1], check=False)


@test
def each_program_starts_in_a_container_with_a_read_only_root_and_no_capabilities(world):
    for program in PROGRAMS:
        done = world.run(f"/usr/bin/{program}", "--version")
        expect_equal(done.returncode, 0, f"{program}: {done.stderr[-300:]}")
        expect(VERSION in done.stdout, f"{program} says {done.stdout!r}, not {VERSION}")


@test
def there_is_no_shell_to_start(world):
    for path in ("/bin/sh", "/usr/bin/sh", "/bin/bash", "/usr/bin/dpkg", "/usr/bin/apt-get"):
        done = world.run(path)
        expect(done.returncode != 0, f"{path} was started")
        expect("no such file or directory" in done.stderr, done.stderr[-300:])


@test
def nothing_but_the_programs_and_the_loader_is_executable_and_nothing_is_setuid(world):
    found = set()
    for member, body in world.members():
        expect(member.isdir() or not member.mode & 0o6000, f"{member.name} is setuid or setgid")
        expect(not member.isreg() or not member.mode & 0o022, f"{member.name} is writable")
        expect_equal((member.uid, member.gid), (0, 0), member.name)
        expect(not body.startswith(b"#!"), f"{member.name} is a script")
        if member.isreg() and member.mode & 0o111 and ".so" not in member.name:
            found.add(member.name)
    expect_equal(found, {f"usr/bin/{program}" for program in PROGRAMS}, "executable")


@test
def a_root_in_it_cannot_write_to_it(world):
    done = world.run("/usr/bin/locket-driver", "--nodeid=n", "--classes=/tmp", "--target-root=/tmp",
                     "--state-dir=/etc/state", "--endpoint=unix:///etc/csi.sock", user=0)
    expect(done.returncode != 0, "the driver started in a read-only root")
    expect("ead-only file system" in done.stderr, done.stderr[-400:])


@test
def a_provider_serves_its_socket_from_the_image(world):
    folder = world.programs.folder / "providers"
    folder.mkdir()
    os.chmod(world.programs.folder, 0o755)
    os.chown(folder, world.user, world.user)
    name, argv = world.command(
        ["/usr/bin/locket-provider", "--stores=file", "--provider-dir=/run/providers"],
        mounts=[{"destination": "/run", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/run/providers", "type": "bind", "source": str(folder),
                 "options": ["bind", "rw"]}])
    socket = folder / "file.sock"
    world.programs.start("container", argv, lambda: socket.exists() and harness.accepts(socket))
    state = ["runc", "--root", world.programs.folder / "runc"]
    harness.run([*state, "kill", name, "TERM"])
    wait_until(lambda: world.programs.running["container"].poll() is not None, 10, "its end")
    expect_equal(world.programs.stop("container"), 0, "the provider's end")


@test
def a_second_build_elsewhere_with_another_umask_clock_and_locale_has_the_same_digest(world):
    folder, words = world.programs.folder / "again", []
    for arch, place in BINARIES.items():
        (folder / arch).mkdir(parents=True)
        for program in PROGRAMS:
            shutil.copyfile(harness.ROOT / place / program, folder / arch / program)
        words.append(f"{arch}={folder / arch}")
    (folder / "image").mkdir()
    for shared in ("packages", *(f"apt-{arch}" for arch in BINARIES)):
        (folder / "image" / shared).symlink_to(world.out / shared)
    done = subprocess.run(
        [harness.ROOT / "deploy/image/build.py", folder / "image", " ".join(PROGRAMS), *words],
        env={**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "C"}, umask=0o077, check=False, text=True,
        timeout=240, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    expect(done.returncode == 0, f"the image cannot be built: {done.stdout[-400:]}")
    expect_equal(Image(folder / "image/oci", ARCH).top, world.image.top, "what index.json names")
    tar = f"locket-{VERSION}.oci.tar"
    have, want = ((place / tar).read_bytes() for place in (folder / "image", world.out))
    expect(have == want, "the tars differ")


def the_programs_of_another_architecture_start_under_emulation(world):
    for arch in FOREIGN:
        root = world.programs.folder / arch
        world.images[arch].unpack(root)
        for program in PROGRAMS:
            done = harness.run([EMULATORS[arch], "-L", root, "-E", "LD_BIND_NOW=1",
                                root / "usr/bin" / program, "--version"])
            expect(VERSION in done.stdout, f"{program} of {arch} says {done.stdout!r}")


if FOREIGN:
    test(the_programs_of_another_architecture_start_under_emulation)


@test
def the_programs_do_not_tell_in_which_folder_they_were_compiled(world):
    for member, body in world.members():
        if member.name.startswith("usr/bin/"):
            for word in (str(harness.ROOT), f"{harness.BUILD.name}/gen", "build-id"):
                expect(word.encode() not in body, f"{member.name} contains {word}")


@test
def the_config_names_the_layers_and_a_user_without_privilege(world):
    for arch, image in world.images.items():
        expect_equal(image.config["rootfs"]["diff_ids"],
                     [f"sha256:{sha256(body)}" for body in image.tars], "sums of the layers")
        expect_equal(image.config["architecture"], arch, "the platform")
        expect_equal(image.config["config"]["User"], "65532:65532", "the user")


@test
def the_bill_of_materials_names_each_package_and_each_program(world):
    for arch, image in world.images.items():
        bill = (world.out / f"locket-{VERSION}-{arch}.spdx.json").read_bytes()
        files = {member.name: body for member, body in image.members()}
        expect_equal(files["usr/share/doc/locket/sbom.spdx.json"], bill, "the one in the image")
        bill = json.loads(bill)
        listed = {entry["name"] for entry in bill["packages"]} - {"locket"}
        status = "var/lib/dpkg/status.d/"
        inside = {name.removeprefix(status) for name in files if name.startswith(status)}
        expect_equal(listed, inside, "the packages")
        for package in listed:
            expect(f"usr/share/doc/{package}/copyright" in files, f"{package} has no licence")
        for row in bill["files"]:
            have = sha256(files[row["fileName"].removeprefix("./")])
            expect_equal(row["checksums"][1]["checksumValue"], have, row["fileName"])
        expect_equal({row["fileName"] for row in bill["files"]},
                     {f"./usr/bin/{program}" for program in PROGRAMS}, "the programs")


@test
def the_certificates_are_those_that_tls_can_use(world):
    bundle = world.root / "etc/ssl/certs/ca-certificates.crt"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(bundle)
    usable = len(context.get_ca_certs())
    expect_equal(usable, bundle.read_text(encoding="ascii").count("BEGIN CERTIFICATE"), "usable")
    expect(usable > 100, f"only {usable} certificates")


@test
def it_is_small(world):
    for arch, image in world.images.items():
        size = sum(layer["size"] for layer in image.manifest["layers"])
        expect(size <= MOST_BYTES, f"{size} bytes of {arch} to pull, {MOST_BYTES} is the goal")


harness.run_tests(World)
