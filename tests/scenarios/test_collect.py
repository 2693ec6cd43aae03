"""`overt collect`: keys from those who may send them, sealed, to those who may read them, and all of it in the log."""

import os
import resource
import signal
import ssl
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from lab import clients, collect, lines, overt, servers, watch
from lab.collect import Collector, Frames, Key, Place, Sealer
from lab.proc import PATIENCE, eventually

pytestmark = overt.requires("collect", "grant", "watch --collector")

RANDOM = bytes(range(32))
LINE = f"CLIENT_TRAFFIC_SECRET_0 {RANDOM.hex()} {'ab' * 32}\n"


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def sender(starts):
    """sender(collector): a connection that sends keys."""
    def make(collector, name="web1"):
        frames = Frames(collector.connect(name, collect_keys))
        starts_closing(starts, frames)
        return frames
    return make


collect_keys, collect_read = "overt-keys/1", "overt-read/1"


def starts_closing(starts, frames):
    class Closing:
        @staticmethod
        def stop():
            frames.close()
    starts(Closing)


def _keys(number, secret=b"s" * 32):
    return Key(number.to_bytes(32, "big"), True, 0x1301, secret)


def _fetch(place, collector, *more, reader="ops", certificate=None):
    return collect.Done(*overt.run("collect", "fetch", *place.reading(collector, reader, certificate), *more))


@pytest.fixture
def nginx(world, starts):
    return starts(servers.Nginx(*world.files("site.test")))


@pytest.fixture
def live(starts):
    """live(port, *options): a watch that captures that port on the loopback already."""
    def run(port, *options):
        running = starts(watch.Running("-i", "lo", "-f", f"tcp port {port}", "-j", "1", *map(str, options)))
        eventually(lambda: "socket:" in _descriptors(running.process.pid) or not running.process.running(), "it captures")
        if not running.process.running() and "permi" in running.process.err.text().lower():
            pytest.skip("no right to capture packets here")
        return running
    return run


def _descriptors(pid):
    try:
        rows = open(f"/proc/{pid}/net/packet", encoding="ascii").read().splitlines()[1:]
        held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return ""
    nodes = {f"socket:[{row.split()[8]}]" for row in rows if row.split()[5] == "1"}
    return " ".join(nodes & set(held))


def _curl(world, nginx, keys, path):
    done = clients.run("curl", "-q", "-sS", "--cacert", world.trust, "--tls13-ciphers", "TLS_AES_128_GCM_SHA256",
                       "--tlsv1.3", "-o", "/dev/null", f"https://site.test:{nginx.port}{path}",
                       env={"SSLKEYLOGFILE": str(keys)})
    assert done.returncode == 0, done.stderr
    return keys.read_text()


# What it is for.

def test_lines_that_openssl_sends_open_what_nginx_and_curl_say(place, starts, world, nginx, live, tmp_path):
    place.grant(grade="raw", consent="unilateral")
    collector = starts(Collector(place))
    running = live(nginx.port, *place.reading(collector))
    collector.lines(_curl(world, nginx, tmp_path / "log", "/who"))
    assert running.wait('"type":"request"')["path"] == "/who"


