"""`overt watch` on interfaces, while nginx and curl talk."""

import contextlib
import os
import pathlib
import re
import secrets
import shutil
import signal
import subprocess

import pytest
from lab import clients, overt, servers, still, watch, watch_record
from lab.proc import PATIENCE, Process, eventually

pytestmark = overt.requires("watch --interface --keys --plaintext")


def _capturing(process, sockets):
    """Whether so many packet sockets of the process receive."""
    try:
        held = {os.readlink(path) for path in pathlib.Path(f"/proc/{process.pid}/fd").iterdir()}
        rows = pathlib.Path(f"/proc/{process.pid}/net/packet").read_text().splitlines()[1:]
    except OSError:
        return False
    return sum(f"socket:[{row.split()[8]}]" in held and row.split()[5] == "1" for row in rows) == sockets


def _ready(running, workers):
    """Each worker has a socket, and the kernel shares connections out among those that are there."""
    eventually(lambda: _capturing(running.process, workers) or not running.process.running(), "it captures")
    if not running.process.running() and "permi" in running.process.err.text().lower():
        pytest.skip("no right to capture packets here")
    assert running.process.running(), running.process.err.text()
    return running


@pytest.fixture
def live(starts):
    """live(*options): an `overt watch` that captures already."""
    return lambda *options, workers=1, **knobs: _ready(starts(watch.Running("-j", workers, *options, **knobs)), workers)


@pytest.fixture
def server(world, starts):
    return starts(servers.Nginx(*world.files("site.test")))


def _curl(world, server, keys, *paths, **options):
    names = [f"https://site.test:{server.port}{path}" for path in paths]
    done = clients.run("curl", "-q", "-sS", "--cacert", world.trust, *(["-o", "/dev/null"] * len(names)), *names,
                       env={"SSLKEYLOGFILE": str(keys)}, **options)
    assert done.returncode == 0, done.stderr


