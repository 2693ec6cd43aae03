"""Garbage, stalls, floods, and resources that run out: a clear line, nothing else disturbed (CHECKLIST 26)."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading

import pytest
from lab import events, hello, overt, servers, settings, wire
from lab.proc import PATIENCE, children, eventually, open_descriptors, resident

pytestmark = overt.requires("proxy --trust --rules --jsonl")


@pytest.fixture(scope="module")
def fine(shared, nginx):
    """fine(): the proxy still serves others."""
    def check():
        got = shared.curl(f"https://site.test:{nginx.port}/")
        assert got.status == 200, f"others are disturbed: {got.error}\n{shared.log()[-2000:]}"
    return check


def _throw(port, data):
    """Sends data, half-closes, reads what comes."""
    with wire.connect(port) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return wire.recv_to_end(sock)
        except OSError:  # reset while we were still sending
            return b""


GARBAGE = {
    "nothing": b"",
    "one octet": b"\x00",
    "zeros": b"\x00" * 5000,
    "ff": b"\xff" * 5000,
    "random": os.urandom(100_000),
    "a line without end": b"GET " + b"a" * 300_000,
    "bare newlines": b"\n" * 10_000,
    "a method without a target": b"CONNECT\r\n\r\n",
    "no port": b"CONNECT site.test HTTP/1.1\r\nHost: site.test\r\n\r\n",
    "port 0": b"CONNECT site.test:0 HTTP/1.1\r\nHost: site.test\r\n\r\n",
    "port 65536": b"CONNECT site.test:65536 HTTP/1.1\r\nHost: site.test\r\n\r\n",
    "a negative port": b"CONNECT site.test:-1 HTTP/1.1\r\nHost: site.test\r\n\r\n",
    "a NUL in the name": b"CONNECT site.test\x00.evil.test:443 HTTP/1.1\r\nHost: site.test\r\n\r\n",
    "a name of 300 characters": b"CONNECT " + b"a" * 300 + b".test:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/9.9": b"GET http://site.test/ HTTP/9.9\r\nHost: site.test\r\n\r\n",
    "a bad header": b"GET http://site.test/ HTTP/1.1\r\nHost site.test\r\n\r\n",
    "a folded header": b"GET http://site.test/ HTTP/1.1\r\nHost: site.test\r\nA: b\r\n c\r\n\r\n",
    "two lengths": b"POST http://site.test/ HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1\r\n"
                   b"Content-Length: 2\r\n\r\nab",
    "length and chunks": b"POST http://site.test/ HTTP/1.1\r\nHost: site.test\r\nContent-Length: 3\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a thousand headers": b"GET http://site.test/ HTTP/1.1\r\nHost: site.test\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    "a header of 1 MiB": b"GET http://site.test/ HTTP/1.1\r\nHost: site.test\r\nA: " + b"b" * (1 << 20) + b"\r\n\r\n",
    "ftp": b"GET ftp://site.test/ HTTP/1.1\r\nHost: site.test\r\n\r\n",
    "TLS to the proxy itself": hello.make("site.test"),
    "SOCKS without methods": b"\x05\x00",
    "SOCKS with an unknown method": b"\x05\x01\x7f",
    "SOCKS UDP ASSOCIATE": b"\x05\x01\x00\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50",
    "SOCKS with an unknown address type": b"\x05\x01\x00\x05\x01\x00\x09\x7f\x00\x00\x01\x00\x50",
    "SOCKS with an empty name": b"\x05\x01\x00\x05\x01\x00\x03\x00\x01\xbb",
    "SOCKS cut short": b"\x05\x01\x00\x05\x01\x00\x03\xffsite",
    "SOCKS4 without end": b"\x04\x01\x01\xbb\x7f\x00\x00\x01" + b"u" * 100_000,
    "a PROXY header nobody expects": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + wire.connect_request("site.test", 443),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_at_the_front_door_is_turned_away(what, shared, fine):
    said = _throw(shared.port, GARBAGE[what])
    assert not re.match(rb"HTTP/1\.\d 200", said), said[:200]
    fine()


BAD_HELLOS = {
    "half a hello": hello.make("site.test")[:60],
    "a header only": hello.make("site.test")[:5],
    "an empty record": b"\x16\x03\x01\x00\x00" * 100 + hello.make("site.test"),
    "a record too long": b"\x16\x03\x01\xff\xff" + b"\x01" * 65535,
    "a length that lies": hello.make("site.test")[:6] + b"\xff\xff\xff" + hello.make("site.test")[9:],
    "extensions cut off": wire.record(22, b"\x01\x00\x00\x2a\x03\x03" + b"\x00" * 32
                                     + b"\x00\x00\x02\x13\x01\x01\x00\x00\xff"),
    "a server hello": wire.record(22, b"\x02\x00\x00\x26\x03\x03" + b"\x00" * 36),
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "application data": b"\x17\x03\x03\x00\x10" + b"\x00" * 16,
    "a hello twice": hello.make("site.test") * 2,
    "garbage behind a record header": b"\x16\x03\x01\x02\x00" + os.urandom(512),
    "a name with a NUL": hello.make("site.test\x00.evil.test"),
    "a name of 300 characters": hello.make("a" * 300),
    "a name with a wildcard": hello.make("*.test"),
    "a name with control characters": hello.make("a\r\nb\x1b[31m.test"),
    "a name with OpenSSL's own words": hello.make("DNS:evil.test,DNS:site.test"),
    "an extension twice": hello.make("site.test", extra=[(0x002B, b"\x02\x03\x04")]),
    "no suites": hello.make("site.test", suites=()),
    "ten thousand suites": hello.make("site.test", suites=tuple(range(0x2000, 0x2000 + 10_000))),
    "a key share of nothing": hello.make("site.test", shares=[(0x001D, b"")]),
    "a key share of zeros": hello.make("site.test", shares=[(0x001D, b"\x00" * 32)]),
    "a key share off the curve": hello.make("site.test", shares=[(0x0017, b"\x04" + b"\x01" * 64)], groups=(0x0017,)),
}


@pytest.mark.parametrize("what", BAD_HELLOS)
def test_a_bad_hello_reaches_no_request(what, shared, fine, origin):
    server = origin("site.test")
    with wire.open_tunnel(shared.port, "site.test", server.port) as sock:
        try:
            sock.sendall(BAD_HELLOS[what])
            sock.shutdown(socket.SHUT_WR)
            wire.recv_to_end(sock)
        except (ConnectionResetError, BrokenPipeError):
            pass
    server.wait_quiet()
    assert server.received() == b""
    assert "\x1b" not in shared.log() and "\x1b" not in shared.jsonl.read_text()
    fine()


@overt.requires("proxy --hello-timeout")
@pytest.mark.parametrize("sent", [b"", b"C", b"CONNECT site.test:443 HTTP/1.1\r\nA: "],
                         ids=["nothing", "a letter", "half"])
def test_a_stalled_head_is_dropped_at_its_deadline(sent, proxy, nginx):
    one = proxy("--hello-timeout", "3s")
    with wire.connect(one.port) as sock:
        sock.sendall(sent)
        try:
            said = wire.recv_to_end(sock)
        except ConnectionResetError:
            said = b""
        assert not said.startswith(b"HTTP/1.1 200")
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200


@overt.requires("proxy --hello-timeout")
def test_a_stalled_hello_is_dropped_at_its_deadline(proxy, origin):
    server = origin("site.test")
    one = proxy("--hello-timeout", "3s")
    with wire.open_tunnel(one.port, "site.test", server.port) as sock:
        sock.sendall(hello.make("site.test")[:50])
        with contextlib.suppress(ConnectionResetError):
            wire.recv_to_end(sock)
    server.wait_quiet()
    one.wait_words("time|deadline|late")


@overt.requires("proxy --handshake-timeout")
def test_an_upstream_that_says_nothing_is_dropped_at_its_deadline(proxy, starts):
    silent = starts(servers.Origin(None, lambda c: c.sock.recv(1 << 20) and c.sock.recv(1 << 20)))
    one = proxy("--handshake-timeout", "1s")
    assert one.curl(f"https://site.test:{silent.port}/").status == 0
    one.wait_words("time|deadline|late")


@overt.requires("proxy --idle-timeout")
def test_an_idle_connection_is_closed_at_its_deadline(proxy, nginx):
    one = proxy("--idle-timeout", "3s")
    with one.tls(nginx.port, "site.test") as tls:
        with contextlib.suppress(OSError):
            assert tls.recv() == b""


GARBLED_SERVERS = {
    "closes at once": lambda c: None,
    "resets": lambda c: (c.recv(), wire.reset(c.sock)),
    "speaks HTTP": lambda c: (c.recv(), c.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    "sends garbage": lambda c: (c.recv(), c.send(os.urandom(5000))),
    "sends an alert": lambda c: (c.recv(), c.send(b"\x15\x03\x03\x00\x02\x02\x28")),
    "sends half a hello": lambda c: (c.recv(), c.send(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")),
    "floods empty records": lambda c: (c.recv(), c.send(b"\x16\x03\x03\x00\x00" * 50_000)),
    "warns without end": lambda c: (c.recv(), c.send(b"\x15\x03\x03\x00\x02\x01\x00" * 50_000)),
}


@pytest.mark.parametrize("how", GARBLED_SERVERS)
def test_an_upstream_that_misbehaves_is_told_of(how, shared, fine, starts):
    server = starts(servers.Origin(None, GARBLED_SERVERS[how]))
    mark = shared.mark()
    got = shared.curl(f"https://site.test:{server.port}/")
    assert got.code != 0 and got.status == 0
    eventually(lambda: any(events.is_close()(e) for e in shared.events()[mark[0]:]), "the flow's end is told")
    fine()


def test_1500_resets_leave_nothing_behind(proxy, nginx):
    one = proxy("--single")
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200
    before = open_descriptors(one.pid)
    raw = hello.make("site.test")
    for number in range(1500):
        sock = wire.connect(one.port)
        if number % 3:
            sock.sendall(wire.connect_request("site.test", nginx.port))
            if number % 3 == 2:
                sock.sendall(raw)
        wire.reset(sock)
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200
    eventually(lambda: open_descriptors(one.pid) <= before + 4, "the descriptors are given back")


def test_memory_does_not_grow_with_connections(proxy, nginx):
    one = proxy("--single", release=True)
    for _ in range(30):
        one.curl(f"https://site.test:{nginx.port}/")
    before = resident(one.pid)
    for _ in range(150):
        one.curl(f"https://site.test:{nginx.port}/")
    assert resident(one.pid) - before < 3 << 20, (before, resident(one.pid))


def test_with_64_descriptors_it_pauses_and_recovers(world, nginx, starts):
    one = starts(overt.Proxy("--workers", "1", trust=world.trust, release=True,
                             before=["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"]))
    held = []
    for _ in range(150):
        sock = wire.connect(one.port)
        sock.sendall(wire.connect_request("site.test", nginx.port))
        held.append(sock)
    one.wait_log("(?i)descriptor|accept|files")
    for sock in held:
        sock.close()
    eventually(lambda: one.curl(f"https://site.test:{nginx.port}/").status == 200, "service comes back")


@overt.requires("proxy --connections-per-client")
def test_one_client_cannot_take_all_connections(proxy, starts):
    server = starts(servers.Origin(None, lambda c: c.recv()))
    one = proxy("--connections-per-client", "10", "--workers", "1")
    held = [wire.connect(one.port) for _ in range(30)]
    opened = 0
    for sock in held:
        with contextlib.suppress(OSError):
            sock.sendall(wire.connect_request("plain.test", server.port))
            opened += sock.recv(100).startswith(b"HTTP/1.1 200")
    assert opened == 10
    for sock in held:
        sock.close()
    eventually(lambda: _opens(one.port, server.port), "service comes back")


def _opens(port, target):
    """False also when it is closed without an answer: the ends of the others may not have been noticed yet."""
    try:
        sock, head = wire.tunnel(port, "plain.test", target)
    except OSError:
        return False
    sock.close()
    return head.startswith("HTTP/1.1 200")


@pytest.fixture
def small_disk(folder):
    """A file system of 1 MiB."""
    path = folder / "small"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "tmpfs", path], capture_output=True)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs: {done.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@overt.requires("proxy --pcapng")
def test_a_full_disk_under_the_pcapng_disturbs_nobody_and_is_said(small_disk, proxy, nginx):
    nginx.file("fill", os.urandom(1 << 20))
    one = proxy("--pcapng", small_disk / "out.pcapng")
    for _ in range(3):
        got = one.curl(f"https://site.test:{nginx.port}/files/fill")
        assert got.status == 200 and len(got.body) == 1 << 20, got.error
    one.wait_log("(?i)no space|disk full|ENOSPC|out\\.pcapng")
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200
    one.wait_event(events.is_close("done"), "the jsonl goes on")


def test_a_full_disk_under_the_jsonl_disturbs_nobody(small_disk, world, nginx, starts):
    one = starts(overt.Proxy("--jsonl", small_disk / "e.jsonl", trust=world.trust, jsonl=False))
    (small_disk / "filler").write_bytes(b"x" * ((1 << 20) - 40_000))
    for _ in range(80):
        assert one.curl(f"https://site.test:{nginx.port}/").status == 200
    one.wait_log("(?i)no space|disk full|ENOSPC|e\\.jsonl")


# Processes

def test_a_killed_worker_is_replaced_and_the_others_keep_their_connections(proxy, nginx):
    one = proxy("--workers", "2", release=True)
    assert len(one.members("worker")) == 2, one.family()
    held = [one.tls(nginx.port, "site.test") for _ in range(24)]
    assert all(_alive(tls) for tls in held)
    victim = one.members("worker")[0]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(now := one.members("worker")) == 2 and victim not in now, "the worker is replaced")
    kept = sum(_alive(tls) for tls in held)
    assert 0 < kept < 24, f"{kept} of 24 connections were kept"
    for tls in held:
        tls.close()
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200


def _alive(tls):
    try:
        tls.send(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")
        return tls.recv_until(b"HTTP/1.1\n").startswith(b"HTTP/1.1 200")
    except (OSError, AssertionError, ssl.SSLError):
        return False


def test_a_worker_killed_again_and_again_is_always_replaced(proxy, nginx):
    one = proxy("--workers", "1", release=True)
    for _ in range(4):
        victim = eventually(lambda: one.members("worker"), "there is a worker")[0]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda v=victim: one.members("worker") and v not in one.members("worker"), "the worker is replaced")
    eventually(lambda: one.curl(f"https://site.test:{nginx.port}/").status == 200, "service comes back")


def test_a_killed_supervisor_takes_its_family_with_it(world, nginx):
    one = overt.Proxy(trust=world.trust, release=True)
    one.curl(f"https://site.test:{nginx.port}/")
    family = one.family()
    one.process.popen.send_signal(signal.SIGKILL)
    one.process.popen.wait(20)
    try:
        eventually(lambda: not any(_exists(pid) for pid in family), "the family ends")
    finally:
        one.kill()


def _exists(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_stopping_drains_what_is_under_way(world, starts):
    begun, go = threading.Event(), threading.Event()

    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        begun.set()
        go.wait(PATIENCE)
        connection.send(b"later")

    server = starts(servers.Origin(servers.server_context(*world.files("site.test")), handler))
    one = overt.Proxy("--drain-timeout", "300s", trust=world.trust)
    with one.tls(server.port, "site.test") as tls:
        tls.send(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")
        assert begun.wait(PATIENCE)
        ended = threading.Thread(target=one.stop)
        ended.start()
        one.wait_log("draining")
        go.set()
        assert tls.recv_until(b"firstlater")
    ended.join(60)
    assert not ended.is_alive()


def test_a_proxy_that_drains_takes_no_new_connection(world, nginx):
    one = overt.Proxy("--drain-timeout", "300s", trust=world.trust)
    with one.tls(nginx.port, "site.test") as held:
        one.process.popen.send_signal(signal.SIGTERM)
        one.wait_log("draining")
        eventually(lambda: _refused(one.port), "new connections are refused")
        assert one.process.running()
        held.close_notify()
    one.stop()


def _refused(port):
    try:
        wire.connect(port).close()
        return False
    except OSError:
        return True


def test_a_port_in_use_is_said_in_one_line(shared, folder):
    code, _, err = overt.run("proxy", "--state", folder / "state", "--listen", f"127.0.0.1:{shared.port}", "-q")
    assert code == 2 and str(shared.port) in err and "in use" in err.lower(), err
    assert len(err.strip().splitlines()) == 1, err


@pytest.mark.parametrize("arguments, says", [
    (["--no-such-option"], "--no-such-option"), (["--listen", "nonsense"], "nonsense"),
    (["--listen", "127.0.0.1:99999"], "99999"), (["--workers", "many"], "many"), (["--rules"], "--rules"),
    (["--config", "/no/such/file"], "/no/such/file"), (["stray"], "stray")],
    ids=lambda a: " ".join(a) if isinstance(a, list) else "")
def test_a_wrong_command_line_is_said_in_one_line_with_2(arguments, says, folder):
    code, out, err = overt.run("proxy", "--state", folder / "state", *arguments)
    assert code == 2 and says in err and not out, (code, out, err)


@overt.requires("proxy --config")
@pytest.mark.parametrize("text, says", [
    ("lisen: 127.0.0.1:0\n", r"overt\.yaml:1:1.*lisen"), ("workers: many\n", r"overt\.yaml:1:10.*many"),
    ("workers: 1\n\tlog: x\n", r"overt\.yaml:2"), ("workers: [1\n", r"overt\.yaml:\d+")])
def test_a_faulty_configuration_is_said_with_its_place(text, says, folder):
    (folder / "overt.yaml").write_text(text)
    code, _, err = overt.run("proxy", "--state", folder / "state", "--config", folder / "overt.yaml")
    assert code == 2 and re.search(says, err), err


@overt.requires("proxy --config")
def test_a_proxy_for_others_says_who_runs_it_or_does_not_start(folder, world):
    command = ["proxy", "--state", folder / "state", "--listen", "0.0.0.0:0", "-q"]
    code, _, err = overt.run(*command)
    assert code == 2
    for word in settings.DISCLOSURE:
        assert word in err, err


@overt.requires("proxy --config")
def test_a_proxy_for_others_shows_who_runs_it(proxy):
    one = proxy(config=settings.configuration(**settings.DISCLOSURE), listen=["0.0.0.0:0"])
    got = one.curl("http://overt.internal/")
    assert got.status == 200
    for word in ("Lab", "lab@site.test", "tests of the proxy"):
        assert word in got.body.decode(), got.body


def test_the_children_of_a_stopped_proxy_are_gone(world):
    one = overt.Proxy(trust=world.trust)
    family = one.family()
    assert len(family) > 1 and children(one.pid)
    one.stop()
    assert not any(_exists(pid) for pid in family)