def test_lines_come_from_socat_too(place, starts, tmp_path):
    place.grant(grade="raw", consent="unilateral")
    collector = starts(Collector(place))
    done = subprocess.run([servers.needs_program("socat"), "-u", "STDIN",
                           f"OPENSSL:{collector.address},cafile={place.dir}/ca.pem,cert={place.dir}/web1.pem,"
                           f"key={place.dir}/web1.key,openssl-min-proto-version=TLS1.3"],
                          input=LINE.encode(), capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    collector.wait("lines ended from=web1 lines=1 refused=0 bad=0 unwanted=0")


def test_record_keys_alone_open_what_nginx_and_curl_say(place, starts, world, nginx, live, sender, tmp_path):
    grant = place.grant(names=("site.test",))
    collector = starts(Collector(place))
    running = live(nginx.port, *place.reading(collector))
    keys = Key.of_log(_curl(world, nginx, tmp_path / "log", "/who"))
    sealer = Sealer(place.keys / "ops.pub")
    assert len(keys) == 2
    assert sender(collector).put(1, *(sealer.seal(grant, key) for key in keys)) == (2, 0, 0, 0, 0)
    assert running.wait('"type":"request"')["path"] == "/who"
    assert running.wait('"type":"response"')


def test_a_contradictory_key_does_not_keep_the_true_one_from_its_reader(
        place, starts, world, nginx, live, sender, tmp_path):
    grant = place.grant(names=("site.test",))
    collector = starts(Collector(place))
    running = live(nginx.port, "-w", tmp_path / "capture")
    keys = Key.of_log(_curl(world, nginx, tmp_path / "log", "/who"))
    sealer = Sealer(place.keys / "ops.pub")
    false = [Key(key.random, key.from_client, 0x1301, b"f" * 32) for key in keys]
    frames = sender(collector)
    assert frames.put(1, *(sealer.seal(grant, key) for key in false)) == (2, 0, 0, 0, 0)
    assert frames.put(2, *(sealer.seal(grant, key) for key in keys)) == (2, 0, 2, 0, 0)
    running.end(signal.SIGINT)
    seen = watch.run(*place.reading(collector), tmp_path / "capture")
    assert seen.paths() == ["/who"]
    assert seen.summary.verdicts == (1, 0, 0)


def test_lines_reach_a_key_log_a_fifo_and_a_pcapng_file(place, starts, tmp_path):
    place.grant(grade="raw", consent="unilateral")
    collector = starts(Collector(place))
    collector.lines(LINE)
    done = _fetch(place, collector, "--keylog", tmp_path / "log", "--dsb", tmp_path / "keys.pcapng")
    assert done.code == 0, done
    assert (tmp_path / "log").read_text() == LINE
    assert LINE.encode() in (tmp_path / "keys.pcapng").read_bytes()
    os.mkfifo(tmp_path / "fifo")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "fifo").read_text()))
    reader.start()
    assert _fetch(place, collector, "--keylog", tmp_path / "fifo").code == 0
    reader.join(PATIENCE)
    assert read == [LINE]


def test_record_keys_are_not_written_as_lines_and_that_is_said(place, starts, sender, tmp_path):
    grant = place.grant()
    collector = starts(Collector(place))
    sender(collector).put(1, Sealer(place.keys / "ops.pub").seal(grant, _keys(1)))
    done = _fetch(place, collector, "--keylog", tmp_path / "log")
    assert done.code == 1
    assert "1 record keys cannot be written" in done.stderr
    assert (tmp_path / "log").read_text() == ""


# The log.

def test_who_sent_and_who_fetched_is_in_the_log(place, starts, sender, tmp_path):
    grant = place.grant()
    collector = starts(Collector(place))
    sender(collector).put(1, *(Sealer(place.keys / "ops.pub").seal(grant, _keys(n)) for n in range(3)))
    _fetch(place, collector, "--keylog", tmp_path / "log")
    (release,), (read,) = place.entries("release"), place.entries("read")
    assert (release["sender"], release["count"], release["grant"]) == ("web1", 3, grant)
    assert release["sender_key"] == collect.spki_sha256(place.dir / "web1.pem")
    assert (read["client_name"], read["keys"], read["grant"]) == ("ops", 3, grant)
    assert read["client"] == collect.spki_sha256(place.dir / "ops.pem")
    (entry,) = place.entries("grant")
    assert (entry["grant"], entry["reader"], entry["consent"]) == (grant, "ops", "both")
    text = (place.dir / "audit.log").read_text()
    assert _keys(1).key.hex() not in text and _keys(1).random.hex() not in text


def test_nothing_is_taken_or_given_while_the_log_cannot_be_written(place, starts, sender, tmp_path):
    grant = place.grant()
    collector = starts(Collector(place))
    sealer = Sealer(place.keys / "ops.pub")
    frames = sender(collector)
    assert frames.put(1, sealer.seal(grant, _keys(1)))[0] == 1
    size = (place.dir / "audit.log").stat().st_size
    before = resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, (size, before[1]))
    assert frames.put(2, sealer.seal(grant, _keys(2))) == (0, 0, 0, 1, 8)
    collector.wait("nothing is taken or given")
    reader = Frames(collector.connect("ops", collect_read))
    reader.send(collect.WANT, bytes(25))
    assert reader.take()[0] == collect.INSTANCE
    assert frames.put(3, sealer.seal(grant, _keys(3))) == (0, 0, 0, 1, 8)
    resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, before)
    kind, body = reader.take()  # only now
    assert kind == collect.GIVE and body.count(sealer.key_id) == 1
    reader.close()
    assert [e["keys"] for e in place.entries("read")] == [1]
    assert frames.put(4, sealer.seal(grant, _keys(2))) == (1, 0, 0, 0, 0)


