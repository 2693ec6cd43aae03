"""Files that are broken, hostile or none at all: one clear line, the exit code of the manual page, bounded memory."""

import gzip
import os
import random
import struct
import subprocess

import pytest
from lab import clients, overt, servers, watch, watch_damage, watch_frames, watch_record
from lab.proc import PATIENCE

pytestmark = overt.requires("watch --keys --plaintext")

F = watch_frames


@pytest.fixture(scope="module")
def talk(world):
    server, client = servers.server_context(*world.files("site.test")), clients.context(None)
    pair = watch_record.Pair(server, client)
    for number in range(6):
        pair.say(True, watch_damage.noise(300, f"up{number}"))
        pair.say(False, watch_damage.noise(5000, f"down{number}"))
    return pair.close()


def _one_line(err, *said):
    lines = [text for text in err.splitlines() if "TLS connection" not in text]
    assert len(lines) == 1 and lines[0].startswith("overt watch: "), err
    for word in said:
        assert word in lines[0], err


def _refused(folder, data, name="capture"):
    (folder / name).write_bytes(data)
    code, out, err = overt.run("watch", folder / name)
    assert code == 2 and not out, (code, err)
    _one_line(err, name)
    return err


NOT_CAPTURES = {
    "empty": b"", "one-octet": b"\n", "text": b"this is a letter\n" * 100, "zeros": bytes(5000),
    "noise": watch_damage.noise(5000, "noise"), "pcap-magic": F.pcap_head()[:4], "pcap-half-head": F.pcap_head()[:20],
    "pcapng-magic": F.section()[:4], "pcapng-half-section": F.section()[:20],
    "pcapng-order": F.section().replace(struct.pack("<I", 0x1A2B3C4D), b"1234"),
    "pcapng-length-0": struct.pack("<III", 0x0A0D0D0A, 0, 0x1A2B3C4D) + bytes(100),
    "pcapng-length-huge": struct.pack("<III", 0x0A0D0D0A, 0xFFFFFFFC, 0x1A2B3C4D) + bytes(100),
    "gzip-of-noise": gzip.compress(watch_damage.noise(5000, "noise")), "gzip-magic": b"\x1f\x8b\x08\0",
    "zstd-magic": b"\x28\xb5\x2f\xfd", "zstd-noise": b"\x28\xb5\x2f\xfd" + watch_damage.noise(500, "z"),
}


@pytest.mark.parametrize("kind", NOT_CAPTURES)
def test_what_is_no_capture_is_refused_in_one_line(folder, kind):
    _refused(folder, NOT_CAPTURES[kind])


@pytest.mark.parametrize("kind", ["empty", "text", "noise", "gzip-of-noise", "pcap-half-head"])
def test_what_is_no_capture_is_refused_on_standard_input_too(kind):
    done = subprocess.run([overt.binary(), "watch", "-"], input=NOT_CAPTURES[kind], capture_output=True,
                          timeout=PATIENCE, env=clients.environment(**overt.SANITIZER_OPTIONS))
    assert done.returncode == 2 and not done.stdout
    _one_line(done.stderr.decode())


@pytest.mark.parametrize("kind", ["missing", "directory", "null", "zero", "loop"])
def test_what_cannot_be_read_is_refused_in_one_line(folder, kind):
    os.symlink(folder / "loop", folder / "loop")
    path = {"missing": folder / "missing", "directory": folder, "null": "/dev/null", "zero": "/dev/zero",
            "loop": folder / "loop"}[kind]
    code, out, err = overt.run("watch", path)
    assert code == 2 and not out
    _one_line(err, str(path))


