"""The processes of `overt proxy`: replaced when they die, reloaded, drained, and walled in."""

import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest
from lab import clients, events, overt, pki, servers, settings, wire
from lab.proc import PATIENCE, Process, children, eventually

pytestmark = overt.requires("proxy --trust --rules --workers --log --user")

ROLES = ["keeper", "resolver", "scribe", "worker"]


def role_pids(proxy, role):
    found = []
    for pid in proxy.family():
        try:
            if f"child:{role}" in pathlib.Path(f"/proc/{pid}/cmdline").read_text():
                found.append(pid)
        except OSError:
            pass
    return sorted(found)


def status_of(pid, key):
    return re.search(rf"^{key}:[ \t]*(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1]


@pytest.fixture
def family(proxy):
    return lambda *options, **knobs: proxy("--workers", "2", *options, **knobs)


@pytest.fixture
def released(proxy, world):
    """The release binary: the sandbox is not possible under sanitizers."""
    return proxy("--workers", "2", release=True)


def _open(made, server):
    """A connection with an echo through the proxy."""
    tls = made.tls(server.port, "site.test")
    tls.send(b"one\n")
    assert tls.recv() == b"one\n"
    return tls


def _echo(world, starts):
    def handler(connection):
        while data := connection.recv():
            connection.send(data)
    return starts(servers.Origin(servers.server_context(*world.files("site.test")), handler))


# Death and replacement

def test_a_killed_worker_is_replaced_and_the_others_connections_live_on(family, world, starts, nginx):
    made = family()
    server = _echo(world, starts)
    held = [_open(made, server) for _ in range(12)]
    # The kernel gives most of them to one: the other one dies.
    victim = min(role_pids(made, "worker"), key=lambda pid: len(os.listdir(f"/proc/{pid}/fd")))
    os.kill(victim, signal.SIGKILL)
    made.wait_log(r"child died child=worker.*signal=9")
    eventually(lambda: len(role_pids(made, "worker")) == 2 and victim not in role_pids(made, "worker"), "it is replaced")
    alive = 0
    for tls in held:
        try:
            tls.send(b"two\n")
            alive += tls.recv() == b"two\n"
        except OSError:
            pass
        tls.close()
    assert alive >= 6, "those of the other worker live on"
    for _ in range(10):
        assert made.curl(f"https://site.test:{nginx.port}/").status == 200


def test_clients_that_connect_while_a_worker_is_dead_are_served(family, nginx):
    made = family("--workers", "1")
    for _ in range(3):
        os.kill(role_pids(made, "worker")[0], signal.SIGKILL)
        assert made.curl(f"https://site.test:{nginx.port}/").status == 200


@pytest.mark.parametrize("role", ["keeper", "resolver", "scribe"])
def test_any_other_process_is_replaced_and_service_goes_on(role, family, world, starts, nginx):
    made = family()
    server = _echo(world, starts)
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200
    held = _open(made, server)
    victim, = role_pids(made, role)
    os.kill(victim, signal.SIGKILL)
    made.wait_log(rf"child died child={role}")
    eventually(lambda: role_pids(made, role) not in ([], [victim]), f"the {role} is replaced")
    held.send(b"two\n")
    assert held.recv() == b"two\n", "a connection in progress does not notice"
    held.close()
    eventually(lambda: made.curl(f"https://site.test:{nginx.port}/").status == 200, "inspected again")
    eventually(lambda: made.curl(f"https://www.site.test:{nginx.port}/").status == 200, "a name that is new as well")
    made.curl(f"https://site.test:{nginx.port}/?after-{role}")
    made.wait_event(events.is_request(f"/?after-{role}"), "the outputs go on")


def test_the_ca_is_the_same_after_the_keeper_was_replaced(family, nginx):
    made = family()
    before = made.curl(f"https://site.test:{nginx.port}/").cert.issuer, made.ca.read_bytes()
    os.kill(role_pids(made, "keeper")[0], signal.SIGKILL)
    eventually(lambda: made.curl(f"https://site.test:{nginx.port}/").status == 200, "inspected again")
    assert (made.curl(f"https://site.test:{nginx.port}/").cert.issuer, made.ca.read_bytes()) == before


def test_a_dead_workers_flows_end_in_the_events(family, world, starts):
    made = family("--workers", "1")
    held = _open(made, _echo(world, starts))
    os.kill(role_pids(made, "worker")[0], signal.SIGKILL)
    made.wait_event(events.is_close(), "the flow's end, though its worker could not say it")
    held.close()


def test_children_do_not_outlive_the_supervisor(family, world, starts):
    made = family("--drain-timeout", "1s")
    pids = made.family()
    assert len(pids) == 6
    os.kill(made.pid, signal.SIGKILL)
    made.process.popen.wait(PATIENCE)
    eventually(lambda: not any(_alive(pid) for pid in pids), "all are gone")
    made.stopped = True


def _alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# Reload

def test_reload_takes_new_rules_and_drops_nothing(family, world, starts, nginx):
    made = family()
    held = _open(made, _echo(world, starts))
    assert made.curl(f"https://block.test:{nginx.port}/").status == 200
    made.rules_file.write_text(settings.rules(settings.rule("block", name=["block.test"])))
    made.reload()
    made.wait_log("reloaded")
    eventually(lambda: made.curl(f"https://block.test:{nginx.port}/").status == 0, "the new rule holds in every worker")
    assert all(made.curl(f"https://block.test:{nginx.port}/").status == 0 for _ in range(8))
    held.send(b"two\n")
    assert held.recv() == b"two\n"
    held.close()


@pytest.mark.parametrize("text, place", [
    ("default: inspect\nrules: [\n", r"rules\.yaml:\d+:\d+"),
    ("default: inspect\nallow: [loopback]\nrules:\n  - match: {nmae: [a.test]}\n    action: block\n", r"rules\.yaml:4:\d+"),
    ("default: maybe\n", r"rules\.yaml:1:\d+"),
    ("default: inspect\nrules:\n  - match: {list: missing.txt}\n    action: block\n", r"missing\.txt"),
    (None, r"rules\.yaml"),
], ids=["syntax", "unknown-key", "bad-value", "missing-list", "missing-file"])
def test_a_faulty_file_is_refused_with_its_place_and_the_old_rules_stay(text, place, family, nginx):
    made = family(rules=settings.rules(settings.rule("block", name=["block.test"])))
    if text is None:
        made.rules_file.unlink()
    else:
        made.rules_file.write_text(text)
    made.reload()
    line = made.wait_log(r"reload refused (.*)")[1]
    assert re.search(place, line), line
    for _ in range(4):
        assert made.curl(f"https://block.test:{nginx.port}/").status == 0
        assert made.curl(f"https://site.test:{nginx.port}/").status == 200


def test_a_replaced_worker_has_the_reloaded_rules(family, nginx):
    made = family("--workers", "1")
    made.rules_file.write_text(settings.rules(settings.rule("block", name=["block.test"])))
    made.reload()
    made.wait_log("reloaded")
    os.kill(role_pids(made, "worker")[0], signal.SIGKILL)
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200
    assert made.curl(f"https://block.test:{nginx.port}/").status == 0


@pytest.mark.parametrize("mode", [["--workers", "2"], ["--single"]], ids=["family", "single"])
def test_reload_takes_other_trust_anchors_and_drops_nothing(mode, proxy, world, folder, starts, nginx):
    anchors = folder / "anchors.pem"
    good = pathlib.Path(world.trust).read_text()
    anchors.write_text(good)
    made = proxy(*mode, trust=anchors)
    url = f"https://site.test:{nginx.port}/"
    held = _open(made, _echo(world, starts))
    assert made.curl(url).status == 200
    anchors.write_text(pki.authority("Somebody Else").pem)
    made.reload()
    eventually(lambda: made.curl(url).status == 0, "the anchor is gone in every worker")
    assert all(made.curl(url).status == 0 for _ in range(6)), "also where a session was kept"
    anchors.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    made.reload()
    assert "anchors.pem" in made.wait_log("reload refused (.*)")[1]
    anchors.write_text(good)
    made.reload()
    eventually(lambda: made.curl(url).status == 200, "it is back")
    held.send(b"two\n")
    assert held.recv() == b"two\n"
    held.close()


def test_a_replaced_keeper_with_another_ca_is_told_to_every_worker(family, nginx, folder):
    """A CA rotated without a SIGHUP: who comes for the CA gets the one that issues."""
    made = family(state=folder / "state")
    before = clients.certificates(made.ca.read_text())
    assert overt.run("ca", "rotate", "--state", folder / "state", "--system-dir", folder, "--nss", "none")[0] == 0
    os.kill(role_pids(made, "keeper")[0], signal.SIGKILL)
    told = made.wait_log(r"another ca subject=(\S.*) sha256=(\w{64})$")
    fresh = [c for c in clients.certificates((folder / "state" / "ca.pem").read_text()) if c not in before]
    assert told[2].lower() == fresh[0].fingerprint(pki.hashes.SHA256()).hex()

    def offered():
        got = made.curl("http://overt.internal/ca.pem").body.decode("latin-1")
        return [c for c in clients.certificates(got) if c not in before]
    eventually(offered, "the page has it")
    assert all(offered() for _ in range(4))
    eventually(lambda: made.curl(f"https://site.test:{nginx.port}/", ca=made.ca).status == 200, "and it issues")


# Ending

def _slow_server(world, starts, gate):
    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n" + b"a" * 500)
        assert gate.wait(PATIENCE)
        connection.send(b"b" * 500)
    return starts(servers.Origin(servers.server_context(*world.files("site.test")), handler))


def _half_a_download(made, server):
    tls = made.tls(server.port, "site.test")
    tls.send(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")
    return tls, tls.recv_until(b"a" * 500)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_download_completes_while_the_proxy_stops(number, family, world, starts):
    made, gate = family("--drain-timeout", "300s"), threading.Event()
    tls, got = _half_a_download(made, _slow_server(world, starts, gate))
    made.process.popen.send_signal(number)
    made.wait_log("draining")
    eventually(lambda: not servers.listening(made.port) or _refused(made.port), "no new connection is taken")
    gate.set()
    assert (got + tls.recv_all()).endswith(b"b" * 500)
    tls.close()
    assert made.process.wait() == 0


def _refused(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.settimeout(0.3)
            return False
    except OSError:
        return True


def test_a_second_signal_ends_at_once(family, world, starts):
    """And not when the time for draining has passed."""
    made, gate = family("--drain-timeout", "300s"), threading.Event()
    tls, _ = _half_a_download(made, _slow_server(world, starts, gate))
    made.process.popen.send_signal(signal.SIGTERM)
    made.wait_log("draining")

    def ended():
        made.process.popen.send_signal(signal.SIGTERM)
        return not made.process.running()
    eventually(ended, "a signal a second after the first ends it")
    made.process.wait()
    gate.set()
    tls.close()
    made.stopped = True
    assert not any(_alive(pid) for pid in made.family())


@pytest.mark.parametrize("mode", [["--workers", "2"], ["--single"]], ids=["family", "single"])
def test_a_second_signal_with_the_first_lets_a_download_complete(mode, proxy, world, starts):
    """As timeout(1) sends it: to the process, and to the process's group. While it is stopped, both gather."""
    made, gate = proxy(*mode, "--drain-timeout", "300s"), threading.Event()
    tls, got = _half_a_download(made, _slow_server(world, starts, gate))
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        made.process.popen.send_signal(number)
    made.wait_log("draining")
    eventually(lambda: not servers.listening(made.port) or _refused(made.port), "no new connection is taken")
    gate.set()
    assert (got + tls.recv_all()).endswith(b"b" * 500)
    tls.close()
    assert made.process.wait() == 0 and "ending at once" not in made.log()


def test_the_drain_deadline_ends_what_does_not_end(family, world, starts):
    made, gate = family("--drain-timeout", "1s"), threading.Event()
    tls, _ = _half_a_download(made, _slow_server(world, starts, gate))
    made.process.popen.send_signal(signal.SIGTERM)
    assert made.process.wait() == 0
    assert "drain deadline passed" in made.log()
    made.wait_event(lambda e: events.is_close()(e) and e.get("name") == "stopped", "the flow says so")
    gate.set()
    tls.close()


def test_a_signal_to_the_whole_group_says_no_more_than_that_it_drains(family, nginx):
    """As Ctrl-C in a terminal sends it."""
    made = family()
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200
    os.killpg(made.pid, signal.SIGINT)
    assert made.process.wait() == 0
    assert not [line for line in made.process.err.lines() if " WARN " in line or " ERROR " in line]


def test_a_stop_while_it_starts_is_quiet_and_quick(world, folder):
    for stage in ("limits", "ca is="):
        made = overt.Proxy("--workers", "2", "--drain-timeout", "300s", trust=world.trust, start=False)
        process = Process(*made.command, env=overt.SANITIZER_OPTIONS)
        process.err.wait(stage)
        os.killpg(process.pid, signal.SIGINT)
        # Before it watches for signals, one ends it as it ends any program.
        assert process.wait() in (0, -signal.SIGINT)
        assert not [line for line in process.err.lines() if " WARN " in line or " ERROR " in line], process.err.text()
        process.stop()
        made.kill() if made.process else shutil.rmtree(made.folder)


def test_what_was_seen_is_written_before_the_end(family, nginx):
    made = family()
    for number in range(30):
        made.curl(f"https://site.test:{nginx.port}/?n={number}")
    made.process.popen.send_signal(signal.SIGTERM)
    assert made.process.wait() == 0
    paths = {e.get("path") for e in made.events() if events.kind(e) == "request"}
    assert {f"/?n={n}" for n in range(30)} <= paths


def test_the_service_manager_is_told(world, folder, starts):
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.settimeout(PATIENCE)
        made = starts(overt.Proxy(trust=world.trust, env={"NOTIFY_SOCKET": str(path)}))
        assert b"READY=1" in told.recv(4096)
        assert servers.listening(made.port), "whoever connects after READY is heard"
        made.reload()
        words = told.recv(4096)
        assert b"RELOADING=1" in words and b"MONOTONIC_USEC=" in words
        assert b"READY=1" in told.recv(4096)
        made.process.popen.send_signal(signal.SIGTERM)
        assert b"STOPPING=1" in told.recv(4096)
        assert made.process.wait() == 0


# Walls

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="changing users needs root")


@needs_root
def test_what_faces_the_network_runs_as_nobody_and_filtered(released):
    nobody = str(pwd.getpwnam("nobody").pw_uid)
    for role in ROLES:
        for pid in role_pids(released, role):
            assert status_of(pid, "Seccomp") == "2", f"{role} has no filter"
            assert status_of(pid, "NoNewPrivs") == "1", role
            if role in ("worker", "resolver"):
                assert status_of(pid, "Uid").split() == [nobody] * 4, role
                assert status_of(pid, "Gid").split()[0] != "0" and status_of(pid, "Groups").strip() == "", role
                assert int(status_of(pid, "CapEff"), 16) == int(status_of(pid, "CapPrm"), 16) == 0, role


@needs_root
def test_user_names_who_they_are(proxy, nginx, world):
    made = proxy("--user", "daemon", release=True, jsonl=False)
    for pid in role_pids(made, "worker"):
        assert status_of(pid, "Uid").split()[0] == str(pwd.getpwnam("daemon").pw_uid)
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200
    for role in ROLES:
        assert status_of(role_pids(made, role)[0], "Uid").split()[0] == str(pwd.getpwnam("daemon").pw_uid), role
    made.reload()
    made.wait_log("reloaded")
    assert "not reopened" not in made.log()


@needs_root
def test_a_state_of_somebody_else_is_not_taken_over(proxy, folder):
    proxy(state=folder / "state").stop()
    _fails("--listen", "127.0.0.1:0", "--user", "daemon", pattern="--state.*chown", folder=folder)


def test_no_process_can_be_dumped_or_traced(released):
    for pid in released.family():
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size\s+0\s+0\s", limits, re.M), pid
        # What is not dumpable belongs to root in /proc, whoever runs it.
        assert os.stat(f"/proc/{pid}/mem").st_uid == 0 and os.stat(f"/proc/{pid}/environ").st_uid == 0
    if os.getuid() == 0 and shutil.which("setpriv"):
        worker = role_pids(released, "worker")[0]
        done = subprocess.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "cat",
                               f"/proc/{worker}/maps"], capture_output=True)
        assert done.returncode != 0, "its own user may not look into it"