# Who may do what.

def test_without_a_grant_nothing_is_taken(place, starts, sender):
    grant = place.grant(names=("site.test",))
    other = place.grant(names=("*",), reader="ops")
    collector = starts(Collector(place))
    frames, sealer = sender(collector), Sealer(place.keys / "ops.pub")
    assert frames.put(1, sealer.seal("00" * 16, _keys(1))) == (0, 0, 0, 1, 2)
    assert frames.put(2, sealer.seal(grant, _keys(1), name=b"other.test")) == (0, 0, 0, 1, 3)
    assert frames.put(3, sealer.seal(grant, _keys(1), consent=2)) == (0, 0, 0, 1, 3)
    place.reader_key("eve")
    assert frames.put(4, Sealer(place.keys / "eve.pub").seal(grant, _keys(1))) == (0, 0, 0, 1, 3)
    assert frames.put(5, sealer.seal(other, _keys(1), name=b"other.test")) == (1, 0, 0, 0, 0)
    assert [e["why"] for e in place.entries("refusal")] == ["the collector has no such grant"] + 3 * [
        "the grant does not cover it"]
    assert all(e["sender"] == "web1" for e in place.entries("refusal"))


def test_lines_without_a_grant_for_them_are_refused_and_the_log_says_why(place, starts):
    place.grant()
    collector = starts(Collector(place))
    collector.lines(LINE * 3)
    collector.wait('line refused from=web1 why="no grant with grade raw, consent unilateral')
    assert collector.counts()["lines-refused"] == 3


def test_lines_with_exporter_secrets_go_to_nobody_and_are_counted(place, starts):
    place.grant(grade="raw", consent="unilateral")
    collector = starts(Collector(place, "--metrics", "127.0.0.1:0"))
    exporter = LINE.replace("CLIENT_TRAFFIC_SECRET_0", "EXPORTER_SECRET")
    collector.lines(LINE + exporter + exporter.replace("EXPORTER", "EARLY_EXPORTER"))
    collector.wait("lines ended from=web1 lines=3 refused=0 bad=0 unwanted=2")
    assert collector.metrics()["overt_collect_lines_unwanted_total"] == 2
    counts = collector.counts()
    assert (counts["keys"], counts["lines"], counts["lines-unwanted"]) == (1, 3, 2)


def test_lines_go_to_every_reader_however_many_there_are(place, starts):
    readers = 66
    for number in range(readers):
        public = X25519PrivateKey.generate().public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        (place.keys / f"r{number}.pub").write_bytes(public)
        place.grant(reader=f"r{number}", grade="raw", consent="unilateral")
    collector = starts(Collector(place))
    collector.lines(LINE * 2)
    collector.wait(r"lines ended from=web1 lines=2 refused=0 bad=0")
    counts = collector.counts()
    assert (counts["keys"], counts["lines-refused"], counts["refused"]) == (readers, 0, 0)


def test_a_reader_gets_what_its_grants_say_and_no_other_reader_does(place, starts, sender, tmp_path):
    place.overt("collect", "client", "--dir", place.dir, "eve")
    place.reader_key("eve")
    grant, others = place.grant(), place.grant(reader="eve")
    collector = starts(Collector(place))
    frames = sender(collector)
    frames.put(1, Sealer(place.keys / "ops.pub").seal(grant, _keys(1)))
    assert "0 keys:" in _fetch(place, collector, "--keylog", tmp_path / "e", reader="eve").stderr
    frames.put(2, Sealer(place.keys / "eve.pub").seal(others, _keys(1)))
    assert "1 keys:" in _fetch(place, collector, "--keylog", tmp_path / "e", reader="eve").stderr
    # The certificate of one and the private key of another open nothing.
    done = _fetch(place, collector, "--keylog", tmp_path / "e", reader="eve", certificate="ops")
    assert "0 keys:" in done.stderr and "1 not opened" in done.stderr


