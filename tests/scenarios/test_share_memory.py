"""Memory that holds keys: locked, left out of core dumps, wiped; and nothing secret in arguments or the environment."""

import os
import pathlib
import re
import resource
import signal
import subprocess

import pytest
from lab import clients, overt, still
from lab.collect import Collector, Key, Place
from lab.proc import PATIENCE, Process, eventually

pytestmark = overt.requires("exec --share --collector", "collect", "grant", "watch --collector")

TERMS = {"names": ("*",), "consent": "unilateral"}
SECRET = os.urandom(32)
LINE = f"CLIENT_TRAFFIC_SECRET_0 {'5a' * 32} {SECRET.hex()}\n"

SPEAK = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.keylog_filename = sys.argv[3]
context.minimum_version = ssl.TLSVersion.TLSv1_3
kept = []
for _ in sys.stdin:
    tls = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname="site.test")
    kept.append(tls)
    print("connected", tls.cipher()[0], flush=True)
"""


@pytest.fixture
def place(folder):
    return Place(folder)


def _mappings(pid):
    """(first, behind, flags, name) of all that can be read."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps").read_text()
    except OSError:
        pytest.skip("no right to look into another process here")
    found = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) (r)\S+ \S+ \S+ \S+ *(.*)$|^VmFlags: (.*)$", text, re.M)
    place = None
    for first, behind, readable, name, flags in found:
        if readable:
            place = (int(first, 16), int(behind, 16), name)
        elif flags and place:
            yield place[0], place[1], set(flags.split()), place[2]
            place = None
        else:
            place = None


def _where(pid, *needles):
    """The flags of each mapping in which one of these stands."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for first, behind, flags, name in _mappings(pid):
            if "io" in flags or name in ("[vvar]", "[vsyscall]") or behind - first > 1 << 30:
                continue
            at = first
            try:
                memory.seek(at)
                octets = memory.read(behind - first)
            except (OSError, ValueError, OverflowError):
                continue
            found += [(flags, name, needle) for needle in needles if needle in octets]
    return found


def _outside(found):
    """Of these, the ones that a core dump would have, or that could be swapped out."""
    return [one for one in found if not {"dd", "lo"} <= one[0]]


@pytest.fixture
def speaker(place, folder, world, nginx, starts):
    """A program that shares, each of whose connections comes with a line."""
    def make(collector):
        run = starts(Process(overt.binary(release=True), "exec", "--share", "--collector", collector.address, "--certificate",
                             place.dir / "web1.pem", "--grants", place.dir / "grants", "--signer", place.dir / "signers",
                             "--audit", folder / "release.log", "--", "/usr/bin/python3",
                             clients.script(folder, "speak.py", SPEAK), world.trust, nginx.port, folder / "said.keys",
                             stdin=subprocess.PIPE, env=clients.environment()))
        return run
    return make


def _connect(run, folder):
    """Its record keys, as the program's own key log tells."""
    before = len(run.out.lines())
    run.write(b"\n")

    eventually(lambda: len(run.out.lines()) > before or not run.running(), "it connects")
    assert run.running(), run.err.text()
    suite = {"TLS_AES_256_GCM_SHA384": 0x1302, "TLS_AES_128_GCM_SHA256": 0x1301, "TLS_CHACHA20_POLY1305_SHA256": 0x1303}[
        run.out.wait(r"connected (\S+)", after=before)[1]]
    text = (folder / "said.keys").read_text()
    lines = re.findall(r"^(?:CLIENT|SERVER)_TRAFFIC_SECRET_0 .*$", text, re.M)[-2:]
    digits = 96 if suite == 0x1302 else 64
    found = re.findall(rf"(CLIENT|SERVER)_TRAFFIC_SECRET_0 ([0-9a-f]{{64}}) ([0-9a-f]{{{digits}}})$", "\n".join(lines), re.M)
    assert len(found) == 2
    return [Key(bytes.fromhex(random), side == "CLIENT", suite, bytes.fromhex(secret)).key for side, random, secret in found]


def test_a_line_that_came_to_the_collector_is_nowhere_in_its_memory_once_it_is_sealed(place, starts):
    place.grant(grade="raw", **TERMS)
    collector = starts(Collector(place))
    collector.lines(LINE)
    eventually(lambda: place.entries("release"), "it is taken")
    pid = collector.process.pid
    assert _where(pid, bytes.fromhex("5a" * 32)), "its head is found, so that this can fail"
    eventually(lambda: not _where(pid, SECRET, SECRET.hex().encode(), SECRET.hex().upper().encode()), "the line is wiped")


