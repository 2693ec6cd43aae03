"""The fleet's bus: collectors publish what they take to NATS JetStream, and readers fetch from there what is sealed to them.
Real nats-servers, set up by the program itself."""

import contextlib
import os
import pathlib
import re
import resource
import signal
import socket
import ssl
import struct
import subprocess
import threading

import pytest
from lab import clients, collect, lines, nats, overt, servers, watch
from lab.collect import Collector, Frames, Key, Place, Sealer
from lab.nats import Bus, Client, Line, Reader, Sender, eventually_has
from lab.proc import PATIENCE, Process, eventually

pytestmark = [overt.requires("collect --bus", "watch --bus"),
              pytest.mark.skipif(not nats.installed(), reason="nats-server is not installed")]

SITES = {"c1": "paris", "c2": "paris", "c3": "oslo"}
READERS = {"ops": ("one", "two"), "eve": ("one", "two")}
KEYS, READ = "overt-keys/1", "overt-read/1"
FULL = 7  # why a key was refused


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One for all: what a test publishes under grants of its own, it looks for by its randoms."""
    place = Place(tmp_path_factory.mktemp("bus"), "eve", "web2", *SITES)
    place.reader_key("eve")
    return place


@pytest.fixture(scope="module")
def grants(place):
    return {name: place.grant(reader=name, grade="raw", consent="unilateral") for name in READERS}


@pytest.fixture(scope="module")
def bus(place, starts_module):
    """One node."""
    consumers = ("one", "two", "watch", "again", "strict", "robbed", "emptied", "busy")
    return starts_module(Bus(place, SITES, {**READERS, "ops": consumers}, count=1))


@pytest.fixture
def collector(place, grants, bus, starts):
    """collector(name, *options): one that publishes."""
    def make(name="c1", *options, of=bus):
        return starts(Collector(place, *of.collecting(name, SITES[name]), *options))
    return make


def _put(collector, number, *sealed, name="web1"):
    frames = Frames(collector.connect(name, KEYS))
    try:
        return frames.put(number, *sealed)
    finally:
        frames.close()


def _lines(place, grant, count=1, reader="ops", seed=None):
    """Randoms, and their lines sealed."""
    sealer = Sealer(place.keys / f"{reader}.pub")
    seed = seed or os.urandom(16)
    made = [Line(seed + n.to_bytes(16, "big")) for n in range(count)]
    return ({line.random.hex() for line in made},
            [sealer.seal(grant, line, name=b"", consent=collect.UNILATERAL, grade=collect.RAW) for line in made])


# What it is for.

def test_what_a_collector_takes_reaches_every_consumer_of_its_reader_and_nobody_else(
        place, bus, grants, collector, starts, tmp_path):
    one = collector()
    randoms, sealed = _lines(place, grants["ops"], 100)
    assert _put(one, 1, *sealed) == (100, 0, 0, 0, 0)
    readers = [starts(Reader(bus, "ops", name, tmp_path)) for name in ("one", "two")]
    for reader in readers:
        eventually_has(reader, randoms, "from the bus")
        eventually(lambda reader=reader: sum(e["keys"] for e in reader.entries()) >= 100, "and stand in its log")
        assert {e["grant"] for e in reader.entries()} >= {grants["ops"]}
        assert " unopened=0 malformed=0 " in reader.end()
    others = collect.Done(*overt.run("collect", "fetch", *bus.reading("eve", "one", tmp_path / "eve.audit"),
                                     "--keylog", tmp_path / "eve"))
    assert others.code == 0 and not randoms & {line.split()[1] for line in (tmp_path / "eve").read_text().splitlines()}


def test_a_reader_that_begins_while_keys_keep_coming_has_what_was_there_and_ends(
        place, bus, grants, collector, tmp_path):
    one, enough, put = collector(), threading.Event(), []
    held, sealed = _lines(place, grants["ops"], 50)
    assert _put(one, 1, *sealed)[0] == 50

    def load():
        frames = Frames(one.connect("web1", KEYS))
        while not enough.is_set():
            put.append(frames.put(len(put), *_lines(place, grants["ops"], 2)[1])[0])
        frames.close()
    thread = threading.Thread(target=load)
    thread.start()
    try:
        eventually(lambda: len(put) > 10, "keys come")
        done = collect.Done(*overt.run("collect", "fetch", *bus.reading("ops", "busy", tmp_path / "audit"),
                                       "--keylog", tmp_path / "keys", timeout=2 * PATIENCE))
    finally:
        enough.set()
        thread.join()
    assert done.code == 0 and held <= {line.split()[1] for line in (tmp_path / "keys").read_text().splitlines()}


def test_watch_reads_http_with_keys_from_the_bus(place, bus, collector, starts, world, tmp_path):
    grant = place.grant(names=("site.test",))
    nginx = starts(servers.Nginx(*world.files("site.test")))
    one = collector()
    running = starts(watch.Running("-i", "lo", "-f", f"tcp port {nginx.port}", "-j", "1",
                                   *map(str, bus.reading("ops", "watch", tmp_path / "audit"))))
    eventually(lambda: _captures(running.process) or not running.process.running(), "it captures")
    if not running.process.running() and "permi" in running.process.err.text().lower():
        pytest.skip("no right to capture packets here")
    done = clients.run("curl", "-q", "-sS", "--cacert", world.trust, "--tls13-ciphers", "TLS_AES_128_GCM_SHA256",
                       "--tlsv1.3", "-o", "/dev/null", f"https://site.test:{nginx.port}/who",
                       env={"SSLKEYLOGFILE": str(tmp_path / "log")})
    assert done.returncode == 0, done.stderr
    sealer = Sealer(place.keys / "ops.pub")
    keys = Key.of_log((tmp_path / "log").read_text())
    assert _put(one, 1, *(sealer.seal(grant, key) for key in keys)) == (2, 0, 0, 0, 0)
    assert running.wait('"type":"request"')["path"] == "/who"
    assert running.wait('"type":"response"')


def test_keys_of_an_unmodified_program_get_to_the_bus_past_a_collector_that_is_dead(
        place, bus, collector, starts, world, tmp_path):
    grant = place.grant(names=("whole.test",), consent="unilateral")
    nginx = starts(servers.Nginx(*world.files("whole.test")))
    one = collector("c3")
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        done = subprocess.run(
            [str(word) for word in (
                overt.binary(), "exec", "--share", "--collector", f"127.0.0.1:{dead.getsockname()[1]},{one.address}",
                "--certificate", place.dir / "web1.pem", "--grants", place.dir / "grants", "--signer", place.dir / "signers",
                "--audit", tmp_path / "release.log", "--", "curl", "-q", "-sS", "--max-time", "20", "--cacert", world.trust,
                "--connect-to", f"whole.test:443:127.0.0.1:{nginx.port}", "https://whole.test/")],
            capture_output=True, text=True, timeout=2 * PATIENCE, env=clients.environment(**overt.SANITIZER_OPTIONS))
    assert done.returncode == 0 and not overt.SANITIZER.search(done.stderr), done.stderr
    taken = int(re.search(r"of which the collector has (\d+) ", done.stderr)[1])
    assert taken >= 2 and _bus_counts(one)["published"] == taken
    bus.rewind("ops", "again")
    reader = starts(Reader(bus, "ops", "again", tmp_path))
    eventually(lambda: sum(e["keys"] for e in reader.entries() if e["grant"] == grant) == taken, "they come")


def _captures(process):
    try:
        rows = open(f"/proc/{process.pid}/net/packet", encoding="ascii").read().splitlines()[1:]
        held = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")]
    except OSError:
        return False
    return bool({f"socket:[{row.split()[8]}]" for row in rows if row.split()[5] == "1"} & set(held))


def test_a_key_that_two_collectors_publish_is_on_the_bus_once(place, bus, grants, collector, starts, tmp_path):
    first, second = collector("c1"), collector("c2")
    randoms, sealed = _lines(place, grants["ops"], 5)
    _, again = _lines(place, grants["ops"], 5, seed=bytes.fromhex(next(iter(randoms))[:32]))
    assert _put(first, 1, *sealed)[0] == _put(second, 1, *again)[0] == 5
    assert _bus_counts(first)["known"] == 0 and _bus_counts(second)["known"] == 5
    bus.rewind("ops", "again")
    reader = starts(Reader(bus, "ops", "again", tmp_path))
    eventually_has(reader, randoms, "from the bus")
    reader.end()
    got = [line.split()[1] for line in reader.log.read_text().splitlines()]
    assert all(got.count(one) == 1 for one in randoms)


def _bus_counts(collector):
    collector.stop()
    last = re.findall(r"collect: bus (published=.*)", collector.process.err.text())[-1]
    return {key: int(value) for key, value in re.findall(r"(\S+)=(\d+)", last)}


# The log.

def test_what_a_reader_cannot_log_it_does_not_get_and_does_not_acknowledge(
        place, bus, grants, collector, starts, tmp_path):
    one = collector()
    reader = starts(Reader(bus, "ops", "strict", tmp_path))
    randoms, sealed = _lines(place, grants["ops"])
    assert _put(one, 1, *sealed)[0] == 1
    eventually_has(reader, randoms, "the first")
    size, pid = reader.audit.stat().st_size, reader.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    more, sealed = _lines(place, grants["ops"], 3)
    assert _put(one, 2, *sealed)[0] == 3
    reader.process.err.wait("audit log closed")
    assert not more & reader.keys()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    eventually_has(reader, more, "when the log can be written again")
    assert re.search(r" unlogged=[1-9]", reader.end())


def test_a_collector_publishes_nothing_that_it_cannot_log(place, bus, grants, collector):
    one = collector()
    assert _put(one, 1, *_lines(place, grants["ops"])[1])[0] == 1
    size, pid = (place.dir / "c1.log").stat().st_size, one.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    assert _put(one, 2, *_lines(place, grants["ops"])[1])[3:] == (1, 8)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    one.wait("taken and given again")
    assert _bus_counts(one)["published"] == 1


# Who may do what.

def _violations(said):
    return [line for line in said if "Permissions Violation" in line]


def test_a_reader_has_its_own_stream_and_nothing_else(place, bus, grants, collector, starts):
    own, other = bus.reader_id("eve"), bus.reader_id("ops")
    eve = starts(Client(bus, "eve"))
    assert eve.answers() == []
    for subject in (">", "overt.keys.>", f"overt.keys.*.{other}.>", f"overt.keys.*.{own}.>", f"_INBOX.reader.{other}.>",
                    "_INBOX.>", "$JS.>", "overt.js.>", "_R_.>"):
        assert _violations(eve.subscribe(subject)), subject
    assert eve.subscribe(f"_INBOX.reader.{own}.>") == []
    inbox = f"_INBOX.reader.{own}.x"
    for api in ("$JS.API", "overt.js"):
        for request in (f"CONSUMER.MSG.NEXT.OVERT_{other}.one", f"CONSUMER.INFO.OVERT_{other}.one",
                        f"CONSUMER.DURABLE.CREATE.OVERT_{other}.mine", f"STREAM.MSG.GET.OVERT_{other}",
                        f"STREAM.INFO.OVERT_{other}", f"DIRECT.GET.OVERT_{other}", f"STREAM.PURGE.OVERT_{own}",
                        "STREAM.LIST", f"CONSUMER.DURABLE.CREATE.OVERT_{own}.mine", f"CONSUMER.CREATE.OVERT_{own}"):
            assert _violations(eve.publish(f"{api}.{request}", b"{}", inbox)), (api, request)
    for subject in (f"$JS.ACK.OVERT_{other}.one.1.1.1.1.0", f"overt.keys.paris.{own}.x", f"overt.keys.paris.{other}.x",
                    "$SYS.REQ.SERVER.PING", "_R_.x"):
        assert _violations(eve.publish(subject, b"{}", inbox)), subject
    # What is its own is answered, and nothing else is: by its own subjects alone.
    for request, says in ((f"CONSUMER.INFO.OVERT_{own}.one", "consumer_info_response"),
                          (f"STREAM.INFO.OVERT_{own}", "stream_info_response"),
                          (f"STREAM.MSG.GET.OVERT_{own}", "stream_msg_get_response")):
        assert _violations(eve.publish(f"$JS.API.{request}", b'{"seq":1}', inbox)), request
        said = eve.publish(f"overt.js.{request}", b'{"seq":1}', inbox)
        eventually(lambda: said.extend(eve.answers()) or says in " ".join(said), request)  # noqa: B023
        assert not _violations(said)


def test_a_collector_publishes_for_its_site_and_reads_nothing(place, bus, starts):
    ops = bus.reader_id("ops")
    one = starts(Client(bus, "c3"))
    assert not _violations(one.publish(f"overt.keys.oslo.{bus.reader_id('eve')}.lab"))
    for subject in (f"overt.keys.paris.{ops}.x", f"$JS.API.CONSUMER.MSG.NEXT.OVERT_{ops}.one", "$JS.API.STREAM.LIST"):
        assert _violations(one.publish(subject)), subject
    for subject in ("overt.keys.oslo.>", "_INBOX.collector.paris.>", f"_INBOX.reader.{ops}.>", ">"):
        assert _violations(one.subscribe(subject)), subject


@pytest.mark.parametrize("count", [1, 3])
def test_an_answer_cannot_be_sent_to_what_belongs_to_another(tmp_path_factory, starts, tmp_path, count):
    """What is asked for is checked by the bus, where the answer shall go is not, and JetStream answers in its own right."""
    place = Place(tmp_path_factory.mktemp("bus"), "eve", *SITES)
    place.reader_key("eve")
    grant = place.grant(grade="raw", consent="unilateral")
    bus = starts(Bus(place, SITES, {"ops": ("one",), "eve": ("one",)}, count=count))
    own, other = bus.reader_id("eve"), bus.reader_id("ops")
    one = starts(Collector(place, *bus.collecting("c1", "paris")))
    randoms, sealed = _lines(place, grant, 5)
    assert _put(one, 1, *sealed)[0] == 5
    eve, rogue = (starts(Client(bus, name, node=count - 1)) for name in ("eve", "c3"))
    assert eve.subscribe(f"_INBOX.reader.{own}.>") == []

    def held(reader):
        return int(re.search(rf"^{reader} .* (\d+) keys", bus.administer("show").stdout, re.M)[1])
    to = (f"$JS.API.STREAM.DELETE.OVERT_{other}", f"$JS.API.STREAM.PURGE.OVERT_{other}",
          f"$JS.API.CONSUMER.DELETE.OVERT_{other}.one", f"overt.keys.paris.{other}.x", f"overt.keys.oslo.{other}.x",
          f"overt.js.STREAM.PURGE.OVERT_{other}")
    for reply in to:
        # An empty 404, an answer with a body, and a key's own acknowledgement.
        for request, body in ((f"overt.js.CONSUMER.MSG.NEXT.OVERT_{own}.one", b'{"batch":1,"no_wait":true}'),
                              (f"overt.js.STREAM.INFO.OVERT_{own}", b""),
                              (f"overt.js.CONSUMER.INFO.OVERT_{own}.one", b""),
                              (f"$JS.ACK.OVERT_{own}.one.1.1.1.1.0", b'+NXT {"batch":1,"no_wait":true}')):
            assert not _violations(eve.publish(request, body, reply))
        assert not _violations(rogue.publish(f"overt.keys.oslo.{own}.lab", b"z", reply))
    # Each was answered before this is.
    said = eve.publish(f"overt.js.STREAM.INFO.OVERT_{own}", b"", f"_INBOX.reader.{own}.x")
    eventually(lambda: said.extend(eve.answers()) or "stream_info_response" in " ".join(said), "an answer")
    eventually(lambda: held("eve") == len(to), "what the collector published for eve is there")
    assert held("ops") == 5
    reader = starts(Reader(bus, "ops", "one", tmp_path))
    eventually_has(reader, randoms, "what is sealed to ops is there as it was")


@pytest.mark.parametrize("how, count", [("restart", 1), ("reload", 1), ("reload", 3)])
def test_a_reader_and_a_site_that_are_added_later_are_served(tmp_path_factory, starts, tmp_path, how, count):
    """After a restart, or after two reloads: nats-server takes the first half."""
    place = Place(tmp_path_factory.mktemp("bus"), "eve", *SITES)
    place.reader_key("eve")
    bus = starts(Bus(place, {"c1": "paris"}, {"ops": ("one",)}, count=count))
    old = starts(Collector(place, *bus.collecting("c1", "paris")))
    first = starts(Reader(bus, "ops", "one", tmp_path))
    randoms, sealed = _lines(place, place.grant(reader="ops", grade="raw", consent="unilateral"))
    assert _put(old, 1, *sealed)[0] == 1
    eventually_has(first, randoms, "before anything is added: it is there")
    ports = [port for node in bus.nodes for port in (node.port, node.routes)]
    bus.plan(ports, {"c1": "paris", "c3": "oslo"}, ("ops", "eve"))
    if how == "restart":
        bus.nodes[0].stop()
        bus.nodes[0].start()
        bus.nodes[0].ready()
    else:
        for node in bus.nodes:
            node.reload()
            node.reload()
    bus.make_streams("eve", ("one",))
    new, second = starts(Collector(place, *bus.collecting("c3", "oslo"))), starts(Reader(bus, "eve", "one", tmp_path))
    for name, reader in (("ops", first), ("eve", second)):
        grant = place.grant(reader=name, grade="raw", consent="unilateral")
        for number, one in enumerate((old, new), 1):
            randoms, sealed = _lines(place, grant, 3, reader=name)
            assert _put(one, number, *sealed)[0] == 3
            eventually_has(reader, randoms, f"{name} from {one}")


def test_what_is_no_sealed_release_is_counted_and_harms_no_reader(place, bus, grants, collector, starts, tmp_path):
    eve = bus.reader_id("eve")
    rogue = starts(Client(bus, "c3"))
    for body in (b"", b"nonsense", b"\x00" * 3000):
        assert not _violations(rogue.publish(f"overt.keys.oslo.{eve}.lab", body))
    # What is sealed to another does not open, wherever it is published.
    _, (sealed,) = _lines(place, grants["ops"])
    given = b"\x03lab" + bytes(8) + len(sealed).to_bytes(2, "big") + sealed
    assert not _violations(rogue.publish(f"overt.keys.oslo.{eve}.lab", given))
    randoms, good = _lines(place, grants["eve"], reader="eve")
    assert _put(collector(), 1, *good)[0] == 1
    reader = starts(Reader(bus, "eve", "two", tmp_path))
    eventually_has(reader, randoms, "the good one")
    assert re.search(r" unopened=1 malformed=4 ", reader.end(code=1))


def test_an_agents_certificate_gets_nowhere(place, bus, starts):
    said = starts(Client(bus, "web1")).answers()
    assert any("Authorization Violation" in line for line in said), said
    done = collect.Done(*overt.run("collect", "fetch", *bus.reading("ops", "one", place.dir / "web1.audit", "web1"),
                                   "--keylog", place.dir / "nothing"))
    assert done.code == 1 and "Authorization Violation" in done.stderr


def test_a_reader_cannot_read_as_another_with_its_own_certificate(place, bus):
    done = collect.Done(*overt.run("collect", "fetch", *bus.reading("ops", "one", place.dir / "eve.audit", "eve"),
                                   "--keylog", place.dir / "nothing", timeout=90))
    assert done.code == 1 and "Permissions Violation" in done.stderr, done


def _heard(bus, name, **knobs):
    """What the bus says to a PING: of who is turned away, an error, or nothing before the connection ends or breaks."""
    with contextlib.suppress(OSError):
        client = Client(bus, name, **knobs)
        try:
            client.send("PING")
            return client.line()
        finally:
            client.stop()
    return b""


def test_nothing_is_said_without_tls_and_a_certificate(place, bus, world):
    assert _heard(bus, "ops") == b"PONG"
    said = _heard(bus, None, tls=False)
    assert said == b"" or b"Secure Connection - TLS Required" in said, said
    greeting = Client(bus, None, tls=False)
    greeting.stop()
    assert greeting.info["tls_required"] and greeting.info["tls_verify"]
    assert _heard(bus, None) == b""
    stranger = world.leaf("ops")
    (place.dir / "stranger.pem").write_text(stranger.pem)
    (place.dir / "stranger.key").write_text(stranger.key_pem)
    assert _heard(bus, "stranger") == b""


def test_the_bus_must_be_the_one_that_its_certificate_says(place, bus, tmp_path):
    """The node is at localhost; at its address it has no certificate."""
    done = collect.Done(*overt.run(
        "collect", "fetch", *(str(word).replace("//localhost:", "//127.0.0.1:") for word in
                              bus.reading("ops", "one", tmp_path / "audit")), "--keylog", tmp_path / "keys", timeout=90))
    assert done.code == 1 and re.search("SSL|TLS|certificate", done.stderr), done


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_with_the_bus_nothing_older_than_tls_1_3_is_spoken(place, bus, tmp_path, most):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(bus.nodes[0].folder / "node.pem", bus.nodes[0].folder / "node.key")
    ctx.maximum_version, said = most, []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        def serve():
            with contextlib.suppress(OSError), listening.accept()[0] as sock:
                sock.settimeout(PATIENCE)
                sock.sendall(b'INFO {"server_id":"LAB","version":"2.9.10","tls_required":true,"headers":true,"proto":1}\r\n')
                with ctx.wrap_socket(sock, server_side=True) as link:
                    said.append(link.recv(65536)[:8])
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        words = [str(word).replace(bus.servers, f"nats://localhost:{listening.getsockname()[1]}")
                 for word in bus.reading("ops", "one", tmp_path / "audit")]
        assert overt.run("collect", "fetch", *words, "--keylog", tmp_path / "keys")[0] == 1
        server.join(PATIENCE)
    assert said == ([b"CONNECT "] if most == ssl.TLSVersion.TLSv1_3 else [])


# When it fails.

def test_a_bus_that_hangs_sends_senders_away_in_time_and_nothing_is_lost(
        place, bus, grants, collector, starts, tmp_path):
    one = collector("c1", "--bus-wait", "3s")
    first, sealed = _lines(place, grants["ops"])
    assert _put(one, 1, *sealed)[0] == 1
    bus.nodes[0].hang()
    try:
        frames = Frames(one.connect("web1", KEYS))
        randoms, sealed = _lines(place, grants["ops"], 10)
        frames.send(collect.PUT, bytes(8) + b"".join(len(s).to_bytes(2, "big") + s for s in sealed))
        # Who brings the same meanwhile is not told that it is known.
        other = Frames(one.connect("web1", KEYS))
        other.send(collect.PUT, bytes(8) + b"".join(len(s).to_bytes(2, "big") + s for s in sealed))
        for sending in (frames, other):
            kind, body = sending.take()
            assert (kind, body[0]) == (collect.SORRY, 12)
            sending.close()
        # What it would not publish, it does not give either.
        reader = Frames(one.connect("ops", READ))
        reader.send(collect.WANT, bytes(25))
        given = b""
        while (frame := reader.take())[0] != collect.CAUGHT_UP:
            given += frame[1]
        reader.close()
        assert bytes.fromhex(next(iter(first))) in given
        assert not any(bytes.fromhex(one) in given for one in randoms)
    finally:
        bus.nodes[0].go_on()

    def taken():
        with_patience = Frames(one.connect("web1", KEYS))
        with_patience.send(collect.PUT, bytes(8) + b"".join(len(s).to_bytes(2, "big") + s for s in sealed))
        answer = with_patience.take()
        with_patience.close()
        return answer and answer[0] == collect.TAKEN
    eventually(taken, "it is taken when the bus answers again")
    reader = starts(Reader(bus, "ops", "one", tmp_path))
    eventually_has(reader, first | randoms, "from the bus")


def test_a_collector_begins_without_its_bus_and_finds_it_later(place, grants, starts, tmp_path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        servers_ = f"nats://localhost:{held.getsockname()[1]}"
        one = starts(Collector(place, "--bus", servers_, "--site", "paris", "--bus-certificate", place.dir / "c2.pem",
                               "--log", tmp_path / "log", "--bus-wait", "1s"))
        one.wait("bus not reached")
        frames = Frames(one.connect("web1", KEYS))
        _, (sealed,) = _lines(place, grants["ops"])
        frames.send(collect.PUT, bytes(8) + len(sealed).to_bytes(2, "big") + sealed)
        assert frames.take()[0] == collect.SORRY
        frames.close()
        assert _bus_counts(one)["failed-batches"] == 1


def test_options_that_cannot_be_are_refused_with_what_to_do(place, tmp_path):
    key, pem = place.keys / "ops.key", place.dir / "ops.pem"
    for arguments, says in (
            (("watch", "x.pcap", "--bus", "nats://a:1", "--reader-key", key, "--certificate", pem), "--bus needs --log"),
            (("watch", "x.pcap", "--bus", "nats://a:1", "--collector", "b:2"), "one of them"),
            (("collect", "fetch", "--keylog", "x", "--bus", "http://a", "--reader-key", key, "--certificate", pem, "--log",
              tmp_path / "log"), "nats://HOST:PORT"),
            (("collect", "fetch", "--keylog", "x", "--bus", "nats://u:p@a", "--reader-key", key, "--certificate", pem,
              "--log", tmp_path / "log"), "without a password"),
            (("collect", "fetch", "--keylog", "x", "--bus", "nats://a:1", "--reader-key", key, "--certificate", pem,
              "--log", tmp_path / "log", "--consumer", "a.*"), "a consumer has letters"),
            (("collect", "--dir", place.dir, "--bus", "nats://a:1"), "--bus needs --site"),
            (("collect", "--dir", place.dir, "--bus", "nats://a:1", "--site", "a.>"), "a site has letters"),
            (("collect", "bus", "nodes", "--dir", place.dir, "--node", "n1=127.0.0.1"), "HOST is a DNS name"),
            (("collect", "bus", "nodes", "--dir", place.dir, "--node", "a=a.test", "--node", "b=b.test"), "no quorum"),
            (("collect", "bus", "nodes", "--dir", place.dir, "--collector", "c1=*"), "a site has letters"),
            (("collect", "bus", "streams", "--dir", place.dir), "where is the bus?"),
            (("collect", "init", "--dir", tmp_path / "fleet", "bus-admin"), "neither ca nor collector nor bus-admin"),
            (("collect", "bus"), "what shall be done?")):
        done = collect.Done(*overt.run(*arguments))
        assert done.code != 0 and says in done.stderr, done


class Thief(Client):
    """Takes what is delivered to a consumer, under its reader's name."""

    def __init__(self, bus, reader, consumer):
        super().__init__(bus, reader)
        self.reader, self.consumer = bus.reader_id(reader), consumer
        assert self.subscribe(f"_INBOX.reader.{self.reader}.thief") == []

    def rob(self, count):
        self.send(f"PUB overt.js.CONSUMER.MSG.NEXT.OVERT_{self.reader}.{self.consumer} "
                  f"_INBOX.reader.{self.reader}.thief 40", (b'{"batch":%d,"expires":%d}' % (count, 20 * 10**9)).ljust(40))

    def acknowledge(self):
        """What has come; how many."""
        acks = [ack for line in self.answers() for ack in re.findall(r"\$JS\.ACK\.\S+", line)]
        for ack in acks:
            self.send(f"PUB {ack} 4", b"+ACK")
        return len(acks)