def test_senders_cannot_read_and_readers_cannot_send(place, starts, tmp_path):
    place.grant()
    collector = starts(Collector(place))
    done = _fetch(place, collector, "--keylog", tmp_path / "log", certificate="web1")
    assert done.code == 1 and "no grant names this certificate as its reader" in done.stderr
    frames = Frames(collector.connect("ops", collect_keys))
    kind, body = frames.take()
    assert kind == collect.SORRY and b"a reader's certificate cannot send keys" in body
    frames.close()


def _refused(connect):
    with pytest.raises(OSError):  # ssl.SSLError is one
        sock = connect()
        sock.sendall(b"x")
        assert sock.recv(1) != b"", "it closed"
        raise AssertionError("it was let in")


def test_only_certificates_of_its_own_ca_that_are_valid_get_in_and_only_with_tls_1_3(place, starts, world):
    place.grant()
    collector = starts(Collector(place))
    _refused(lambda: collector.connect(None))
    _refused(lambda: collector.connect("web1", most=ssl.TLSVersion.TLSv1_2))
    _refused(lambda: collector.connect("web1", "http/1.1"))
    eve = world.leaf("eve")
    (place.dir / "eve.pem").write_text(eve.pem)
    (place.dir / "eve.key").write_text(eve.key_pem)
    _refused(lambda: collector.connect("eve"))
    place.expired("old")
    _refused(lambda: collector.connect("old"))
    collector.wait("certificate has expired")
    assert collector.counts()["failed-handshakes"] == 5


# Bad input.

def test_replayed_and_contradictory_keys_are_counted_and_kept_apart(place, starts, sender, tmp_path):
    grant = place.grant()
    collector = starts(Collector(place))
    frames, sealer = sender(collector), Sealer(place.keys / "ops.pub")
    sealed = sealer.seal(grant, _keys(1))
    assert frames.put(1, sealed, sealed) == (1, 1, 0, 0, 0)
    assert frames.put(2, sealed, sealer.seal(grant, _keys(1))) == (0, 2, 0, 0, 0)
    assert frames.put(3, *(sealer.seal(grant, _keys(1, bytes([n]) * 32)) for n in range(5))) == (3, 0, 3, 2, 7)
    done = _fetch(place, collector, "--keylog", tmp_path / "log")
    assert "4 keys:" in done.stderr


def test_malformed_frames_end_their_connection_and_no_other(place, starts, sender):
    grant = place.grant()
    collector = starts(Collector(place))
    good, sealer = sender(collector), Sealer(place.keys / "ops.pub")
    for octets in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 8, b"\x01\x01\x00\x01", b"\x01\x00\x00\x03abc", b"\x04\x00\x00\x00"):
        frames = Frames(collector.connect("web1", collect_keys))
        frames.sock.sendall(octets)
        kind, body = frames.take()
        assert kind == collect.SORRY and body[0] == 1
        assert frames.take() is None
        frames.close()
    sealed = sealer.seal(grant, _keys(1))
    assert good.put(1, b"rubbish", sealed[:-1], sealed + b"x", sealed) == (1, 0, 0, 3, 1)
    assert collector.counts()["malformed"] >= 5


def test_lines_that_are_none_are_counted_and_the_rest_is_taken(place, starts):
    place.grant(grade="raw", consent="unilateral")
    collector = starts(Collector(place))
    collector.lines("# comment\n\nnonsense\n" + "x" * 10000 + "\n" + LINE.replace("ab", "zz", 1) + LINE.rstrip("\n"))
    counts = collector.counts()
    assert (counts["keys"], counts["lines-bad"]) == (1, 3)


def test_a_sender_has_its_cap(place, starts, sender):
    grant = place.grant()
    collector = starts(Collector(place, "--client-memory", "64KiB"))
    frames, sealer = sender(collector), Sealer(place.keys / "ops.pub")
    taken = [frames.put(n, *(sealer.seal(grant, _keys(100 * n + i)) for i in range(100))) for n in range(3)]
    assert taken[0] == (100, 0, 0, 0, 0)
    assert taken[2][0] == 0 and taken[2][3:] == (100, 7)
    assert collector.counts()["refused"] == 300 - sum(t[0] for t in taken)


