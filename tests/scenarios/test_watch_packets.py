"""How packets are wrapped and files are packed: the same connection, the same plaintext."""

import gzip
import os
import socket
import struct
import subprocess
import threading

import pytest
from lab import clients, overt, servers, watch, watch_frames, watch_record
from lab.proc import PATIENCE

pytestmark = overt.requires("watch --keys --plaintext --connect")


@pytest.fixture(scope="module")
def talk(world):
    server, client = servers.server_context(*world.files("site.test")), clients.context(None)
    return watch_record.exchange(server, client, watch_record.numbered(60000), turns=2)


def _right(seen, talk):
    assert seen.only("up") == talk.up and seen.only("down") == talk.down
    assert seen.summary.verdicts == (1, 0, 0) and not seen.of("gap")


def _mixed(made):
    """Every other packet wrapped otherwise; both are Ethernet."""
    plain = watch_frames.frames(made, watch_frames.ethernet)
    tagged = watch_frames.frames(made, lambda p: watch_frames.ethernet(p, (0x8100, 7)))
    return [pair[n % 2] for n, pair in enumerate(zip(plain, tagged))]


F = watch_frames
WRAPS = {
    "raw": (F.RAW, lambda p: p),
    "ethernet": (F.ETHERNET, F.ethernet),
    "padded-ethernet": (F.ETHERNET, lambda p: F.ethernet(p) + b"\0" * 6),
    "vlan": (F.ETHERNET, lambda p: F.ethernet(p, (0x8100, 42))),
    "qinq": (F.ETHERNET, lambda p: F.ethernet(p, (0x88A8, 5), (0x8100, 42))),
    "triple-tag": (F.ETHERNET, lambda p: F.ethernet(p, (0x88A8, 5), (0x88A8, 6), (0x8100, 42))),
    "sll": (F.SLL, F.sll),
    "sll2": (F.SLL2, F.sll2),
    "loopback": (F.NULL, F.loopback),
    "vxlan": (F.ETHERNET, F.vxlan),
}


@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("wrap", WRAPS)
def test_every_link_gives_the_same_plaintext(folder, talk, wrap, v6):
    link, function = WRAPS[wrap]
    capture = F.pcap(F.frames(talk.segments(), function, v6), link)
    seen = watch.of_bytes(folder, capture, keys=talk.keys)
    _right(seen, talk)
    assert seen.of("open")[0]["client"]["ip"] == str(F.CLIENT6 if v6 else F.CLIENT4)


def test_packets_of_one_connection_with_and_without_a_tag(folder, talk):
    _right(watch.of_bytes(folder, F.pcap(_mixed(talk.segments()), F.ETHERNET), keys=talk.keys), talk)


@pytest.mark.parametrize("order", ["in-order", "reversed", "doubled"])
@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_fragments_are_put_together(folder, talk, v6, order):
    made = []
    for number, s in enumerate(talk.segments(mss=4000)):
        cut = (F.fragments6 if v6 else F.fragments4)(s.up, F.tcp(s), 560, number + 1)
        cut = {"in-order": cut, "reversed": cut[::-1], "doubled": [p for p in cut for _ in (0, 1)]}[order]
        made += [(s.time, packet) for packet in cut]
    _right(watch.of_bytes(folder, F.pcap(made), keys=talk.keys), talk)


def test_extension_headers_of_ipv6_are_passed_over(folder, talk):
    headers = [(0, b"\0" + b"\1\4" + b"\0" * 4), (43, b"\0\0\0" + b"\0" * 4), (60, b"\0\1\4" + b"\0" * 4)]
    made = [(s.time, F.ip6(s.up, F.tcp(s), 6, headers)) for s in talk.segments()]
    _right(watch.of_bytes(folder, F.pcap(made), keys=talk.keys), talk)


def test_options_of_ipv4_and_tcp_are_passed_over(folder, talk):
    made = []
    for s in talk.segments():
        tcp = bytearray(F.tcp(s))
        tcp[12] = 0x80
        tcp[20:20] = b"\1\1\x08\x0a" + struct.pack("!II", 1, 2)
        packet = bytearray(F.ip4(s.up, bytes(tcp)))
        packet[0] = 0x46
        packet[20:20] = b"\1\1\1\0"
        struct.pack_into("!H", packet, 2, len(packet))
        made.append((s.time, bytes(packet)))
    _right(watch.of_bytes(folder, F.pcap(made), keys=talk.keys), talk)