def test_what_the_bus_believes_to_be_delivered_and_was_not_is_asked_for(place, bus, grants, collector, starts, tmp_path):
    """Another takes it under the same consumer's name, acknowledges it, and tells nobody."""
    one, thief = collector(), starts(Thief(bus, "ops", "robbed"))
    held, sealed = _lines(place, grants["ops"], 5)
    assert _put(one, 1, *sealed)[0] == 5
    thief.rob(1000)
    assert eventually(thief.acknowledge, "the thief has some")
    reader = starts(Reader(bus, "ops", "robbed", tmp_path))
    eventually_has(reader, held, "what was delivered before it began")
    late, sealed = _lines(place, grants["ops"], 20)
    assert _put(one, 2, *sealed)[0] == 20
    assert eventually(thief.acknowledge, "the thief has some of the new ones")
    eventually_has(reader, late, "what another took")
    assert int(re.search(r" missed=(\d+) ", reader.end())[1]) >= 2


def test_what_one_that_ended_waited_for_is_read_again_also_where_much_came_behind_it(
        place, bus, grants, collector, starts, tmp_path):
    """More than is ever in hand: as where the bus forgets what was delivered, and its reader ends before it asks."""
    one, thief = collector(), starts(Thief(bus, "ops", "emptied"))
    batches, taken = [_lines(place, grants["ops"], 100) for _ in range(10)], 0
    wanted = set().union(*(randoms for randoms, _ in batches))
    for number, (_, sealed) in enumerate(batches):
        assert _put(one, number, *sealed)[0] == 100
    while taken < len(wanted):  # and what other tests have published
        thief.rob(256)
        taken += eventually(thief.acknowledge, "the thief has some")
    # Without --follow, too: it ends when it has that.
    done = collect.Done(*overt.run("collect", "fetch", *bus.reading("ops", "emptied", tmp_path / "audit"),
                                   "--keylog", tmp_path / "keys", timeout=2 * PATIENCE))
    assert done.code == 0 and wanted <= {line.split()[1] for line in (tmp_path / "keys").read_text().splitlines()}