def test_more_connections_than_allowed_are_turned_away(place, starts, sender):
    place.grant()
    collector = starts(Collector(place, "--clients", "1"))
    sender(collector)
    with pytest.raises(OSError):
        collector.connect("web1", collect_keys)
    collector.wait("client turned away")


# Ends.

def test_a_revoked_grant_ends_at_once_for_sender_and_reader(place, starts, sender, tmp_path):
    grant = place.grant()
    collector = starts(Collector(place))
    frames, sealer = sender(collector), Sealer(place.keys / "ops.pub")
    assert frames.put(1, sealer.seal(grant, _keys(1)))[0] == 1
    place.revoke(grant)
    kind, body = frames.take()
    assert (kind, body) == (collect.ENDED, bytes.fromhex(grant) + b"\x04")
    assert frames.put(2, sealer.seal(grant, _keys(2))) == (0, 0, 0, 1, 4)
    assert "0 keys:" in _fetch(place, collector, "--keylog", tmp_path / "log").stderr
    (entry,) = place.entries("revoke")
    assert (entry["grant"], entry["reason"]) == (grant, "no longer")


def test_a_grant_ends_when_its_time_is_over_and_the_log_says_so_once(place, starts, sender, tmp_path):
    firm = place.grant()
    collector = starts(Collector(place))
    frames, sealer = sender(collector), Sealer(place.keys / "ops.pub")
    assert frames.put(1, sealer.seal(firm, _keys(1)))[0] == 1

    def taken(seconds):
        grant = place.grant("--until", f"{seconds}s")
        answer = frames.put(seconds, sealer.seal(grant, _keys(seconds)))
        assert answer in ((1, 0, 0, 0, 0), (0, 0, 0, 1, 5))
        return answer[0] and grant
    # Long enough for a key to come in time, however slow this machine is.
    grant = next(filter(None, map(taken, (2, 4, 8, 16, 32))))
    collector.wait(f'grant ended grant={grant} reader=ops why="its time is over"', 2 * PATIENCE)
    assert frames.put(100, sealer.seal(grant, _keys(100))) == (0, 0, 0, 1, 5)
    assert "1 keys:" in _fetch(place, collector, "--keylog", tmp_path / "log").stderr
    assert frames.put(101, sealer.seal(firm, _keys(101)))[0] == 1
    collector.stop()

    def ends(path=place.dir / "audit.log"):
        return [e["reason"] for e in lines.objects(path, "revoke") if e["grant"] == grant]
    assert ends() == ["its time is over"]
    shown = overt.run("log", "show", "--log", place.dir / "audit.log", "--kind", "revoke")
    assert shown[0] == 0 and grant in shown[1] and "its time is over" in shown[1], shown
    # Who reads the log from a start finds its end behind the grant, as with one that was revoked.
    starts(Collector(place)).stop()
    assert ends() == ["its time is over"] * 2


def test_what_cannot_be_read_again_stays_as_it_was(place, starts, sender):
    place.grant()
    collector = starts(Collector(place))
    good = (place.dir / "collector.pem").read_bytes()
    (place.dir / "collector.pem").write_text("nothing")
    os.kill(collector.process.pid, signal.SIGHUP)
    collector.wait("not reloaded .*collector.pem: no certificate to show")
    sender(collector)
    (place.dir / "collector.pem").write_bytes(good)
    os.kill(collector.process.pid, signal.SIGHUP)
    collector.wait(r"collect: reloaded$")
    sender(collector)