def test_a_file_without_the_right_to_read_it(folder, talk):
    if os.getuid() != 0:
        pytest.skip("runs the program as nobody, which needs root")
    path = folder / "capture"
    path.write_bytes(talk.pcap())
    path.chmod(0o600)
    for above in [folder, *folder.parents][:3]:
        above.chmod(above.stat().st_mode | 0o011)
    done = subprocess.run([servers.needs_program("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups",
                           overt.binary(), "watch", path], capture_output=True, text=True, timeout=PATIENCE,
                          env=clients.environment(**overt.SANITIZER_OPTIONS))
    if "execute" in done.stderr:
        pytest.skip("nobody cannot run the program where it is")
    assert done.returncode == 2 and not done.stdout
    _one_line(done.stderr, str(path), "ermission")


def test_a_capture_without_packets_is_read(folder):
    for data in (F.pcap([]), F.section(), F.section() + F.interface()):
        seen = watch.of_bytes(folder, data)
        assert seen.summary.connections == 0 and not seen.events


def _broken(folder, talk, data):
    """Ends early, with one line, and shows what stands before."""
    seen = watch.of_bytes(folder, data, keys=talk.keys, code=1)
    _one_line(seen.err, "capture")
    assert talk.down.startswith(seen.only("down")) and talk.up.startswith(seen.only("up"))
    return seen


@pytest.mark.parametrize("length", [0x7FFFFFFF, 0xFFFFFFFF, 0x10000000])
def test_a_record_of_pcap_with_a_huge_length(folder, talk, length):
    made = F.frames(talk.segments())
    _broken(folder, talk, F.pcap(made[:12]) + struct.pack("<IIII", 1, 1, length, length) + bytes(3000))


@pytest.mark.parametrize("length", [0, 4, 13, 0xFFFFFFFC, 0x40000000])
def test_a_block_of_pcapng_with_a_length_that_cannot_be(folder, talk, length):
    made = F.frames(talk.segments())
    _broken(folder, talk, F.pcapng(made[:12]) + struct.pack("<II", 6, length) + bytes(3000))


@pytest.mark.parametrize("block", [
    F.packet_block(F.START, b"x" * 60, number=99),                                   # no such interface
    F.block(6, struct.pack("<IIIII", 0, 0, 0, 1 << 30, 1 << 30) + bytes(40)),         # longer than its block
    F.block(6, b"short"), F.block(3, b""), F.block(10, b"\1"),
    F.block(10, struct.pack("<II", 0x544C534B, 1 << 31) + b"CLIENT_RANDOM"),
    F.block(1, b"\1"), F.block(1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 9, 60000) + bytes(8)),
], ids=["interface", "length", "short-packet", "short-simple", "short-secrets", "long-secrets", "short-interface",
        "option"])
def test_a_broken_block_does_not_hide_what_stands_before(folder, talk, block):
    made = F.frames(talk.segments())
    path = folder / "capture"
    path.write_bytes(F.pcapng(made[:20], after=block + b"".join(F.packet_block(t, f) for t, f in made[20:])))
    (folder / "keys").write_text(talk.keys)
    code, out, err = overt.run("watch", "--jsonl", "-", "-k", folder / "keys", path)
    assert code in (0, 1) and '"type":"tls"' in out
    if code:
        _one_line(err, "capture")


@pytest.mark.parametrize("seed", range(40))
def test_altered_captures_neither_crash_nor_lie(folder, talk, seed):
    dice = random.Random(seed)
    made = F.frames(talk.segments(mss=700), F.ethernet)
    keys = F.secrets_block(talk.keys)
    data = bytearray(F.pcap(made, F.ETHERNET) if seed % 2 else F.pcapng(made, before=keys, link=F.ETHERNET))
    for _ in range(dice.choice([1, 5, 60])):
        at = dice.randrange(24, len(data))
        what = dice.choice(["flip", "set", "cut", "insert"])
        if what == "flip":
            data[at] ^= 1 << dice.randrange(8)
        elif what == "set":
            data[at:at + 4] = dice.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"])
        elif what == "cut":
            del data[at:at + dice.randrange(1, 40)]
        else:
            data[at:at] = dice.randbytes(dice.randrange(1, 40))
    (folder / "capture").write_bytes(data)
    (folder / "keys").write_text(talk.keys)
    out = folder / "plain"
    code, _, err = overt.run("watch", "-q", "--plaintext", out, "-k", folder / "keys", folder / "capture")
    assert code in (0, 1, 2), err
    for (_, direction), octets in (watch.plaintext(out) if out.exists() else {}).items():
        try:
            watch_damage.placed(getattr(talk, direction), octets)
        except AssertionError:  # an altered address makes a connection of its own, whose direction may be the other
            watch_damage.placed(talk.up if direction == "down" else talk.down, octets)


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
@pytest.mark.parametrize("at", [0.3, 0.9, 0.999])
def test_packed_captures_that_are_cut_are_read_as_far_as_they_go(folder, talk, pack, at):
    packed = gzip.compress(talk.pcap()) if pack == "gzip" else subprocess.run(
        [servers.needs_program("zstd"), "-q", "-c"], input=talk.pcap(), capture_output=True, check=True).stdout
    path = folder / "capture"
    path.write_bytes(packed[:int(len(packed) * at)])
    code, _, err = overt.run("watch", path)
    assert code in (1, 2)
    _one_line(err, "capture")