def _ca_key_octets(state):
    from cryptography.hazmat.primitives import serialization
    for path in sorted(pathlib.Path(state).rglob("*")):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            key = serialization.load_pem_private_key(path.read_bytes(), None)
            yield path, key.private_numbers().private_value.to_bytes(32, "big")


@needs_root
def test_the_cas_key_is_in_the_keeper_and_nowhere_else(released, nginx):
    assert released.curl(f"https://site.test:{nginx.port}/").status == 200
    keys = [octets for path, octets in _ca_key_octets(released.state) if path.name.startswith("ca")]
    assert keys, "no CA key was found in the state"
    assert any(_memory_has(pid, octets) for octets in keys for pid in role_pids(released, "keeper")), \
        "the search finds it where it is"
    for role in ("supervisor", "worker", "resolver", "scribe"):
        for pid in [released.pid] if role == "supervisor" else role_pids(released, role):
            for octets in keys:
                assert not _memory_has(pid, octets), f"the CA key is in the {role}"


@needs_root
def test_the_accord_anchors_key_is_in_the_keeper_and_nowhere_else(proxy, world, nginx, folder):
    state = folder / "anchored"
    code, _, err = overt.run("accord", "init", "--state", state, "--name", "proxy.test")
    assert code == 0, err
    made = proxy("--workers", "2", "--accord", "prefer", state=state, release=True)
    code, _, err = overt.run("get", "--accord", state / "accord-anchor.pem", "--proxy", f"127.0.0.1:{made.port}",
                             "--trust", world.trust, f"https://site.test:{nginx.port}/")
    assert code == 0 and "proxy proxy.test" in err, err
    octets, = (octets for path, octets in _ca_key_octets(state) if path.name == "accord-anchor.key")
    assert any(_memory_has(pid, octets) for pid in role_pids(made, "keeper")), "the search finds it where it is"
    for role in ("worker", "resolver", "scribe"):
        for pid in role_pids(made, role):
            assert not _memory_has(pid, octets), f"the anchor's key is in the {role}"