# A stream that is full.

@pytest.mark.parametrize("count", [1, 3])
def test_a_full_stream_refuses_its_readers_keys_and_holds_up_no_others(tmp_path_factory, starts, tmp_path, count):
    place = Place(tmp_path_factory.mktemp("bus"), "eve", "web2", *SITES)
    place.reader_key("eve")
    grants = {name: place.grant(reader=name, grade="raw", consent="unilateral") for name in READERS}
    bus = starts(Bus(place, {"c1": "paris"}, {"ops": ("one",), "eve": ("one",)}, count=count))
    bus.make_streams("eve", ("one",), size="1MiB")
    one = starts(Collector(place, *bus.collecting("c1", "paris"), "--bus-wait", "60s", "--metrics", "127.0.0.1:0"))
    frames, wanted, number = Frames(one.connect("web1", KEYS)), {"ops": set(), "eve": set()}, 0

    def put(count=10):
        """As many keys for each; how many of all were taken, and which they were."""
        nonlocal number
        number += 1
        new = {name: _lines(place, grants[name], count, reader=name) for name in grants}
        fresh, known, _, refused, why = frames.put(number, *new["eve"][1], *new["ops"][1])
        assert known == 0 and fresh + refused == 2 * count and why == (FULL if refused else 0)
        wanted["ops"] |= new["ops"][0]
        if refused == 0:
            wanted["eve"] |= new["eve"][0]
        return fresh, new
    while (last := put(60)[0]) == 120:
        assert number < 100, "the stream is never full"
    partly = last - 60
    # All that is eve's is refused from then on, on the same connection, and nothing else.
    for _ in range(5):
        fresh, last = put()
        assert fresh == 10
    reader, eve = (starts(Reader(bus, name, "one", tmp_path)) for name in ("ops", "eve"))
    eventually_has(reader, wanted["ops"], "what is for another than the full stream's")
    eventually_has(eve, wanted["eve"], "what was taken before the stream was full")
    assert not eve.keys() & last["eve"][0]
    refusals = lines.objects(place.dir / "c1.log", "refusal")
    assert {(e["why"], e["side"], e["grant"], e["sender"]) for e in refusals} == {
        ("the reader's stream on the bus has no room", "collector", grants["eve"], "web1")}
    refused = sum(e["count"] for e in refusals)
    assert refused >= 50 and [e["count"] for e in refusals[-5:]] == [10] * 5
    one.wait(r"a reader's stream has no room why=\"?maximum bytes exceeded")
    # What was refused is not known, and is taken once there is room.
    bus.administer("purge", "--reader", bus._reader("eve"))
    assert frames.put(1000, *last["eve"][1], *last["ops"][1]) == (10, 10, 0, 0, 0)
    eventually_has(eve, last["eve"][0], "what was refused before")
    frames.close()
    seen, published = one.metrics(), len(wanted["ops"] | wanted["eve"]) + partly + 10
    assert {name: seen[f"overt_collect_bus_{name}"] for name in (
        "open", "waiting_octets", "published_total", "known_total", "refused_total", "failed_batches_total",
        "late_batches_total", "full_total", "servers_lost_total", "servers_found_total")} == {
        "open": 1, "waiting_octets": 0, "published_total": published, "known_total": 0, "refused_total": refused,
        "failed_batches_total": 0, "late_batches_total": 0, "full_total": 0, "servers_lost_total": 0,
        "servers_found_total": 0}
    assert seen["overt_collect_keys_refused_total"] == refused and "overt_collect_bus_again_total" in seen
    counts = _bus_counts(one)
    assert counts["refused"] == refused and counts["failed-batches"] == 0
    assert len(re.findall("a reader's stream has no room", one.process.err.text())) < 10  # of so many keys
    for each in (reader, eve):
        assert " unopened=0 malformed=0 " in each.end()