def test_a_request_is_shown_while_the_watch_goes_on(world, live, server, folder):
    keys = folder / "keys"
    running = live("-i", "lo", "-f", f"tcp port {server.port}", "-k", keys)
    _curl(world, server, keys, "/who")
    assert running.wait('"type":"request"')["path"] == "/who"
    assert running.wait('"type":"response"')["status"] == 200
    assert running.process.running()
    seen = running.end(signal.SIGINT)
    assert seen.summary.verdicts == (1, 0, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_good_order_with_a_summary(live, server, number):
    running = live("-i", "lo", "-f", f"tcp port {server.port}")
    seen = running.end(number)
    assert seen.summary.connections == 0 and len(seen.err.splitlines()) == 1


def test_a_signal_that_comes_more_than_once_as_timeout_sends_it_ends_it_in_good_order_too(live, server):
    running = live("-i", "lo", "-f", f"tcp port {server.port}")
    while running.process.popen.poll() is None:
        running.process.popen.send_signal(signal.SIGTERM)
    seen = running.end()
    assert seen.summary.connections == 0 and len(seen.err.splitlines()) == 1


def test_a_connection_that_is_open_at_the_end_is_reported(world, live, server, folder):
    running = live("-i", "any", "-f", f"tcp port {server.port}", "-k", folder / "keys")
    context = clients.context(world.trust)
    context.keylog_filename = str(folder / "keys")
    with clients.python_tls(server.port, "site.test", ctx=context) as tls:
        tls.send(b"GET /open HTTP/1.1\r\nHost: site.test\r\n\r\n")
        tls.recv_until(b"\r\n\r\n")
        running.wait('"type":"response"')
        seen = running.end(signal.SIGINT)
    assert seen.of("close")[0]["ending"] == "stopped" and seen.paths() == ["/open"]


def test_the_filter_says_what_is_captured(world, live, server, starts, folder):
    other = starts(servers.Nginx(*world.files("other.test", "site.test")))
    running = live("-i", "lo", "-f", f"tcp port {server.port}", "-k", folder / "keys")
    _curl(world, other, folder / "keys", "/unseen")
    _curl(world, server, folder / "keys", "/seen")
    running.wait('"type":"response"')
    assert running.end(signal.SIGINT).paths() == ["/seen"]


@pytest.mark.parametrize("interface", ["lo", "any"])
def test_a_large_answer_is_read_whole(world, live, server, folder, interface):
    """Superframes of the loopback interface."""
    body = watch_record.numbered(3 << 20)
    server.file("body", body)
    running = live("-i", interface, "-f", f"tcp port {server.port}", "-k", folder / "keys")
    _curl(world, server, folder / "keys", "/files/body")
    running.wait('"type":"end"')
    seen = running.end(signal.SIGINT)
    assert seen.only("down").endswith(body) and seen.summary.verdicts == (1, 0, 0), seen.err


def test_two_workers_share_the_connections(world, live, server, folder):
    running = live("-i", "lo", "-f", f"tcp port {server.port}", "-k", folder / "keys", workers=2)
    context = clients.context(world.trust)
    context.keylog_filename = str(folder / "keys")
    for number in range(24):
        assert clients.python_get(server.port, "site.test", f"/{number}", ctx=context).status == 404
    eventually(lambda: sum(e["type"] == "response" for e in running.events()) == 24, "all are read")
    seen = running.end(signal.SIGINT)
    assert seen.summary.verdicts == (24, 0, 0)
    assert sorted(seen.paths(), key=lambda p: int(p[1:])) == [f"/{n}" for n in range(24)]
    assert {e["worker"] for e in seen.of("open")} == {0, 1}


def test_what_the_kernel_dropped_is_counted(world, live, server, folder):
    """The watch is stopped while more passes than the kernel's ring holds."""
    server.file("big", bytes(1 << 20) * 64)
    running = live("-i", "lo", "-f", f"tcp port {server.port}", "-k", folder / "keys")
    still.stop(running.process.pid)
    try:
        _curl(world, server, folder / "keys", *["/files/big"] * 6)
    finally:
        still.go_on(running.process.pid)
    _curl(world, server, folder / "keys", "/after")
    running.wait('"path":"/after"')
    seen = running.end(signal.SIGINT)
    assert re.search(r"[1-9]\d* frames dropped while capturing", seen.err), seen.err
    assert "park-full" not in seen.summary.causes  # the key was there all the time


# Between namespaces

CLIENT, SERVER = "10.199.0.2", "10.199.0.3"

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr notice;
events {{ }}
http {{
    access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    server {{ listen {address}:443 ssl; ssl_certificate {chain}; ssl_certificate_key {key};
              location / {{ return 200 "hello from another namespace"; }} }}
}}
"""


def _ip(*command, check=True):
    done = subprocess.run(["ip", *command], capture_output=True, text=True, timeout=PATIENCE)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture
def wire():
    """Two namespaces joined by a pair of interfaces, named wire at both ends."""
    if os.getuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces of a test need root and ip")
    tag = secrets.token_hex(3)
    ends = [f"overt-{tag}-{end}" for end in ("client", "server")]
    with contextlib.ExitStack() as stack:
        for name in ends:
            done = _ip("netns", "add", name, check=False)
            if done.returncode:
                pytest.skip("no network namespaces here: " + done.stderr.strip())
            stack.callback(_ip, "netns", "del", name, check=False)
        _ip("link", "add", "wire", "netns", ends[0], "type", "veth", "peer", "name", "wire", "netns", ends[1])
        for name, address in zip(ends, (CLIENT, SERVER)):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "wire")
            _ip("-n", name, "link", "set", "wire", "up")
        yield ends


def test_nginx_and_curl_in_namespaces(world, wire, live, starts, folder):
    client, server = wire
    chain, key = world.files("site.test")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, address=SERVER, chain=chain, key=key))
    nginx = starts(Process("ip", "netns", "exec", server, servers.needs_program("nginx"), "-p", folder, "-c",
                           folder / "nginx.conf", "-e", "stderr"))
    eventually(lambda: ":443" in _ip("netns", "exec", server, "ss", "-ltn").stdout or not nginx.running(), "it listens")
    assert nginx.running(), nginx.err.text()
    running = live("-i", "wire", "-f", "tcp port 443", "-k", folder / "keys",
                   before=["ip", "netns", "exec", client])
    done = clients.run("ip", "netns", "exec", client, "curl", "-q", "-sS", "--cacert", world.trust, "--resolve",
                       f"site.test:443:{SERVER}", "https://site.test/through",
                       env={"SSLKEYLOGFILE": str(folder / "keys")})
    assert done.stdout == b"hello from another namespace", done.stderr
    running.wait('"type":"end"')
    seen = running.end(signal.SIGINT)
    assert seen.paths() == ["/through"] and seen.only("down").endswith(done.stdout)
    assert seen.of("open")[0]["client"]["ip"] == CLIENT and seen.summary.verdicts == (1, 0, 0)


def test_an_interface_that_goes_away_ends_it_and_is_said(wire, live):
    client, _ = wire
    running = live("-i", "wire", before=["ip", "netns", "exec", client])
    _ip("-n", client, "link", "del", "wire")
    seen = running.end(code=2)
    assert "wire: the interface went away" in seen.err


# What cannot be captured

@pytest.mark.parametrize("arguments, said", [
    (("-i", "nosuch0"), "nosuch0"), (("-i", "lo", "-f", "tcp prot 443"), "tcp prot 443"),
    (("-i", "lo", "-f", "port 70000"), "port 70000"), (("-i", "x" * 200), "xxx"), (("-i", ""), "-i")])
def test_what_cannot_be_captured_is_said_in_one_line(arguments, said):
    code, out, err = overt.run("watch", *arguments)
    if "permi" in err.lower():
        pytest.skip("no right to capture packets here")
    assert code == 2 and said in err and len(err.splitlines()) == 1 and not out


def test_without_the_right_to_capture_it_says_which_one_is_needed():
    if os.getuid() != 0:
        pytest.skip("runs the program as nobody, which needs root")
    done = subprocess.run([servers.needs_program("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups",
                           overt.binary(), "watch", "-i", "lo"], capture_output=True, text=True, timeout=PATIENCE,
                          env=clients.environment(**overt.SANITIZER_OPTIONS))
    if "execute" in done.stderr:
        pytest.skip("nobody cannot run the program where it is")
    assert done.returncode == 2 and "CAP_NET_RAW" in done.stderr and len(done.stderr.splitlines()) == 1
