"""An upgrade: another program takes the place of the running one, and no client notices (SIGUSR2)."""

import contextlib
import os
import re
import shutil
import signal
import socket
import threading

import pytest
from lab import clients, events, lines, overt, servers, settings
from lab.proc import PATIENCE, eventually

pytestmark = overt.requires("proxy --trust --rules --workers --drain-timeout")


class Upgradable(overt.Proxy):
    """A proxy of which `current` is the supervisor that accepts now."""

    def start(self):
        super().start()
        self.current = self.process.pid
        return self

    def upgrade(self):
        """Sends SIGUSR2; the rest of the log."""
        seen = self.log_lines()
        os.kill(self.current, signal.SIGUSR2)
        return seen

    def upgraded(self):
        seen = self.upgrade()
        number = int(self.wait_log(r"upgraded process=(\d+)", after=seen)[1])
        self.wait_log("taken over", after=seen)
        before, self.current = self.current, number
        return before

    def reload(self):
        os.kill(self.current, signal.SIGHUP)

    def stop(self, **knobs):
        if not self.stopped and self.current != self.process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.current, signal.SIGTERM)
            eventually(lambda: not _lives(self.current), "the new family ends")
        super().stop(**knobs)


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def proxy(world, starts):
    def make(*options, **knobs):
        return starts(Upgradable("--workers", "2", *options, **{"trust": world.trust, **knobs}))
    return make


@pytest.fixture
def program(folder):
    """A copy of the program, to be replaced as a package manager does: a new file under the old name."""
    path = folder / "bin" / "overt"
    path.parent.mkdir()
    shutil.copy(overt.binary(), path)

    def replace(text=None):
        fresh = path.with_name("overt.new")
        if text is None:
            shutil.copy(overt.binary(), fresh)
        else:
            fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.rename(path)
    path.chmod(0o755)
    return path, replace


def _chain(state):
    """The audit log, which must be whole: numbered without holes, and leading to its checkpoint."""
    found = lines.objects(state / "audit.log")
    assert [e["seq"] for e in found] == list(range(1, len(found) + 1))
    # A line that is being written while it is read has no end yet.
    eventually(lambda: overt.run("log", "verify", "--state", state)[0] == 0, "the log is intact")
    return found


def _echo(world, starts):
    def handler(connection):
        while data := connection.recv():
            connection.send(data)
    return starts(servers.Origin(servers.server_context(*world.files("site.test")), handler))


def _open(made, server):
    tls = made.tls(server.port, "site.test")
    assert _answers(tls, b"one\n")
    return tls


def _answers(tls, line):
    tls.send(line)
    return tls.recv() == line


def _connect(made):
    """One TCP connection after the other: the status that the page of the proxy answers with."""
    with socket.create_connection(("127.0.0.1", made.port), PATIENCE) as sock:
        sock.settimeout(PATIENCE)
        sock.sendall(b"GET http://overt.internal/ca.pem HTTP/1.1\r\nHost: overt.internal\r\n\r\n")
        return sock.recv(64)


# Without a gap

def test_new_connections_never_fail_while_one_program_takes_over_from_another(proxy, nginx):
    made = proxy()
    load = [overt.Traffic(lambda n=n: made.curl(f"https://site.test:{nginx.port}/?n={n}")) for n in range(3)]
    answers, failures, end = [0], [], threading.Event()

    def knock():
        while not end.is_set():
            try:
                answers[0] += _connect(made).startswith(b"HTTP/1.1 200")
            except OSError as error:
                failures.append(error)
    knocking = [threading.Thread(target=knock, daemon=True) for _ in range(3)]
    for thread in knocking:
        thread.start()
    for _ in range(3):
        eventually(lambda: sum(t.good for t in load) > 10, "the load runs")
        before = sum(t.good for t in load)
        made.upgraded()
        eventually(lambda b=before: sum(t.good for t in load) > b + 10, "the load goes on")
    eventually(lambda: failures or answers[0] > 100, "who knocks is answered")
    end.set()
    results = [t.stop() for t in load]
    for thread in knocking:
        thread.join(PATIENCE)
    assert not [bad.error for _, each in results for bad in each]
    assert not failures
    entries = _chain(made.state)
    assert [e["reason"] for e in entries if e["kind"] == "stop"] == ["handed over"] * 3
    assert len([e for e in entries if e["kind"] == "start"]) == 4
    eventually(lambda: len(lines.objects(made.state / "audit.log", "inspected")) >= sum(n for n, _ in results),
               "every one has its entry")
    assert "keeper is gone" not in made.log()