def test_who_brings_a_key_again_before_its_stream_refuses_it_is_not_told_that_it_is_known(tmp_path_factory, starts):
    place = Place(tmp_path_factory.mktemp("bus"), "eve", "web2", *SITES)
    place.reader_key("eve")
    grants = {name: place.grant(reader=name, grade="raw", consent="unilateral") for name in READERS}
    bus = starts(Bus(place, {"c1": "paris"}, {"ops": ("one",), "eve": ("one",)}, count=1))
    bus.make_streams("eve", ("one",), size="1MiB")
    one = starts(Collector(place, *bus.collecting("c1", "paris"), "--bus-wait", "60s"))
    while _put(one, 1, *_lines(place, grants["eve"], 100, reader="eve")[1])[3] == 0:
        pass
    first, second = (Frames(one.connect(name, KEYS)) for name in ("web1", "web2"))
    both = _lines(place, grants["eve"], 20, reader="eve")[1] + _lines(place, grants["ops"], 3)[1]
    own = _lines(place, grants["ops"])[1]
    bus.nodes[0].hang()
    try:
        # The entry comes before the bus is asked: whose entry is there has been judged.
        for frames, sealed, name in ((first, both, "web1"), (second, [*both, *own], "web2")):
            before = len(_released(place, name))
            frames.send(collect.PUT, bytes(8) + b"".join(len(s).to_bytes(2, "big") + s for s in sealed))
            eventually(lambda: len(_released(place, name)) > before, f"{name} has an entry")  # noqa: B023
    finally:
        bus.nodes[0].go_on()
    answers = [struct.unpack(">QIIIIB", frame[1]) for frame in (first.take(), second.take())]
    fresh, known, _, refused, why = answers[0][1:]
    assert fresh + refused == 23 and refused >= 10 and (known, why) == (0, FULL)
    assert answers[1][1:] == (1, fresh, 0, refused, FULL)
    for frames in (first, second):
        frames.close()