def test_keys_that_wait_are_in_locked_memory_and_those_that_left_are_nowhere(place, starts, speaker, folder):
    place.grant(**TERMS)
    collector = starts(Collector(place))
    run = speaker(collector)
    gone = _connect(run, folder)
    eventually(lambda: sum(e["count"] for e in place.entries("release")) == 2, "they are there")
    eventually(lambda: not _where(run.pid, *gone), "they are wiped")
    still.stop(collector.process.pid)
    try:
        _connect(run, folder)
        waiting = _connect(run, folder)

        def waits():
            """In locked memory alone. Those in the frame that waits for its answer are sealed."""
            found = _where(run.pid, *waiting)
            return found and not _outside(found) and all(name == "" for _, name, _ in found)
        eventually(waits, "keys wait in locked memory, and are nowhere else once they are worked on no more")
    finally:
        still.go_on(collector.process.pid)
    eventually(lambda: not _where(run.pid, *waiting), "they are wiped, too")


def test_the_ring_between_program_and_shipper_is_locked_and_left_out_of_dumps_in_both(place, starts, speaker, folder):
    place.grant(**TERMS)
    collector = starts(Collector(place))
    run = speaker(collector)
    keys = _connect(run, folder)
    child = int(pathlib.Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()[0])
    for pid in (run.pid, child):
        rings = [flags for _, _, flags, name in _mappings(pid) if name.startswith("/memfd:overt-share (")]
        assert rings and all({"dd", "lo"} <= flags for flags in rings), rings
    # The program itself has its keys, but not in what is shared.
    assert not [one for one in _where(child, *keys) if "overt-share" in one[1]]


def test_nothing_secret_is_in_arguments_or_the_environment(place, starts, speaker, folder):
    place.grant(**TERMS)
    run = speaker(starts(Collector(place)))
    keys = _connect(run, folder)
    secrets = re.findall(r"[0-9a-f]{64,96}$", (folder / "said.keys").read_text(), re.M)
    child = int(pathlib.Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()[0])
    for pid in (run.pid, child):
        told = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() + pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        assert b"OVERT_SHARE" in told or pid == run.pid
        assert not [one for one in secrets if one.encode() in told or bytes.fromhex(one) in told]
        assert not [one for one in keys if one in told or one.hex().encode() in told]


# Core dumps.

def _dumps_core(pid, popen):
    """Ends it as a fault would; whether the kernel wrote its memory somewhere."""
    os.kill(pid, signal.SIGSEGV)
    _, status = os.waitpid(popen.pid, 0)
    popen.returncode = -signal.SIGSEGV
    assert os.WIFSIGNALED(status), status
    return os.WCOREDUMP(status)


def _unlimited():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.fixture
def dumping(tmp_path):
    """Runs a program that may dump core; skips where not even another program does."""
    def run(*command, **options):
        return subprocess.Popen(list(map(str, command)), cwd=tmp_path, preexec_fn=_unlimited, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, env=clients.environment(), **options)
    try:
        control = run("sleep", "60")
    except (OSError, ValueError, subprocess.SubprocessError):
        pytest.skip("no right to allow core dumps here")
    # The limit is set before the program runs: what is sent to it finds it there.
    if not _dumps_core(control.pid, control):
        pytest.skip("no core dumps on this machine")
    control.stderr.close()
    return run


def _until(popen, pattern):
    for line in popen.stderr:
        if re.search(pattern, line):
            return
    raise AssertionError(f"never said {pattern}")


def test_a_fault_leaves_no_core_of_the_collector(place, dumping):
    place.grant(**TERMS)
    run = dumping(overt.binary(release=True), "collect", "--dir", place.dir, "--listen", "127.0.0.1:0")
    _until(run, r"\bready$")
    assert not _dumps_core(run.pid, run)
    run.stderr.close()


def test_a_fault_leaves_no_core_of_who_shares_or_watches(place, dumping, starts, folder, tmp_path):
    place.grant(**TERMS)
    collector = starts(Collector(place))
    share = dumping(overt.binary(release=True), "exec", "--share", "--collector", collector.address, "--certificate",
                    place.dir / "web1.pem", "--grants", place.dir / "grants", "--signer", place.dir / "signers", "--audit",
                    folder / "release.log", "--", "cat", stdin=subprocess.PIPE)
    eventually(lambda: pathlib.Path(f"/proc/{share.pid}/task/{share.pid}/children").read_text(), "it runs its program")
    assert not _dumps_core(share.pid, share)
    fifo = tmp_path / "capture"
    os.mkfifo(fifo)
    reader = dumping(overt.binary(release=True), "watch", fifo, *place.reading(collector))
    hold = os.open(fifo, os.O_WRONLY)
    collector.wait("reader name=ops")
    assert not _dumps_core(reader.pid, reader)
    os.close(hold)
    for one in (share, reader):
        one.stderr.close()
    share.stdin.close()
    assert PATIENCE