def test_connections_in_progress_live_on_in_the_old_family(proxy, world, starts, nginx):
    made = proxy("--drain-timeout", "60s")
    server = _echo(world, starts)
    held = [_open(made, server) for _ in range(4)]
    old = made.upgraded()
    assert _lives(old) and old != made.current
    assert all(_answers(tls, b"two\n") for tls in held)
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200
    for tls in held:
        tls.close()
    eventually(lambda: not _lives(old) or made.process.popen.poll() == 0, "the old family ends with the last of them")
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200


def test_a_connection_that_was_only_opened_before_is_inspected_and_logged_after(proxy, world, starts):
    """Its hello comes when the state has another keeper: the old worker speaks to that one."""
    made = proxy("--drain-timeout", "60s")
    server = _echo(world, starts)
    with socket.create_connection(("127.0.0.1", made.port), PATIENCE) as sock:
        sock.settimeout(PATIENCE)
        sock.sendall(f"CONNECT site.test:{server.port} HTTP/1.1\r\nHost: site.test:{server.port}\r\n\r\n".encode())
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        made.upgraded()
        with clients.context(made.ca).wrap_socket(sock, server_hostname="site.test") as tls:
            tls.sendall(b"late\n")
            assert tls.recv(100) == b"late\n"
    eventually(lambda: lines.objects(made.state / "audit.log", "inspected"), "the entry")
    _chain(made.state)


def test_the_old_family_ends_at_its_drain_deadline(proxy, world, starts):
    made = proxy("--drain-timeout", "1s")
    held = _open(made, _echo(world, starts))
    made.upgraded()
    assert made.process.popen.wait(PATIENCE) == 0
    assert "drain deadline passed" in made.log()
    held.close()


def test_outputs_go_on_in_the_same_files(proxy, world, starts, nginx, folder):
    made = proxy("--drain-timeout", "60s", "--pcapng", folder / "plain.pcapng")
    held = _open(made, _echo(world, starts))
    assert made.curl(f"https://site.test:{nginx.port}/?before").status == 200
    made.wait_event(events.is_request("/?before"), "the request before")
    eventually(lambda: b"/?before" in (folder / "plain.pcapng").read_bytes(), "its plaintext")
    made.upgraded()
    assert made.curl(f"https://site.test:{nginx.port}/?after").status == 200
    assert _answers(held, b"the old one writes too\n")
    held.close()
    made.wait_event(events.is_request("/?after"), "the request after")
    eventually(lambda: all(word in (folder / "plain.pcapng").read_bytes()
                           for word in (b"/?before", b"/?after", b"the old one writes too")), "all three")
    if shutil.which("tshark"):
        done = clients.run("tshark", "-r", folder / "plain.pcapng", "-Y", "http.request", "-T", "fields", "-e",
                           "http.request.uri")
        assert done.returncode == 0 and done.stdout.split() == [b"/?before", b"/?after"], done.stderr


def test_counters_are_served_by_the_new_program(proxy, free_port):
    port = free_port()
    made = proxy("--metrics", f"127.0.0.1:{port}")
    made.upgraded()
    assert clients.curl(f"http://127.0.0.1:{port}/health").status == 200