def test_a_program_whose_keys_have_a_full_stream_goes_by_its_rule_and_others_are_not_held_up(
        tmp_path_factory, starts, world, tmp_path):
    place = Place(tmp_path_factory.mktemp("bus"), "eve", "web2", *SITES)
    place.reader_key("eve")
    filling = place.grant(reader="eve", grade="raw", consent="unilateral")
    for reader, name in (("ops", "site.test"), ("eve", "full.test")):
        place.grant(reader=reader, names=(name,), consent="unilateral")
    bus = starts(Bus(place, {"c1": "paris"}, {"ops": ("one",), "eve": ("one",)}, count=1))
    bus.make_streams("eve", ("one",), size="1MiB")
    one = starts(Collector(place, *bus.collecting("c1", "paris")))
    while _put(one, 1, *_lines(place, filling, 100, reader="eve")[1])[3] == 0:
        pass
    for name, late, deadline, code, says in (
            ("site.test", "closed", 20000, 0, "of which the collector has 2 and refused 0"),
            ("full.test", "closed", 500, 1, r"\d times? a key was not taken in time: these connections were refused"),
            ("full.test", "open", 500, 0, r"\d times? a key was not taken in time: these connections went on")):
        nginx = starts(servers.Nginx(*world.files(name)))
        done = subprocess.run(
            [str(word) for word in (
                overt.binary(), "exec", "--share", "--collector", one.address, "--certificate", place.dir / "web1.pem",
                "--grants", place.dir / "grants", "--signer", place.dir / "signers", "--audit", tmp_path / "release.log",
                "--ack", "collector", "--late", late, "--deadline", deadline, "--",
                "curl", "-q", "-sS", "--max-time", "20", "--cacert", world.trust,
                "--connect-to", f"{name}:443:127.0.0.1:{nginx.port}", f"https://{name}/")],
            capture_output=True, text=True, timeout=2 * PATIENCE, env=clients.environment(**overt.SANITIZER_OPTIONS))
        assert (done.returncode != 0) == bool(code) and re.search(says, done.stderr), (name, late, done)
        assert not overt.SANITIZER.search(done.stderr), done.stderr
    assert _bus_counts(one)["failed-batches"] == 0