def test_the_reader_can_say_that_it_is_enough_where_the_grant_lets_it(place, starts, sender):
    grant, firm = place.grant("--until-reader"), place.grant()
    collector = starts(Collector(place))
    frames, sealer = sender(collector), Sealer(place.keys / "ops.pub")
    reader = Frames(collector.connect("ops", collect_read))
    reader.send(collect.ENOUGH, bytes.fromhex(grant))
    assert frames.take() == (collect.ENDED, bytes.fromhex(grant) + b"\x06")
    assert frames.put(1, sealer.seal(grant, _keys(1))) == (0, 0, 0, 1, 6)
    assert reader.take() == (collect.ENDED, bytes.fromhex(grant) + b"\x06")
    reader.send(collect.ENOUGH, bytes.fromhex(firm))
    assert reader.take()[0] == collect.SORRY
    assert frames.put(2, sealer.seal(firm, _keys(1))) == (1, 0, 0, 0, 0)
    reader.close()
    collector.stop()
    assert sender(starts(Collector(place))).put(1, sealer.seal(grant, _keys(1))) == (0, 0, 0, 1, 6)


def test_a_reader_says_enough_on_the_command_line(place, starts, sender):
    grant, firm = place.grant("--until-reader"), place.grant()
    collector = starts(Collector(place))
    frames, sealer = sender(collector), Sealer(place.keys / "ops.pub")
    assert frames.put(1, sealer.seal(grant, _keys(1)))[0] == 1
    done = _fetch(place, collector, "--enough", firm)
    assert done.code == 1 and "only the reader of a grant with" in done.stderr
    done = _fetch(place, collector, "--enough", grant)
    assert done.code == 0 and "1 keys:" in done.stderr
    assert frames.take() == (collect.ENDED, bytes.fromhex(grant) + b"\x06")
    assert "the reader has said" in place.entries("revoke")[0]["reason"]


def test_a_key_lives_as_long_as_its_lifetime(place, starts, sender, tmp_path):
    grant = place.grant()
    collector = starts(Collector(place, "--lifetime", "1s"))
    sender(collector).put(1, Sealer(place.keys / "ops.pub").seal(grant, _keys(1)))
    eventually(lambda: "0 keys:" in _fetch(place, collector, "--keylog", tmp_path / "log").stderr, "the key leaves")
    assert collector.counts()["expired"] == 1


def test_sealed_keys_on_disk_survive_a_kill_and_nothing_can_be_read_there(place, starts, sender, tmp_path):
    grant, spool = place.grant(), tmp_path / "spool"
    collector = starts(Collector(place, "--spool", spool))
    sealer = Sealer(place.keys / "ops.pub")
    key = _keys(1)
    assert sender(collector).put(1, sealer.seal(grant, key))[0] == 1
    os.kill(collector.process.pid, signal.SIGKILL)
    collector.process.wait()
    assert key.key not in spool.read_bytes() and key.random in spool.read_bytes()
    with spool.open("ab") as out:
        out.write(b"\x00" * 20)  # as a crash leaves it
    again = starts(Collector(place, "--spool", spool))
    assert "1 keys:" in _fetch(place, again, "--keylog", tmp_path / "log").stderr
    assert sender(again).put(1, sealer.seal(grant, key)) == (0, 1, 0, 0, 0)


def test_a_reader_that_follows_goes_on_after_a_restart(place, starts, tmp_path):
    place.grant(grade="raw", consent="unilateral")
    collector = starts(Collector(place))
    collector.lines(LINE)
    log = tmp_path / "log"
    follower = starts(collect.Process(overt.binary(), "collect", "fetch", *map(str, place.reading(collector)),
                                      "--keylog", str(log), "--follow"))
    eventually(lambda: log.exists() and log.read_text() == LINE, "the first key")
    collector.stop()
    again = starts(Collector(place, address=collector.address))
    second = LINE.replace("_0 ", "_1 ")
    again.lines(second)
    eventually(lambda: log.read_text() == LINE + second, "the second key")
    follower.terminate()
    assert follower.wait() == 0, follower.err.text()


def test_options_that_cannot_be_are_refused_with_what_to_do(place):
    for arguments, says in (
            (("watch", "x.pcap", "--collector", "a:1"), "--collector needs --reader-key"),
            (("collect", "--dir", "/nowhere"), "/nowhere/signers"),
            (("collect", "--dir", place.dir, "--listen", "here"), "an address and a port are wanted"),
            (("collect", "fetch", "--keylog", "x"), "where is the collector?"),
            (("collect", "client", "--dir", place.dir, "../x"), "a name has letters")):
        done = collect.Done(*overt.run(*arguments))
        assert done.code != 0 and says in done.stderr, done