@pytest.fixture
def free_port():
    """Ports that nobody else gets meanwhile."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(servers.Reserved())).port


def test_a_new_program_is_the_one_that_stands_at_the_path_now(proxy, program, nginx):
    path, replace = program
    made = proxy(before=None, start=False)
    made.command[0] = path
    made.start()
    replace()
    made.upgraded()
    assert os.stat(f"/proc/{made.current}/exe").st_ino == path.stat().st_ino
    assert os.stat(f"/proc/{made.process.pid}/exe").st_ino != path.stat().st_ino or made.process.popen.poll() == 0
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200


def test_changed_rules_and_another_listener_are_taken_up(proxy, nginx, free_port):
    ports = [free_port(), free_port()]
    made = proxy(listen=(), config=f"listen: ['127.0.0.1:{ports[0]}']\n")
    made.ports = ports
    made.wait_log("ready workers")
    made.config_file.write_text(f"listen: ['127.0.0.1:{ports[1]}', '127.0.0.1:{ports[0]}']\n")
    made.rules_file.write_text(settings.rules(settings.rule("block", name=["block.test"])))
    made.upgraded()
    for port in ports:
        # The old workers hear in a moment that they shall accept no more.
        eventually(lambda p=port: all(made.curl(f"https://block.test:{nginx.port}/", proxy=p).status == 0 for _ in range(5)),
                   "the new rule")
        assert made.curl(f"https://site.test:{nginx.port}/", proxy=port).status == 200


def test_the_service_manager_learns_who_is_the_main_process(world, folder, starts):
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.settimeout(PATIENCE)
        made = starts(Upgradable(trust=world.trust, env={"NOTIFY_SOCKET": str(path)}))
        assert b"READY=1" in told.recv(4096)
        made.upgraded()
        assert told.recv(4096) == f"MAINPID={made.current}".encode()
        assert b"READY=1" in told.recv(4096)
        made.stop()
        assert b"STOPPING=1" in told.recv(4096)


def test_to_stop_right_after_an_upgrade_stops_both_and_drains_both(proxy, world, starts):
    made = proxy("--drain-timeout", "60s")
    held = _open(made, _echo(world, starts))
    old = made.upgraded()
    newer = _open(made, _echo(world, starts))
    for pid in (old, made.current):
        os.kill(pid, signal.SIGTERM)
    made.wait_log("draining signal=SIGTERM")
    assert _answers(held, b"two\n") and _answers(newer, b"two\n")
    held.close()
    newer.close()
    eventually(lambda: not _lives(made.current), "the new family ends")
    assert made.process.wait() == 0


# Upgrades that fail

@pytest.mark.parametrize("fault", ["rules", "configuration", "no program", "a program that ends", "a program that dies"])
def test_a_failed_upgrade_leaves_the_old_one_serving_and_says_why_in_one_line(fault, proxy, program, nginx, world, starts):
    path, replace = program
    made = proxy(start=False, config="idle-timeout: 5m\n")
    made.command[0] = path
    made.start()
    held = _open(made, _echo(world, starts))
    if fault == "rules":
        made.rules_file.write_text("default: perhaps\n")
        why = r"rules\.yaml:1:\d+"
    elif fault == "configuration":
        made.config_file.write_text("idle-timeout: 5m\nno-such-option: 1\n")
        why = r"overt\.yaml:2:\d+"
    elif fault == "no program":
        path.unlink()
        why = "cannot be started: No such file"
    elif fault == "a program that ends":
        replace("#!/bin/sh\nexit 7\n")
        why = "ended with status 7"
    else:
        replace("#!/bin/sh\nkill -KILL $$\n")
        why = "died of signal 9"
    seen = made.upgrade()
    line = made.wait_log(r"upgrade failed (.*)", after=seen)[1]
    assert re.search(why, line), line
    assert made.log().count("upgrade failed") == 1
    assert _answers(held, b"two\n")
    held.close()
    assert all(made.curl(f"https://site.test:{nginx.port}/").status == 200 for _ in range(5))
    assert not [e for e in _chain(made.state) if e["kind"] == "stop"], "its keeper never let go"


def test_after_a_failed_upgrade_the_next_one_can_go_well(proxy, nginx):
    made = proxy()
    good = made.rules_file.read_text()
    made.rules_file.write_text("default: perhaps\n")
    made.wait_log("upgrade failed", after=made.upgrade())
    made.rules_file.write_text(good)
    made.upgraded()
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200


def test_a_new_program_that_dies_with_the_state_in_its_hands_gives_it_back(proxy, nginx, world, starts):
    """The last moment at which it can fail: the old keeper has closed the state, the new one cannot open it."""
    made = proxy("--drain-timeout", "60s")
    held = _open(made, _echo(world, starts))
    store = made.state / "refusals.db"
    os.replace(store, made.state / "refusals.aside")
    store.mkdir()
    seen = made.upgrade()
    line = made.wait_log(r"upgrade failed (.*)", after=seen)[1]
    assert "refusals" in line, line
    store.rmdir()
    eventually(lambda: made.curl(f"https://site.test:{nginx.port}/").status == 200, "inspected again")
    assert _answers(held, b"two\n")
    held.close()
    kinds = [e["kind"] for e in _chain(made.state)]
    assert kinds.index("stop") < len(kinds) - 1 - kinds[::-1].index("start"), "it says that it started again"
    made.upgraded()
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200


def test_a_stop_while_another_program_starts_stops_both(proxy, program):
    path, replace = program
    made = proxy(start=False)
    made.command[0] = path
    made.start()
    replace("#!/bin/sh\nexec sleep 600\n")
    made.upgrade()
    number = int(made.wait_log(r"upgrading .*process=(\d+)")[1])
    seen = made.upgrade()
    assert "under way" in made.wait_log(r"upgrade failed (.*)", after=seen)[1]
    made.stop()
    assert not _lives(number)


def test_single_says_that_it_cannot(world, starts):
    made = starts(Upgradable("--single", trust=world.trust))
    assert "--single" in made.wait_log(r"upgrade failed (.*)", after=made.upgrade())[1]


def test_a_stray_variable_is_an_error_and_no_upgrade(folder):
    code, _, err = overt.run("proxy", "--state", folder / "state", "--listen", "127.0.0.1:0", "-q",
                             env={"OVERT_UPGRADE": "0"})
    assert code == 2 and "OVERT_UPGRADE" in err
