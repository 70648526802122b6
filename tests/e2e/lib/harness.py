# SPDX-License-Identifier: Apache-2.0
"""What every end-to-end script needs: tests as sentences, programs that end, a kubelet to play."""
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
IN_NAMESPACE = "LOCKET_IN_NAMESPACE"


def enter_namespace():
    """Runs this script again in a mount namespace of its own, where nothing can stay mounted."""
    if os.environ.get(IN_NAMESPACE):
        return
    os.environ[IN_NAMESPACE] = "1"
    flags = ["--mount", "--propagation", "private"]
    if os.getuid() != 0:
        flags.append("--map-root-user")
    os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])


def is_gid_mapped(gid):
    """Does this user namespace know the group?"""
    rows = pathlib.Path("/proc/self/gid_map").read_text(encoding="ascii").splitlines()
    return any(first <= gid < first + count for first, _, count in (map(int, r.split()) for r in rows))


class Skip(Exception):
    """Raised by a test that cannot be run here; its text is the reason."""


_tests = []


def test(function):
    """Registers a test: its name is a sentence, its argument the script's world."""
    _tests.append(function)
    return function


def run_tests(make_world):
    """Runs every registered test in order in one world; prints a line for each; exits."""
    enter_namespace()
    failed = 0
    only = sys.argv[1:]
    with Programs() as programs:
        try:
            world = make_world(programs)
        except Skip as why:
            print(f"SKIP all {len(_tests)} tests of this script: {why}", flush=True)
            sys.exit(0)
        except Exception:  # pylint: disable=broad-except
            traceback.print_exc()
            programs.print_ends()
            print("FAIL the world of this script could not be made", flush=True)
            sys.exit(1)
        for function in _tests:
            if not only or any(word in function.__name__ for word in only):
                failed += not _run_one(function, world, programs)
        for line in programs.refused_calls():
            print(f"FAIL the sandbox refused what a program of ours asked for: {line}", flush=True)
            failed += 1
    sys.exit(1 if failed else 0)


def _run_one(function, world, programs):
    sentence = function.__name__.replace("_", " ")
    try:
        function(world)
    except Skip as why:
        print(f"SKIP {sentence}: {why}", flush=True)
        return True
    except Exception as why:  # pylint: disable=broad-except
        where = traceback.extract_tb(why.__traceback__)[-1]
        print(f"FAIL {sentence}: {type(why).__name__}: {why} (line {where.lineno})", flush=True)
        traceback.print_exc()
        programs.print_ends()
        return False
    print(f"ok {sentence}", flush=True)
    return True


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def expect_equal(have, want, what=""):
    if have != want:
        raise AssertionError(f"{what}: have {have!r}, want {want!r}")


def wait_until(condition, seconds=10, what="that"):
    """Polls until the condition holds and returns its value."""
    end = time.monotonic() + seconds
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true in {seconds} s")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.05)


def accepts(path):
    """Does a program serve this socket? A socket's file stays behind when its program was killed."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


_claims = []  # each keeps a port for this process


def free_ports(count):
    """Ports of loopback that nobody has, nor any other script is given, whenever their programs begin
    to listen. The kernel gives none of these to who asks for any."""
    ports = []
    while len(ports) < count:
        port = random.randrange(10000, 30000)
        if _claim(port):
            ports.append(port)
    return ports


def _claim(port):
    """A name of this kind has one owner at a time, and is gone with it."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0locket-test-port-{port}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def tool(name):
    """The path of a tool of tests/tools, built when it is not cached."""
    built = subprocess.run(
        [ROOT / "tests/tools/build.sh", name], check=True, stdout=subprocess.PIPE, text=True
    )
    return built.stdout.strip()


class Programs:
    """Programs started here, a folder for them, and their end whatever happens."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="locket-e2e-"))
        self.running = {}

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        return self

    def __exit__(self, *_):
        for name in reversed(list(self.running)):
            self.stop(name)
        for place in self.mounts():
            subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def mounts(self):
        """What is still mounted below the folder: a failed test leaves its volumes."""
        lines = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        places = [line.split()[4] for line in lines]
        return [place for place in places if place.startswith(f"{self.folder}/")]

    def log(self, name):
        return self.folder / f"{name}.log"

    def start(self, name, argv, ready, environment=None):
        """Starts a program and waits until ready() holds."""
        with open(self.log(name), "ab") as log:
            # pylint: disable-next=consider-using-with
            program = subprocess.Popen(
                [str(a) for a in argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        self.running[name] = program
        wait_until(lambda: program.poll() is not None or ready(), 20, f"{name} serving")
        expect(program.poll() is None, f"{name} ended with {program.poll()} at its start")
        return program

    def stop(self, name, how=signal.SIGTERM):
        program = self.running.pop(name)
        if program.poll() is None:
            program.send_signal(how)
        try:
            return program.wait(10)
        except subprocess.TimeoutExpired:
            program.kill()
            return program.wait(10)

    def refused_calls(self):
        """What the programs' logs say of system calls that are on no list of theirs."""
        return [
            f"{log.name}: {line}"
            for log in sorted(self.folder.glob("*.log"))
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
            if "a system call was refused" in line
        ]

    def print_ends(self):
        for log in sorted(self.folder.glob("*.log")):
            text = log.read_text(encoding="utf-8", errors="replace")
            lines = [line for line in text.splitlines() if "Root Token" not in line][-12:]
            print(f"  --- {log.name}\n  " + "\n  ".join(lines), file=sys.stderr, flush=True)

    def expect_in_no_log(self, values, names):
        """None of these texts may stand in the logs of these programs."""
        for name in names:
            text = self.log(name).read_text(errors="replace")
            for value in values:
                expect(value not in text, f"a secret is in {name}.log")


def run(argv, check=True, **more):
    """Runs a program to its end and returns it, with its output as text."""
    done = subprocess.run(
        [str(a) for a in argv], capture_output=True, text=True, timeout=60, check=False, **more
    )
    if check and done.returncode != 0:
        said = done.stderr.strip()[-400:]
        raise AssertionError(f"{argv[0]} ended with {done.returncode}: {said}")
    return done


def memory(pid):
    """All that a process could write to."""
    data = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, mode = line.split()[:2]
            if "w" not in mode or "[v" in line:
                continue
            low, high = (int(n, 16) for n in span.split("-"))
            mem.seek(low)
            try:
                data.append(mem.read(high - low))
            except OSError:
                pass
    return b"".join(data)


def write_json(path, value):
    """Replaces a file in one step, so that no reader meets half of it."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value))
    fresh.rename(path)