def test_superframes_without_a_length_in_the_ip_header(folder, talk):
    """Segmentation offload: the kernel shows IPv4 packets of over 64 KiB with a total length of 0."""
    made = [(s.time, F.ethernet(F.ip4(s.up, F.tcp(s), length=0 if len(s.payload) > 1000 else None)))
            for s in talk.segments(mss=120000)]
    assert max(len(frame) for _, frame in made) > 60000
    _right(watch.of_bytes(folder, F.pcap(made, F.ETHERNET), keys=talk.keys), talk)


def test_other_packets_between_are_passed_over(folder, talk):
    made = []
    for time, frame in F.frames(talk.segments(), F.ethernet):
        made += [(time, b"\xff" * 12 + b"\x08\x06" + b"\0" * 28), (time, frame),
                 (time, F.ethernet(F.ip4(True, struct.pack("!HHHH", 53, 53, 12, 0) + b"some", 17))),
                 (time, F.ethernet(F.ip4(True, b"\x08\0\0\0", 1))), (time, b"\0" * 14), (time, b"")]
    _right(watch.of_bytes(folder, F.pcap(made, F.ETHERNET), keys=talk.keys), talk)


@pytest.mark.parametrize("number", [147, 195, 228, 229])
def test_links_that_are_known_or_not_do_not_end_the_run(folder, talk, number):
    """228 and 229 are raw IPv4 and IPv6; 147 is a user's, 195 IEEE 802.15.4."""
    seen = watch.of_bytes(folder, F.pcap(F.frames(talk.segments()), number), keys=talk.keys)
    if number == 228:
        _right(seen, talk)
    elif number != 229:
        assert "frames of link types that are not read" in seen.err


# Files

@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("nano", [True, False], ids=["nanoseconds", "microseconds"])
def test_every_form_of_pcap(folder, talk, order, nano):
    seen = watch.of_bytes(folder, F.pcap(F.frames(talk.segments()), order=order, nano=nano), keys=talk.keys)
    _right(seen, talk)
    assert seen.of("open")[0]["time"] == "2027-01-15T08:00:00.000000000Z"
    assert seen.of("request")[0]["time"].startswith("2027-01-15T08:00:00.0")


def test_pcapng_with_blocks_of_all_kinds(folder, talk):
    made = F.frames(talk.segments())
    names = F.block(4, struct.pack("<HH4s8sHH", 1, 12, b"\x7f\0\0\1", b"one.test", 0, 0))
    custom, unknown = F.block(0xBAD, struct.pack("<I", 32473) + b"anything"), F.block(0x7777, b"what is this" * 9)
    statistics = F.block(5, struct.pack("<III", 0, 0, 0))
    capture = F.section() + F.interface(options=F.NANO) + names + custom
    for number, (time, frame) in enumerate(made):
        if number == 2:
            capture += F.interface(F.ETHERNET, options=F.NANO)
        if number % 3 == 1:
            capture += F.packet_block(time, F.ethernet(frame), number=1) if number > 2 else F.packet_block(time, frame)
        elif number % 3 == 2:  # a simple packet
            capture += F.block(3, struct.pack("<I", len(frame)) + frame)
        else:
            capture += F.packet_block(time, frame) + unknown
    _right(watch.of_bytes(folder, capture + statistics, keys=talk.keys), talk)


def test_pcapng_of_the_other_order(folder, talk):
    capture = F.section(">") + F.interface(order=">")
    for time, frame in F.frames(talk.segments()):
        capture += F.packet_block(time // 1000, frame, order=">")
    seen = watch.of_bytes(folder, capture, keys=talk.keys)
    _right(seen, talk)
    assert seen.of("open")[0]["time"].startswith("2027-01-15T08:00:00")


def _zstd(data):
    return subprocess.run([servers.needs_program("zstd"), "-q", "-c"], input=data, capture_output=True, check=True,
                          timeout=PATIENCE).stdout


@pytest.mark.parametrize("pack", [gzip.compress, _zstd, lambda d: gzip.compress(d[:9999]) + gzip.compress(d[9999:])],
                         ids=["gzip", "zstd", "two-gzip-members"])
@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_packed_captures(folder, talk, pack, form):
    made = F.frames(talk.segments())
    capture = F.pcap(made) if form == "pcap" else F.pcapng(made, after=F.secrets_block(talk.keys))
    seen = watch.of_bytes(folder, pack(capture), keys=talk.keys if form == "pcap" else None)
    _right(seen, talk)


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress], ids=["plain", "gzip"])
def test_standard_input(folder, talk, pack):
    (folder / "keys").write_text(talk.keys)
    _right(watch.run("-k", folder / "keys", "-", stdin=pack(talk.pcap())), talk)


