# SPDX-License-Identifier: Apache-2.0
"""What the fault suites share: a driver whose plan of faults is a file that may be replaced while it
runs, the neighbours of a pod's volume, and what must be as it was after each run. Looks at the driver
from outside: mountinfo, descriptors, memory, folders."""
import hashlib
import os
import pathlib
import signal
import stat
import subprocess
import sys
import tempfile
import time

import grpc

import node
from node import Pod
from world import FAULTS, World, harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fakes"))
# pylint: disable=wrong-import-position
from plugin_watcher import load_registration  # noqa: E402

POD_UID = "7b1e4c52-0000-4000-8000-00000000f417"
GRACE_MS = 15
# A driver that is fine grows no further once the first runs are behind it: neither does a provider.
# What is measured is malloc's and gRPC's: arenas of threads that a run is the first to use.
WARM_UP_RUNS = 40
GROWTH_KIB = 8192


def load_admin():
    """The messages of the admin service, compiled into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        source = harness.ROOT / "proto/locket"
        subprocess.run(
            ["protoc", f"-I{source}", f"--python_out={folder}", "admin.proto"], check=True
        )
        sys.path.insert(0, folder)
        import admin_pb2  # pylint: disable=import-outside-toplevel,import-error

        sys.path.pop(0)
    return admin_pb2


class FaultWorld(World):
    """A world whose driver reads its plan from a file and writes down each strike."""

    def __init__(self, programs):
        folder = programs.folder / "plugins_registry"
        folder.mkdir()
        super().__init__(programs, [f"--generation-grace={GRACE_MS}ms",
                                    f"--registration-folder={folder}"], build=FAULTS)
        node.BUILD = FAULTS
        self.registrar = folder / "secrets-store.csi.k8s.io-reg.sock"
        self.registration = load_registration()
        self.admin = load_admin()
        self.plan_file = programs.folder / "plan"
        self.log = programs.folder / "struck"
        self.start_provider()
        os.environ["LOCKET_FAULTS_FILE"] = str(self.plan_file)
        os.environ["LOCKET_FAULTS_LOG"] = str(self.log)
        self.channel = None
        self.registrar_channel = None

    def plan(self, *rows):
        """From now on these faults strike, counted from here."""
        self.log.unlink(missing_ok=True)
        self.put_plan(*rows)

    def calm(self):
        """No more faults; what has struck stays written down."""
        self.put_plan()

    def put_plan(self, *rows):
        fresh = self.plan_file.with_suffix(".new")
        fresh.write_text(";".join(rows))
        fresh.rename(self.plan_file)

    def strikes(self):
        return self.log.read_text().split() if self.log.exists() else []

    def start(self):
        """Starts the driver over what the last one left, sockets too; false when it ended at once."""
        for channel in (self.node.channel, self.channel, self.registrar_channel):
            if channel:
                channel.close()
        try:
            self.node.start()
        except AssertionError:
            return False
        harness.wait_until(lambda: harness.accepts(self.registrar), 5, "the registration socket")
        self.channel, self.registrar_channel = (
            grpc.insecure_channel(f"unix:{path}", options=[("grpc.use_local_subchannel_pool", 1)])
            for path in (self.node.admin, self.registrar))
        return True

    def is_running(self):
        return self.driver() is not None and self.driver().poll() is None

    def wait_dead(self, seconds=5):
        """Waits for a driver that was struck by a kill: it takes a moment to be dead."""
        try:
            self.driver().wait(seconds)
        except subprocess.TimeoutExpired:
            pass

    def kill(self):
        """Ends the driver without asking."""
        return self.programs.stop("driver", signal.SIGKILL)

    def ask(self, method, request, answer):
        return self.call(self.channel, "locket.admin.v1.Admin/" + method, request, answer)

    @staticmethod
    def call(channel, method, request, answer):
        """The answer, or gRPC's error."""
        call = channel.unary_unary(
            "/" + method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            return call(request, timeout=20)
        except grpc.RpcError as error:
            return error

    def refresh(self, pod):
        """One volume's refresh: its code, or the call's."""
        request = self.admin.RefreshRequest(volume_id=pod.volume_id)
        answer = self.ask("Refresh", request, self.admin.RefreshResponse)
        if isinstance(answer, grpc.RpcError):
            return answer.code().name
        return answer.results[0].code

    def hand_back(self):
        """The one volume made ready for the driver before: its code, or the call's."""
        answer = self.ask("PrepareRollback", self.admin.PrepareRollbackRequest(),
                          self.admin.PrepareRollbackResponse)
        if isinstance(answer, grpc.RpcError):
            return answer.code().name
        return answer.results[0].code

    def get_to_know(self, pod):
        """All that kubelet and its helpers ask a driver, but for its volumes: the first code that is
        not OK."""
        m, r = self.node.messages, self.registration
        stats = m.NodeGetVolumeStatsRequest(volume_id=pod.volume_id, volume_path=str(pod.target))
        csi, registrar = self.node.channel, self.registrar_channel
        for channel, method, request, answer in (
            (registrar, "pluginregistration.Registration/GetInfo", r.InfoRequest(), r.PluginInfo),
            (csi, "csi.v1.Node/NodeGetInfo", m.NodeGetInfoRequest(), m.NodeGetInfoResponse),
            (registrar, "pluginregistration.Registration/NotifyRegistrationStatus",
             r.RegistrationStatus(plugin_registered=True), r.RegistrationStatusResponse),
            (csi, "csi.v1.Node/NodeGetCapabilities",
             m.NodeGetCapabilitiesRequest(), m.NodeGetCapabilitiesResponse),
            (csi, "csi.v1.Node/NodeGetVolumeStats", stats, m.NodeGetVolumeStatsResponse),
            (csi, "csi.v1.Identity/GetPluginInfo",
             m.GetPluginInfoRequest(), m.GetPluginInfoResponse),
            (csi, "csi.v1.Identity/GetPluginCapabilities",
             m.GetPluginCapabilitiesRequest(), m.GetPluginCapabilitiesResponse),
            (csi, "csi.v1.Identity/Probe", m.ProbeRequest(), m.ProbeResponse),
        ):
            got = self.call(channel, method, request, answer)
            if isinstance(got, grpc.RpcError):
                return got.code().name
        return "OK"

    def volumes(self):
        answer = self.ask("List", self.admin.ListRequest(), self.admin.ListResponse)
        if isinstance(answer, grpc.RpcError):
            raise AssertionError(f"list: {answer.code().name}")
        return [volume.volume_id for volume in answer.volumes]

    def pod(self):
        """The pod that all neighbours live in, with a volume of a new id."""
        pod = Pod(self.node, "web")
        pod.uid = POD_UID
        pod.target = self.pod_folder() / "kubernetes.io~csi" / "v" / "mount"
        return pod

    def pod_folder(self):
        return self.node.target_root / "pods" / POD_UID / "volumes"


def put(folder, files, links):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name, to in links.items():
        (folder / name).symlink_to(to)


def make_neighbours(base):
    """What kubelet and an old driver have in the same pod's folder; nobody may touch it."""
    rows = [
        ("kubernetes.io~empty-dir/cache", {"file": "theirs", "deep/er": "theirs too"}, {}),
        ("kubernetes.io~projected/kube-api-access-x1",
         {"..2026_01_02_03_04_05.123/token": "t", "..2026_01_02_03_04_05.123/ca.crt": "c"},
         {"..data": "..2026_01_02_03_04_05.123", "token": "..data/token", "ca.crt": "..data/ca.crt"}),
        ("kubernetes.io~csi/old/mount",
         {"..2026_01_02_03_04_06.456/user": "joe", "..2026_01_02_03_04_06.456/d/password": "old"},
         {"..data": "..2026_01_02_03_04_06.456", "user": "..data/user", "d": "..data/d"}),
    ]
    for name, files, links in rows:
        (base / name).mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", base / name], check=True)
        put(base / name, files, links)
    put(base / "kubernetes.io~csi/old", {"vol_data.json": "{}"}, {})
    put(base / "kubernetes.io~csi/v", {"vol_data.json": "{}"}, {})


def describe(path, timeless):
    """All that touching a file would change."""
    st = path.lstat()
    row = [stat.filemode(st.st_mode), st.st_uid, st.st_gid, st.st_dev, st.st_ino]
    if path in timeless:
        return row
    row += [st.st_size, st.st_nlink, st.st_mtime_ns, st.st_ctime_ns]
    if stat.S_ISLNK(st.st_mode):
        row.append(os.readlink(path))
    elif stat.S_ISREG(st.st_mode):
        row.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return row


def tree(root, timeless):
    """Everything below a folder; those named timeless may have had entries that came and went."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = pathlib.Path(folder) / name
            found[str(path)] = describe(path, timeless)
    return found


def differences(before, after):
    """What came, went or changed, by name."""
    return [f"{'+' if key not in before else '-' if key not in after else '~'} {key}"
            for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]


def rss_kib(pid):
    """Resident memory of a process and its children."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for each in [pid, *children]:
        status = pathlib.Path(f"/proc/{each}/status").read_text()
        total += sum(int(line.split()[1]) for line in status.splitlines() if line[:6] == "VmRSS:")
    return total


class Memory:
    """How far a program's memory has grown since its warm-up."""

    def __init__(self, name):
        self.name = name
        self.runs = 0
        self.ceiling = 0
        self.highest = 0

    def look(self, pid):
        have = rss_kib(pid)
        self.runs += 1
        self.highest = max(self.highest, have)
        if self.runs <= WARM_UP_RUNS:
            self.ceiling = self.highest + GROWTH_KIB
        harness.expect(have <= self.ceiling,
                       f"{self.name} grew to {have} KiB, over {self.ceiling} KiB")

    def told(self):
        return {"warm": self.ceiling - GROWTH_KIB, "highest": self.highest}


class Standing:
    """The picture before any run, and its comparison with what stands after each."""

    def __init__(self, world):
        self.world = world
        make_neighbours(world.pod_folder())
        self.timeless = {world.pod_folder() / "kubernetes.io~csi/v"}
        self.driver_memory = Memory("the driver")
        self.provider_memory = Memory("the provider")
        self.files = None
        self.descriptors = None
        self.tree = tree(world.node.target_root, self.timeless)
        self.mounts = self.mountinfo()

    @staticmethod
    def mountinfo():
        lines = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        return {line.split()[0]: line for line in lines}

    def open_files(self):
        """The driver's descriptors that have a path; sockets come and go with their peers."""
        folder = pathlib.Path(f"/proc/{self.world.driver().pid}/fd")
        paths = []
        for fd in folder.iterdir():
            try:
                paths.append(os.readlink(fd))
            except FileNotFoundError:
                pass
        return {f"{i} {path}": True for i, path in enumerate(sorted(p for p in paths if p[0] == "/"))}

    def sockets(self):
        folder = pathlib.Path(f"/proc/{self.world.driver().pid}/fd")
        return sum(1 for _ in folder.iterdir()) - len(self.open_files())

    def own_files(self):
        """Names below the node's own folders: records, sockets, classes."""
        base = self.world.node.state.parent
        return {str(path): True for folder in ("state", "providers", "classes")
                for path in (base / folder).rglob("*")}

    def settle(self, look, before, what):
        """Some of it goes a moment after the answer: the last descriptors of a pool's thread."""
        end = time.monotonic() + 3
        while True:
            found = differences(before, look())
            if not found:
                return
            if time.monotonic() > end:
                raise AssertionError(f"{what}: {found[:8]}")
            time.sleep(0.005)

    def check(self):
        """After a run: everything as before it, and nothing of the volume left."""
        harness.expect_equal(differences(self.mounts, self.mountinfo()), [], "mounts")
        harness.expect_equal(
            differences(self.tree, tree(self.world.node.target_root, self.timeless)), [], "folders")
        harness.expect_equal(self.world.volumes(), [], "volumes listed")
        if self.files is None:
            self.files = self.own_files()
            self.descriptors = self.open_files()
        self.settle(self.own_files, self.files, "records and sockets")
        self.settle(self.open_files, self.descriptors, "descriptors")
        harness.expect(self.sockets() < 64, f"{self.sockets()} sockets and pipes")
        self.driver_memory.look(self.world.driver().pid)
        self.provider_memory.look(self.world.programs.running["provider"].pid)

    def clear(self):
        """After a failed run: what it left must not fail the next."""
        kept = set(self.mounts)
        for line in self.mountinfo().values():
            if line.split()[0] not in kept:
                subprocess.run(["umount", "--lazy", line.split()[4]], check=False)
        for path in self.world.node.state.glob("*"):
            if path.is_file():
                path.unlink()
        subprocess.run(["rm", "-rf", "--one-file-system", self.world.pod().target], check=False)