def test_packed_octets_that_are_damaged_are_said_so(folder, talk):
    packed = bytearray(gzip.compress(talk.pcap()))
    packed[len(packed) // 2] ^= 0x55
    (folder / "capture").write_bytes(packed)
    code, _, err = overt.run("watch", folder / "capture")
    assert code == 1
    _one_line(err, "capture")


# Memory

# What a process used at most before it became another program counts as that program's: a small one stands between.
MEASURE = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024)
"""


def _peak(*arguments):
    """Exit code, standard error and the most memory of a run of the release build, in octets."""
    done = clients.run("/usr/bin/python3", "-c", MEASURE, overt.binary(True), "watch", "-q", *arguments, timeout=100)
    code, memory = done.stdout.split()
    return int(code), done.stderr.decode(), int(memory)


MEMORY = 64 << 20

plain_build = pytest.mark.skipif(overt.binary(True) == overt.binary(),
                                 reason="the memory of a build with sanitizers says nothing")


def _packed(folder, tool, head, filler, times):
    """A packed file of `head` and `times` times `filler`."""
    path = folder / f"bomb.{tool}"
    with open(path, "wb") as out, subprocess.Popen([servers.needs_program(tool), "-c"], stdin=subprocess.PIPE,
                                                   stdout=out) as packer:
        packer.stdin.write(head)
        for _ in range(times):
            packer.stdin.write(filler)
    return path


@plain_build
@pytest.mark.parametrize("tool", ["gzip", "zstd"])
@pytest.mark.parametrize("what", ["zeros", "records", "block", "secrets"])
def test_a_packed_bomb_takes_no_more_memory_than_any_file(folder, tool, what):
    zeros = bytes(1 << 20)
    head, filler = {
        "zeros": (b"", zeros), "records": (F.pcap_head(), zeros),
        "block": (F.section() + F.interface() + struct.pack("<II", 0x7777, 0x0FFFFFFC), zeros),
        "secrets": (F.section() + F.interface() + struct.pack("<IIII", 10, 0x0FFFFFF0, 0x544C534B, 0x0FFFFFE0), zeros),
    }[what]
    code, err, memory = _peak(_packed(folder, tool, head, filler, 256))
    assert code in (0, 1, 2) and memory < MEMORY, (code, err, memory)


@plain_build
def test_a_flood_of_connections_and_fragments_stays_within_bounds(folder):
    made = []
    for n in range(60000):
        segment = F.Segment(True, 1, 0, F.ACK, b"\x16\x03\x01" + bytes(60), (n % 65536, 443), F.START + n)
        packet = bytearray(F.ip4(True, F.tcp(segment), number=n & 0xFFFF, more=n % 3 == 0))
        packet[12:16] = struct.pack("!I", n)
        made.append((segment.time, bytes(packet)))
    (folder / "capture").write_bytes(F.pcap(made))
    code, err, memory = _peak("--connections", 10000, folder / "capture")
    assert code == 0 and memory < MEMORY, (err, memory)


@plain_build
def test_segments_far_ahead_are_held_within_bounds(folder, talk):
    """A hole at the front of many connections, and a lot behind it."""
    made = []
    for port in range(1, 400):
        made.append(F.Segment(True, 0, 0, F.SYN, ports=(port, 443)))
        for n in range(100):
            made.append(F.Segment(True, 5000 + n * 1400, 0, F.ACK, bytes(1400), ports=(port, 443)))
    (folder / "capture").write_bytes(F.pcap(F.frames(F.retimed(made))))
    code, err, memory = _peak(folder / "capture")
    assert code == 0 and memory < MEMORY, (err, memory)


@plain_build
def test_a_key_log_of_many_lines_is_an_index_of_32_octets_each(folder, talk):
    with open(folder / "keys", "w") as log:
        for n in range(200000):
            log.write(f"CLIENT_RANDOM {n:064x} {n:096x}\n")
        log.write(talk.keys)
    (folder / "capture").write_bytes(talk.pcap())
    code, err, memory = _peak("-k", folder / "keys", folder / "capture")
    assert code == 0 and "1 decrypted" in err and memory < MEMORY + 32 * 200000, (err, memory)


# Misuse

@pytest.mark.parametrize("arguments", [
    (), ("-i", "lo", "capture"), ("-f", "tcp", "capture"), ("--follow", "capture", "capture"), ("-", "capture"),
    ("--no-such-option",), ("-T", "xml", "capture"), ("-j", "0", "capture"), ("-j", "x", "capture"),
    ("--wait", "-1", "capture"), ("--wait-memory", "0", "capture"), ("--connect", "nowhere"),
    ("--connect", "127.0.0.1:99999"), ("--connections", "0", "capture")], ids=" ".join)
def test_misuse_is_one_line_and_exit_code_2(arguments):
    code, out, err = overt.run("watch", *arguments)
    assert code == 2 and not out and len(err.splitlines()) == 1, err


@pytest.mark.parametrize("option", ["--jsonl", "--plaintext", "--plaintext-pcapng"])
def test_an_output_that_cannot_be_made_is_said_before_anything_is_read(folder, talk, option):
    (folder / "capture").write_bytes(talk.pcap())
    code, out, err = overt.run("watch", option, "/dev/null/nowhere", folder / "capture")
    assert code == 2 and "/dev/null/nowhere" in err and len(err.splitlines()) == 1 and not out


def test_an_output_that_loses_something_is_exit_code_1(folder, talk):
    (folder / "capture").write_bytes(talk.pcap())
    (folder / "keys").write_text(talk.keys)
    code, _, err = overt.run("watch", "-q", "--jsonl", "/dev/full", "-k", folder / "keys", folder / "capture")
    assert code == 1 and "could not be written" in err