def test_a_file_on_standard_input(folder, talk):
    (folder / "capture").write_bytes(F.pcapng(F.frames(talk.segments()), after=F.secrets_block(talk.keys)))
    with open(folder / "capture", "rb") as file:
        done = subprocess.run([overt.binary(), "watch", "--jsonl", "-", "-"], stdin=file, capture_output=True,
                              timeout=PATIENCE, env=clients.environment(**overt.SANITIZER_OPTIONS))
    assert done.returncode == 0 and b"1 decrypted" in done.stderr, done.stderr
    assert done.stdout.count(b'"type":"response"') == 2


def test_a_connection_that_goes_on_in_the_next_file(folder, talk):
    made = F.frames(talk.segments())
    (folder / "keys").write_text(talk.keys)
    (folder / "one").write_bytes(F.pcap(made[:20]))
    (folder / "two").write_bytes(gzip.compress(F.pcapng(made[20:])))
    _right(watch.run("-k", folder / "keys", folder / "one", folder / "two"), talk)


class Sender:
    """Sends a file to whoever connects, in pieces, and closes."""

    def __init__(self, data):
        self.sock = servers.listen()
        self.port = self.sock.getsockname()[1]

        def serve():
            try:
                with self.sock.accept()[0] as connection:
                    for at in range(0, len(data), 7777):
                        connection.sendall(data[at:at + 7777])
            except OSError:
                pass
        self.thread = threading.Thread(target=serve, daemon=True)
        self.thread.start()

    def stop(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        self.thread.join(PATIENCE)


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_pcap_over_ip(folder, starts, talk, form):
    made = F.frames(talk.segments())
    sender = starts(Sender(F.pcap(made) if form == "pcap" else F.pcapng(made)))
    (folder / "keys").write_text(talk.keys)
    _right(watch.run("-k", folder / "keys", "--connect", f"127.0.0.1:{sender.port}"), talk)


def test_pcap_over_ip_that_is_cut_short_says_so(folder, starts, talk):
    sender = starts(Sender(talk.pcap()[:50000]))
    (folder / "keys").write_text(talk.keys)
    seen = watch.run("-k", folder / "keys", "--connect", f"127.0.0.1:{sender.port}", code=1)
    assert talk.down.startswith(seen.only("down")) and seen.only("down")


def test_pcap_over_ip_where_nobody_listens_says_so(folder):
    port, holder = servers.silent_port()
    code, out, err = overt.run("watch", "--connect", f"127.0.0.1:{port}")
    holder.close()
    assert code == 2 and str(port) in err and len(err.splitlines()) == 1 and not out


def test_two_workers_give_what_one_gives(folder):
    capture, keys = watch_record.captured(folder, "--connections", 200, "--octets", 2000)
    one, two = (watch.run("-j", n, "-k", keys, capture) for n in (1, 2))
    assert one.plain == two.plain and len(two.plain) == 400
    assert one.summary.verdicts == two.summary.verdicts == (200, 0, 0)
    assert one.summary.text == two.summary.text
    assert {e["worker"] for e in two.of("open")} == {0, 1}


def test_two_workers_share_a_packed_file_and_one_that_is_cut_off(folder):
    capture, keys = watch_record.captured(folder, "--connections", 200, "--octets", 2000)
    whole = capture.read_bytes()
    for name, octets, code in (("packed", gzip.compress(whole), 0), ("cut", whole[:-7], 1)):
        (folder / name).write_bytes(octets)
        one, two = (watch.run("-j", n, "-k", keys, folder / name, code=code) for n in (1, 2))
        assert one.plain == two.plain and len(two.plain) == 400
        assert one.summary.text == two.summary.text
        assert {e["worker"] for e in two.of("open")} == {0, 1}


def test_a_named_pipe_that_is_fed_at_once(folder, talk):
    (folder / "keys").write_text(talk.keys)
    os.mkfifo(folder / "fifo")
    feeder = threading.Thread(target=lambda: (folder / "fifo").write_bytes(talk.pcap()), daemon=True)
    feeder.start()
    _right(watch.run("-k", folder / "keys", folder / "fifo"), talk)
    feeder.join(PATIENCE)