def _memory_has(pid, octets):
    """Looks for the number in both byte orders, as OpenSSL holds it in words."""
    needles = (octets, octets[::-1])
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            where, rights = line.split()[:2]
            if "r" not in rights or "[v" in line:
                continue
            start, end = (int(n, 16) for n in where.split("-"))
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, ValueError):
                continue
            if any(needle in data for needle in needles):
                return True
    return False


def test_descriptors_do_not_leak_into_children(family):
    made = family()
    for role in ROLES:
        for pid in role_pids(made, role):
            targets = [os.readlink(p) for p in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
            if role in ("keeper", "scribe"):
                assert not any(_listens(target, made.port) for target in targets), role
            if role in ("worker", "resolver"):
                assert not any(str(made.state) in target for target in targets), targets


def _listens(target, port):
    inode = re.match(r"socket:\[(\d+)\]", target)
    return bool(inode) and any(f":{port:04X} " in line and f" {inode[1]} " in line
                               for line in pathlib.Path("/proc/net/tcp").read_text().splitlines())


# The audit log

def _small(folder, request):
    """A file system of 1 MiB, or a skip."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "overt-test", folder], capture_output=True)
    if done.returncode:
        pytest.skip("a file system of a test's own needs root: " + done.stderr.decode())
    request.addfinalizer(lambda: subprocess.run(["umount", "-l", folder], check=True))


@pytest.mark.parametrize("failure", ["block", "bypass"])
def test_nothing_is_inspected_while_the_audit_log_cannot_be_written(failure, proxy, nginx, world, folder, request):
    place = folder / "small"
    place.mkdir()
    _small(place, request)
    made = proxy("--workers", "1", "--audit-failure", failure, state=place / "state")
    request.addfinalizer(made.stop)  # before the file system goes
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200
    ballast = os.open(place / "ballast", os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(ballast, bytes(1024))
    except OSError:
        os.close(ballast)

    def closed():
        got = made.curl(f"https://site.test:{nginx.port}/", ca=world.trust if failure == "bypass" else made.ca)
        return (got.status == 200 and "overt" not in got.issuer().lower()) if failure == "bypass" else got.status == 0
    eventually(closed, "the log was found closed")
    assert closed() and closed()
    made.wait_words("audit-closed" if failure == "block" else "audit log closed")
    (place / "ballast").unlink()
    eventually(lambda: made.curl(f"https://site.test:{nginx.port}/").status == 200, "it recovers once there is room")


# Starting, and where the log goes

def test_few_descriptors_are_enough_to_start_and_to_serve(world, starts, nginx):
    if not shutil.which("prlimit"):
        pytest.skip("prlimit is not installed")
    made = starts(overt.Proxy("--workers", "1", trust=world.trust, before=["prlimit", "--nofile=64:64", "--"]))
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200
    held = [wire.connect(made.port) for _ in range(80)]
    for sock in held:
        sock.close()
    eventually(lambda: made.curl(f"https://site.test:{nginx.port}/").status == 200, "normal service again")


def _fails(*arguments, pattern, folder, state="state", lines=1):
    code, out, err = overt.run("proxy", "-q", "--state", folder / state, *arguments)
    said = [line for line in err.splitlines() if line.startswith("overt proxy: ")]
    assert code == 2, (code, err)
    assert len(said) == lines and re.search(pattern, said[0]), err
    return err


def test_a_port_in_use_is_said_in_one_line(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _fails("--listen", f"127.0.0.1:{port}", pattern=rf"--listen .*{port}.*in use", folder=folder)


def test_an_unreadable_key_is_said_in_one_line(folder):
    (folder / "ca.pem").write_text("")
    _fails("--listen", "127.0.0.1:0", "--ca-cert", folder / "ca.pem", "--ca-key", folder / "none.pem",
           pattern=r"none\.pem|ca\.pem", folder=folder)


MISSING = [
    (["--rules", "/nonexistent/rules.yaml"], "/nonexistent/rules.yaml"),
    (["--trust", "/nonexistent/trust.pem"], "/nonexistent/trust.pem"),
    (["--crl", "/nonexistent/crl.pem"], "/nonexistent/crl.pem"),
    (["--jsonl", "/nonexistent/events.jsonl"], "/nonexistent/events.jsonl"),
    (["--pcapng", "/nonexistent/f.pcapng"], "/nonexistent/f.pcapng"),
    (["--keylog", "/nonexistent/keys"], "/nonexistent/keys"),
    (["--log", "file:/nonexistent/log"], "/nonexistent/log"),
    (["--config", "/nonexistent/overt.yaml"], "/nonexistent/overt.yaml"),
    (["--proxy-auth", "/nonexistent/users"], "/nonexistent/users"),
    (["--ca-cert", "/nonexistent/ca.pem", "--ca-key", "x"], "/nonexistent/ca.pem"),
    (["--user", "no-such-user"], "no-such-user"),
    (["--listen", "203.0.113.1:0", "--operator", "x", "--contact", "x", "--purpose", "x", "--retention", "1d"],
     "203.0.113.1"),
]


@pytest.mark.parametrize("single, options, pattern", [
    (single, *each) for single in (False, True) for each in MISSING if not single or each[0][0] != "--user"])
def test_what_is_missing_is_named_in_one_line(options, pattern, single, folder):
    if "--user" in options and os.getuid() != 0:
        pytest.skip("only root changes users")
    listen = [] if "--listen" in options else ["--listen", "127.0.0.1:0"]
    err = _fails(*listen, *options, *(["--single"] if single else []), pattern=re.escape(pattern), folder=folder)
    assert options[0] in err and "ERROR" not in err, err


def test_a_state_that_is_no_folder_is_said(folder):
    (folder / "state").write_text("a file")
    _fails("--listen", "127.0.0.1:0", pattern="--state|state", folder=folder)


def test_a_damaged_ca_is_said_and_not_replaced(folder, proxy):
    made = proxy(state=folder / "state")
    made.stop()
    damaged = b"damaged"
    keys = [p for p in (folder / "state").rglob("*") if p.is_file() and b"PRIVATE KEY" in p.read_bytes()]
    for path in keys:
        path.write_bytes(damaged)
    _fails("--listen", "127.0.0.1:0", pattern=r"key|ca\.", folder=folder)
    assert all(path.read_bytes() == damaged for path in keys)


def test_two_proxies_do_not_share_a_state(folder, proxy):
    proxy(state=folder / "state")
    _fails("--listen", "127.0.0.1:0", pattern="state|in use|locked|another", folder=folder)


def test_the_log_goes_to_a_file_that_is_opened_anew_on_sighup(world, folder, starts, nginx):
    log = folder / "overt.log"
    process = starts(Process(overt.binary(), "proxy", "-q", "--workers", "1", "--listen", "127.0.0.1:0", "--state",
                             folder / "state", "--trust", world.trust, "--log", f"file:{log}",
                             env={**clients.environment(), **overt.SANITIZER_OPTIONS}))
    eventually(lambda: log.exists() and "ready" in log.read_text(), "it says that it is ready")
    assert process.err.text() == "", "standard error stays clean"
    assert log.stat().st_mode & 0o007 == 0
    log.rename(folder / "overt.log.1")
    process.popen.send_signal(signal.SIGHUP)
    eventually(lambda: log.exists() and "reloaded" in log.read_text(), "the new file is written to")
    worker = [p for p in _below(process.pid) if "child:worker" in pathlib.Path(f"/proc/{p}/cmdline").read_text()][0]
    eventually(lambda: os.readlink(f"/proc/{worker}/fd/2") == str(log), "the children have it too")
    process.popen.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert "draining" in log.read_text() and "draining" not in (folder / "overt.log.1").read_text()


def _below(pid):
    found = children(pid)
    return [*found, *(p for child in found for p in _below(child))]


def test_an_error_at_the_start_is_said_on_standard_error_wherever_the_log_goes(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        err = _fails("--listen", f"127.0.0.1:{taken.getsockname()[1]}", "--log", f"file:{folder}/log", pattern="in use",
                     folder=folder)
    assert "in use" in (folder / "log").read_text() and "ended" not in err


def test_a_journal_that_cannot_be_reached_is_said(folder):
    if pathlib.Path("/run/systemd/journal/stdout").exists():
        pytest.skip("there is a journal here")
    _fails("--listen", "127.0.0.1:0", "--log", "journal", pattern="--log journal", folder=folder)


def test_the_limits_are_logged_at_the_start(proxy):
    made = proxy("--connections", "40000")
    assert re.search(r"limits.*open-files=\d+.*connections=\d+", made.log()), made.log()
