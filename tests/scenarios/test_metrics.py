"""Counters and health of the family, as Prometheus text on a loopback port."""

import os
import re
import signal
import socket
import urllib.error
import urllib.request

import pytest
from lab import overt, still, wire
from lab.proc import PATIENCE, eventually

pytestmark = overt.requires("proxy --metrics --single")

SAMPLE = re.compile(r'^(overt_\w+)\{([^}]*)\} (\d+)$')


def _port(proxy):
    return int(proxy.wait_log(r"serving what=metrics address=127\.0\.0\.1:(\d+)").group(1))


def _get(port, path="/metrics", method="GET"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def _samples(port):
    """{metric: {labels: value}}"""
    found = {}
    for line in _get(port)[2].splitlines():
        if match := SAMPLE.match(line):
            found.setdefault(match[1], {})[match[2]] = int(match[3])
    return found


def _sum(samples, name, label=""):
    return sum(value for labels, value in samples[name].items() if label in labels)


@pytest.fixture(params=["family", "single"])
def counted(request, proxy):
    made = proxy("--metrics", "127.0.0.1:0", *(["--single"] if request.param == "single" else ["--workers", "2"]))
    return made, _port(made)


def test_every_line_has_the_form_that_prometheus_reads(counted):
    _, port = counted
    status, headers, text = _get(port)
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    name = None
    seen = set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in seen, f"{name} stands in two places"
            seen.add(name)
            assert len(line.split(" ", 3)[3]) > 5, line
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == name and line.split(" ")[3] == ("counter" if name.endswith("_total") else "gauge")
        else:
            assert SAMPLE.match(line) and SAMPLE.match(line)[1] == name, line
    assert text.endswith("\n")


def test_what_happens_is_counted(counted, nginx, world):
    proxy, port = counted
    before = _samples(port)
    for _ in range(3):
        assert proxy.curl(f"https://site.test:{nginx.port}/").status == 200

    def settled():
        """All are closed, and the scribe has read what was published."""
        samples = _samples(port)
        quiet = _sum(samples, "overt_connections_open") == 0
        return samples if quiet and _sum(samples, "overt_events_total") == _sum(samples, "overt_scribe_events_total") else None
    after = eventually(settled, "all is closed and counted")

    def grew(name, label=""):
        return _sum(after, name, label) - _sum(before, name, label)
    assert grew("overt_connections_total") == 3
    assert grew("overt_verdicts_total", 'action="inspect"') == 3
    assert grew("overt_handshakes_total", 'leg="1"') == 3 and grew("overt_handshakes_total", 'leg="2"') == 3
    assert grew("overt_audit_entries_total") >= 3
    assert grew("overt_events_total") > 0
    assert grew("overt_flows_total") == 3 and grew("overt_plaintext_octets_total") > 0
    assert _sum(after, "overt_leaf_cache_entries") >= 1


def test_every_cap_stands_beside_what_it_holds(counted):
    _, port = counted
    samples = _samples(port)
    caps = [name for name in samples if "_cap" in name]
    assert len(caps) >= 10
    for name in caps:
        assert all(value > 0 for value in samples[name].values()), name


def test_health_is_ok(counted):
    _, port = counted
    assert _get(port, "/health")[::2] == (200, "ok\n")
    assert _get(port, "/health", "HEAD")[::2] == (200, "")


def test_other_paths_methods_and_protocols_are_refused(counted):
    proxy, port = counted
    assert _get(port, "/")[0] == 404
    assert _get(port, "/metrics", "DELETE")[0] == 405
    for sent, status in ((b"\x16\x03\x01\x02\x00\x01", b""), (b"GET /metrics\r\n\r\n", b"400"),
                         (b"GET http://site.test/ HTTP/1.1\r\nHost: site.test\r\n\r\n", b"400"),
                         (b"CONNECT site.test:443 HTTP/1.1\r\nHost: site.test:443\r\n\r\n", b"400"),
                         (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 9000 + b"\r\n\r\n", b"431")):
        with wire.connect(port) as sock:
            sock.sendall(sent)
            try:
                sock.shutdown(socket.SHUT_WR)
                assert status in wire.recv_to_end(sock)[:20]
            except OSError:
                pass  # reset, because the request was longer than what is read of it
    assert _get(port, "/health")[0] == 200


def _ended(sock):
    try:
        sock.setblocking(False)
        return sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_idle_connections_are_bounded_and_counted(counted):
    _, port = counted
    held = [wire.connect(port) for _ in range(24)]
    try:
        eventually(lambda: sum(map(_ended, held)) == 8, "those above sixteen are refused")
    finally:
        for sock in held:
            sock.close()
    samples = eventually(lambda: _try(port), "there is room again")
    assert _sum(samples, "overt_scrapes_refused_total") >= 8


def _try(port):
    try:
        return _samples(port)
    except OSError:
        return None


def test_a_process_that_hangs_is_named_and_the_rest_is_told(proxy):
    made = proxy("--metrics", "127.0.0.1:0", "--workers", "2")
    port = _port(made)
    stuck = _worker(made, 1)
    still.stop(stuck)
    try:
        status, _, text = _get(port, "/health")
        assert status == 503 and "worker 1 does not answer" in text
        samples = _samples(port)
        assert samples["overt_up"]['process="worker",worker="1"'] == 0
        assert samples["overt_up"]['process="worker",worker="0"'] == 1
    finally:
        still.go_on(stuck)
    assert _get(port, "/health")[0] == 200


def _worker(proxy, number):
    """Workers are started in order, after keeper, resolver and scribe."""
    pids = sorted(pid for pid in proxy.family() if "child:worker" in open(f"/proc/{pid}/cmdline").read())
    return pids[number]


def test_a_replaced_process_is_counted(proxy):
    made = proxy("--metrics", "127.0.0.1:0", "--workers", "2")
    port = _port(made)
    os.kill(_worker(made, 0), signal.SIGKILL)
    eventually(lambda: _sum(_samples(port), "overt_restarts_total", 'child="worker"') == 1, "the restart is counted")
    eventually(lambda: _get(port, "/health")[0] == 200, "all is well again")


def test_only_loopback_is_served(world):
    code, _, err = overt.run("proxy", "--metrics", "0.0.0.0:9464", "--listen", "127.0.0.1:0")
    assert code == 2 and "--metrics" in err and "loopback" in err and len(err.splitlines()) == 1


def test_a_port_in_use_is_said_in_one_line(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = overt.run("proxy", "--metrics", f"127.0.0.1:{taken.getsockname()[1]}", "--listen", "127.0.0.1:0",
                                 "--state", folder / "state")
    assert code == 2 and "--metrics" in err.splitlines()[-1] and "in use" in err, err