def _released(place, sender):
    return [e for e in lines.objects(place.dir / "c1.log", "release") if e["sender"] == sender]


# A fleet.

def test_no_acknowledged_key_is_lost_when_a_node_a_collector_and_a_watcher_die_under_load(
        tmp_path_factory, starts, tmp_path):
    # Nodes that begin with what others of the same name keep in their folders would not agree on what is stored.
    place = Place(tmp_path_factory.mktemp("bus"), "eve", "web2", *SITES)
    place.reader_key("eve")
    grants = {name: place.grant(reader=name, grade="raw", consent="unilateral") for name in READERS}
    bus = starts(Bus(place, SITES, READERS))
    # Clients have certificates of the same CA, and are no nodes.
    assert b"PONG" in bus.nodes[0].route(bus.nodes[1].folder, "node")
    for name in ("ops", "c1", "web1", "bus-admin"):
        said = bus.nodes[0].route(place.dir, name)
        assert b"Authorization Violation" in said and b"PONG" not in said, (name, said)
    fleet = [starts(Collector(place, *bus.collecting(name, site))) for name, site in SITES.items()]
    readers = {(name, one): starts(Reader(bus, name, one, tmp_path)) for name, some in READERS.items() for one in some}
    senders = [starts(Sender(bus, fleet, grants, name, 30, turn)) for turn, name in enumerate(("web1", "web2") * 2)]
    leader = re.search(r"^ops .*led by n(\d)", bus.administer("show").stdout, re.M)[1]
    for sender in senders:
        sender.start()

    def acknowledged():
        return sum(len(sender.taken) for sender in senders)

    def reached(part):
        total = sum(sender.batches * sender.each for sender in senders)
        eventually(lambda: acknowledged() >= part * total or any(s.fault for s in senders), f"{part:.0%} of the load",
                   2 * PATIENCE)
    reached(0.1)
    bus.nodes[int(leader) - 1].kill()
    reached(0.3)
    os.kill(fleet[0].process.pid, signal.SIGKILL)
    reached(0.5)
    readers["ops", "two"].process.popen.send_signal(signal.SIGKILL)
    for sender in senders:
        sender.finish()
    taken = set().union(*(sender.taken for sender in senders))
    assert len(taken) == 4 * 30 * 20 and any(sender.connections > 1 for sender in senders)
    for (name, one), reader in readers.items():
        if reader.process.running():
            eventually_has(reader, taken, f"{name} {one} has every acknowledged key", 2 * PATIENCE)
    # Who comes again under the dead one's name gets what that one had not acknowledged.
    again = starts(Reader(bus, "ops", "two", tmp_path))
    eventually_has(again, taken, "the one that died, and who came after it", 2 * PATIENCE)
    for reader in (*readers.values(), again):
        if reader.process.running():
            assert " unopened=0 malformed=0 " in reader.end()
    for one in fleet[1:]:
        assert _bus_counts(one)["published"] > 0


# docs/fleet.md

def _blocks():
    text = (pathlib.Path(__file__).parents[2] / "docs" / "fleet.md").read_text("utf-8")
    return re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)


def test_the_commands_of_the_document_work_as_they_stand(starts, tmp_path):
    """But for the names of machines, and that all nodes run here."""
    ports = nats.free_ports(7)
    nodes = {f"n{i}": (ports[2 * i - 2], ports[2 * i - 1]) for i in (1, 2, 3)}

    def here(block):
        for name, (port, routes) in nodes.items():
            block = block.replace(f"={name}.example.org", f"=localhost:{port}:{routes}")
            block = block.replace(f"nats://{name}.example.org:4222", f"nats://localhost:{port}")
        return block.replace("127.0.0.1:4489", f"127.0.0.1:{ports[6]}")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "overt").symlink_to(overt.binary())
    env = clients.environment(**overt.SANITIZER_OPTIONS, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}:/usr/sbin")

    def run(block):
        done = clients.run("bash", "--norc", "-ec", here(block), cwd=tmp_path, env=env)
        assert done.returncode == 0, (block, done.stderr.decode())
        return done.stdout.decode()
    make, configure, serve, streams, collecting, fetching, show = _blocks()
    run(make)
    run(configure)
    for name in nodes:
        starts(Process("bash", "--norc", "-c", f"exec {here(serve.replace('/n1/', f'/{name}/'))}", cwd=tmp_path, env=env)
               ).err.wait("Server is ready")
    assert "2 consumers" in run(streams)
    one = starts(Process("bash", "--norc", "-c", f"exec {here(collecting)}", cwd=tmp_path, env=env))
    one.err.wait(r"\bready$")
    assert run(fetching) == ""
    assert re.search(r"^ops +laptop +0 keys +0 waiting +0 unacknowledged  3 copies, led by n\d$", run(show), re.M)
    assert one.terminate() == 0, one.err.text()
