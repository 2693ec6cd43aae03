"""Programs as they are in Debian, whose keys go by way of their host's shipper to a collector, and from there to a reader
who captures elsewhere: what they say is read as HTTP. Then many programs at once. (Go: test_share_uprobe.py.)"""

import array
import itertools
import json
import mmap
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
from lab import clients, overt, servers, watch
from lab.collect import Collector, Key, Place
from lab.proc import PATIENCE, Process, eventually
from lab.servers import needs_program

pytestmark = overt.requires("exec --share --collector", "collect", "grant", "watch --collector")

TERMS = {"names": ("*",), "consent": "unilateral"}


@pytest.fixture
def place(folder):
    return Place(folder)


@pytest.fixture
def collector(place, starts):
    place.grant(**TERMS)
    return starts(Collector(place))


class Sender:
    """`overt exec --share --collector`: words that stand before a program."""

    def __init__(self, place, collector, folder, *options, release=False):
        self.words = [overt.binary(release=release), "exec", "--share", "--collector", collector.address, "--certificate",
                      place.dir / "web1.pem", "--grants", place.dir / "grants", "--signer", place.dir / "signers",
                      "--audit", folder / "release.log", *options, "--"]

    def run(self, *command, stdin=subprocess.DEVNULL, **environment):
        done = subprocess.run([str(word) for word in (*self.words, *command)], capture_output=True, text=True, stdin=stdin,
                              timeout=PATIENCE * 2, env=clients.environment(**{**overt.SANITIZER_OPTIONS, **environment}))
        assert not overt.SANITIZER.search(done.stderr), done.stderr
        return done


@pytest.fixture
def sender(place, collector, folder):
    return Sender(place, collector, folder)


def _all_arrived(text, least):
    """Every key that was offered is with the collector."""
    found = re.search(r"(\d+) keys: 0 under no grant; (\d+) sealed, of which the collector has (\d+) and refused 0", text)
    assert found and found[1] == found[2] == found[3] and int(found[1]) >= least, text
    assert "not taken in time" not in text and "not released" not in text, text


def _is_read(running, path, status=200):
    """The request and its answer, in the words of the protocol inside."""
    assert running.wait(rf'"type":"request".*"path":"{re.escape(path)}"')["path"] == path
    assert running.wait(rf'"type":"response".*"status":{status}')["status"] == status


def _url(server, path="/"):
    return f"https://site.test:{server.port}{path}"


# Clients

URLLIB = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
print(urllib.request.urlopen(sys.argv[2], context=context).read().decode())
"""
CLIENTS = {
    "curl": lambda world, server, folder: ["curl", "-q", "-sS", "--max-time", "20", "--cacert", world.trust, _url(server)],
    "wget": lambda world, server, folder: ["wget", "-q", "-O", "-", "--ca-certificate", world.trust, _url(server)],
    "python": lambda world, server, folder: ["/usr/bin/python3", clients.script(folder, "f.py", URLLIB), world.trust,
                                             _url(server)],
}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_client_says_is_read_elsewhere(client, place, collector, sender, nginx, world, starts, folder):
    running = starts(watch.live(nginx.port, *place.reading(collector)))
    done = sender.run(*CLIENTS[client](world, nginx, folder))
    assert done.returncode == 0 and "nginx says hello" in done.stdout, done.stderr
    _is_read(running, "/")
    _all_arrived(done.stderr, 2)


def test_what_haproxy_says_to_its_server_is_read_elsewhere(place, collector, sender, nginx, world, starts, folder):
    proxy = starts(servers.Haproxy(nginx.port, trust=world.trust, under=sender.words))
    running = starts(watch.live(nginx.port, *place.reading(collector)))
    done = clients.run("curl", "-q", "-sS", "--max-time", "20", f"http://127.0.0.1:{proxy.port}/who")
    assert b"subject=" in done.stdout, done.stderr
    _is_read(running, "/who")
    proxy.process.terminate()
    _all_arrived(proxy.process.err.text(), 2)


# Servers

PYTHON = """
import http.server, socket, ssl, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"hi\\n")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:3])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


class Python:
    def __init__(self, chain, key, folder, under):
        self.process = Process(*under, "/usr/bin/python3", clients.script(folder, "server.py", PYTHON), chain, key)
        self.port = int(self.process.out.wait(r"^(\d+)").group(1))

    def stop(self):
        self.process.stop()


SERVERS = {
    "nginx": lambda files, folder, under, origin: servers.Nginx(*files, user="nobody nogroup", under=under),
    "apache": lambda files, folder, under, origin: servers.Apache(*files, protocols="http/1.1", under=under),
    "haproxy": lambda files, folder, under, origin: servers.Haproxy(origin, files=files, under=under),
    "gnutls-serv": lambda files, folder, under, origin: servers.GnutlsServer(*files, under=under),
    "python": lambda files, folder, under, origin: Python(*files, folder, under),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_what_a_server_says_is_read_elsewhere(kind, place, collector, sender, nginx, world, starts, folder):
    server = starts(SERVERS[kind](world.files("site.test"), folder, sender.words, nginx.plain_port))
    running = starts(watch.live(server.port, *place.reading(collector)))
    path = "/index.html" if kind == "apache" else "/"
    for _ in range(2):
        done = clients.run("curl", "-q", "-sS", "--max-time", "20", "--cacert", world.trust, _url(server, path))
        assert done.returncode == 0 and done.stdout, done.stderr
    _is_read(running, path)
    server.process.terminate()
    _all_arrived(server.process.err.text(), 4)


# Programs with a TLS library inside, which can give no more than lines of a key log: an ordinary grant is enough, of the
# very name they ask for, since the host sees their hellos, and makes the keys of records of each line.

NODE = """
const https = require('https'), fs = require('fs'), [url, trust, most] = process.argv.slice(2);
https.get(url, {ca: fs.readFileSync(trust), agent: false, maxVersion: most || 'TLSv1.3'},
          r => { r.setEncoding('utf8'); r.on('data', d => console.log(d)); });
"""


def _node(world, server, folder, *more):
    return [needs_program("node"), clients.script(folder, "f.js", NODE), _url(server), world.trust, *more]


def _chromium(world, server, folder):
    program, certutil = needs_program("chromium"), needs_program("certutil")
    database = folder / ".pki" / "nssdb"
    _trust(certutil, database, world)
    return ["env", f"HOME={folder}", program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-sync", "--disable-background-networking", "--disable-component-update",
            "--disable-dev-shm-usage", "--host-resolver-rules=MAP * 127.0.0.1", f"--user-data-dir={folder}/profile",
            "--dump-dom", _url(server)]


def _trust(certutil, database, world):
    database.mkdir(parents=True)
    subprocess.run([certutil, "-N", "--empty-password", "-d", f"sql:{database}"], check=True)
    subprocess.run([certutil, "-A", "-d", f"sql:{database}", "-n", "overt", "-t", "C,,", "-i", world.trust], check=True)


# It asks nobody but the server that it is sent to.
FIREFOX = {
    "network.dns.localDomains": "site.test", "network.proxy.type": 1, "network.proxy.no_proxies_on": "site.test",
    "network.proxy.http": "127.0.0.1", "network.proxy.http_port": 1, "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 1, "network.trr.mode": 5, "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False, "network.http.speculative-parallel-limit": 0,
    "services.settings.server": "http://127.0.0.1:1/v1", "browser.safebrowsing.provider.mozilla.updateURL": "",
    "datareporting.policy.dataSubmissionEnabled": False, "browser.shell.checkDefaultBrowser": False,
    "app.normandy.enabled": False, "app.update.enabled": False, "extensions.update.enabled": False,
}


def _firefox(world, server, folder):
    program, certutil = needs_program("firefox-esr"), needs_program("certutil")
    profile = folder / "profile"
    _trust(certutil, profile, world)
    (profile / "user.js").write_text("".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
                                             for name, value in FIREFOX.items()))
    return ["env", f"HOME={folder}", program, "--headless", "--no-remote", "--profile", profile, "--screenshot",
            folder / "shot.png", _url(server)]


PROGRAMS = {"node": _node, "chromium": _chromium, "firefox": _firefox}


@pytest.fixture
def named(place, starts):
    """A collector, and a grant for the one name that a program asks for."""
    place.grant(names=("site.test",), consent="unilateral")
    return starts(Collector(place))


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_a_program_says_that_only_writes_lines_is_read_elsewhere(program, place, named, nginx, world, starts, folder):
    running = starts(watch.live(nginx.port, *place.reading(named)))
    done = Sender(place, named, folder).run(*PROGRAMS[program](world, nginx, folder))
    assert done.returncode == 0 and "is not reached by the agent" in done.stderr, done.stderr
    _is_read(running, "/")
    _all_arrived(done.stderr, 2)
    assert "the hellos were not seen" not in done.stderr, done.stderr
    assert {entry["grade"] for entry in place.entries("release")} == {"record"}


def test_of_tls_1_2_the_hellos_give_what_a_line_lacks(place, named, nginx, world, starts, folder):
    running = starts(watch.live(nginx.port, *place.reading(named)))
    done = Sender(place, named, folder).run(*_node(world, nginx, folder, "TLSv1.2"))
    assert done.returncode == 0 and "nginx says hello" in done.stdout, done.stderr
    _is_read(running, "/")
    _all_arrived(done.stderr, 2)


# Waiting for packets fails, and for nothing else.
NO_PACKETS = """
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

int poll(struct pollfd *fds, nfds_t count, int ms)
{
	int domain = 0;
	socklen_t len = sizeof(domain);
	struct timespec wait = {ms / 1000, ms % 1000 * 1000000L};
	int before = errno;
	if (count > 0 && getsockopt(fds->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_PACKET) {
		errno = ENOMEM;
		return -1;
	}
	errno = before;
	return ppoll(fds, count, ms < 0 ? 0 : &wait, 0);
}
"""


def test_a_capture_of_hellos_that_ends_early_is_said_with_what_that_means(place, named, nginx, world, folder):
    (folder / "poll.c").write_text(NO_PACKETS)
    shim = folder / "poll.so"
    done = clients.run(needs_program("cc"), "-shared", "-fPIC", "-O1", "-o", shim, folder / "poll.c")
    assert done.returncode == 0, done.stderr
    sender = Sender(place, named, folder, release=True)
    done = sender.run(*_node(world, nginx, folder, "TLSv1.2"), LD_PRELOAD=str(shim))
    assert done.returncode == 0 and "nginx says hello" in done.stdout, done.stderr
    said = re.findall(r"^overt exec: no more hellos are captured from now on: (.*)", done.stderr, re.M)
    assert len(said) == 1 and said[0].startswith("waiting for packets: Cannot allocate memory: keys of TLS 1.3"), done.stderr
    assert said[0].endswith("those of TLS 1.2 not at all")


# A program that nobody expects to write lines: then no hellos are captured.

def _s_client(nginx, world, folder, *more):
    script = 'exec env -u LD_PRELOAD openssl s_client -keylogfile "$OVERT_SHARE_FIFO" "$@"'
    return ["sh", "-c", script, "sh", "-connect", f"127.0.0.1:{nginx.port}", "-servername", "site.test", "-CAfile",
            world.trust, *more]


GET = "GET /%s HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_where_no_hellos_are_seen_the_reader_finds_the_suite(suite, place, collector, nginx, world, starts, folder):
    running = starts(watch.live(nginx.port, *place.reading(collector)))
    (folder / "asked").write_text(GET % "who")
    with open(folder / "asked", encoding="ascii") as asked:
        done = Sender(place, collector, folder).run(*_s_client(nginx, world, folder, "-ciphersuites", suite, "-quiet",
                                                               "-ign_eof"), stdin=asked)
    assert "HTTP/1.1 200" in done.stdout, done.stderr
    _is_read(running, "/who")
    _all_arrived(done.stderr, 2 if suite == "TLS_AES_256_GCM_SHA384" else 4)
    assert "of 2 secrets of TLS 1.3 the hellos were not seen" in done.stderr, done.stderr


def test_of_tls_1_2_nothing_leaves_without_the_hellos_and_that_is_said(place, collector, nginx, world, folder):
    done = Sender(place, collector, folder).run(*_s_client(nginx, world, folder, "-tls1_2"))
    assert "of 1 secrets of TLS 1.2 the hellos were not seen: no keys can be made of them" in done.stderr, done.stderr
    assert "overt exec: 0 keys:" in done.stderr, done.stderr


def _change_keys_and_ask(run):
    run.out.wait("Verify return code")
    run.write(b"K\n")
    run.err.wait("KEYUPDATE")
    run.write((GET % "who").encode())
    run.out.wait("HTTP/1.1 200")


def test_keys_after_a_keyupdate_come_of_lines_that_name_no_epoch(place, collector, nginx, world, starts, folder):
    running = starts(watch.live(nginx.port, *place.reading(collector)))
    run = starts(Process(*Sender(place, collector, folder).words, *_s_client(nginx, world, folder),
                         env=clients.environment(**overt.SANITIZER_OPTIONS), stdin=subprocess.PIPE))
    _change_keys_and_ask(run)
    _is_read(running, "/who")
    run.wait()
    logged = [json.loads(line) for line in (folder / "release.log").read_text().splitlines()]
    epochs = {(entry["direction"], entry["epoch"]) for entry in logged if entry["kind"] == "release"}
    assert epochs == {(side, epoch) for side in ("client", "server") for epoch in (0, 1)}


def test_what_is_said_after_a_keyupdate_is_read_where_the_program_runs(nginx, world, starts, folder):
    shown = folder / "share.jsonl"
    run = starts(Process(overt.binary(), "exec", "--share", "--interface", "lo", "--jsonl", shown, "--",
                         *_s_client(nginx, world, folder), env=clients.environment(**overt.SANITIZER_OPTIONS),
                         stdin=subprocess.PIPE))
    _change_keys_and_ask(run)
    run.wait()
    events = [json.loads(line) for line in shown.read_text().splitlines()]
    assert [event["path"] for event in events if event["type"] == "request"] == ["/who"], run.err.text()
    assert [event["status"] for event in events if event["type"] == "response"] == [200], run.err.text()


# Where secrets are, and are not.

LINGER = """
const https = require('https'), fs = require('fs'), [url, trust, log] = process.argv.slice(2);
const asked = https.get(url, {ca: fs.readFileSync(trust), agent: false, ciphers: 'TLS_AES_128_GCM_SHA256'},
                        r => { r.setEncoding('utf8'); r.on('data', d => console.log(d)); });
asked.on('socket', s => s.on('keylog', line => fs.appendFileSync(log, line)));
process.stdin.resume();
"""


def _present(pagemap, first, behind):
    """(address, octets) of each run of pages that are there, or swapped out: a sanitizer maps far more than it uses."""
    pagemap.seek(first // mmap.PAGESIZE * 8)
    pages = array.array("Q", pagemap.read((behind - first) // mmap.PAGESIZE * 8))
    for there, run in itertools.groupby(range(len(pages)), key=lambda page: pages[page] >> 62 > 0):
        if there:
            run = list(run)
            yield first + run[0] * mmap.PAGESIZE, len(run) * mmap.PAGESIZE


def _holds(pid, *needles):
    """Those of them that stand in what the process has in memory, but for its files."""
    found, proc = set(), pathlib.Path(f"/proc/{pid}")
    places = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw\S+ \S+ \S+ 0 ", (proc / "maps").read_text(), re.M)
    with open(proc / "mem", "rb", 0) as memory, open(proc / "pagemap", "rb", 0) as pagemap:
        for first, behind in places:
            if int(behind, 16) - int(first, 16) > 1 << 34:
                continue
            for at, size in _present(pagemap, int(first, 16), int(behind, 16)):
                memory.seek(at)
                octets = memory.read(size)
                found |= {needle for needle in needles if needle in octets}
    return found


def test_the_secrets_of_lines_are_nowhere_but_in_their_program(place, nginx, world, starts, folder):
    program, log, spool = needs_program("node"), folder / "own.keys", folder / "spool"
    place.grant(names=("site.test",), consent="unilateral")
    collector = starts(Collector(place, "--spool", spool))
    running = starts(watch.live(nginx.port, *place.reading(collector)))
    run = starts(Process(*Sender(place, collector, folder, release=True).words, program,
                         clients.script(folder, "f.js", LINGER), _url(nginx), world.trust, log, env=clients.environment(**overt.SANITIZER_OPTIONS), stdin=subprocess.PIPE))
    run.out.wait("nginx says hello")
    _is_read(running, "/")
    text = log.read_text()
    secrets = {octets for digits in re.findall(r"^\S+ \S+ ([0-9a-f]{64})$", text, re.M)
               for octets in (digits.encode(), bytes.fromhex(digits))}
    keys = {key.key for key in Key.of_log(text)}
    assert len(secrets) == 10 and len(keys) == 2, text
    # The reader has the keys, so that this can fail; they have left the host.
    assert _holds(running.process.pid, *keys, *secrets) == keys
    eventually(lambda: not _holds(run.pid, *keys, *secrets), "the host has wiped them")
    assert not _holds(collector.process.pid, *keys, *secrets)
    files = [path for path in folder.rglob("*") if path.is_file() and path != log]
    assert spool in files and folder / "release.log" in files
    assert not [path for path in files if any(needle in path.read_bytes() for needle in (*secrets, *keys))]


# Many at once

MANY = """
import os, socket, ssl, sys
trust, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
context = ssl.create_default_context(cafile=trust)
said, say = os.pipe()
stay, go = os.pipe()
def ask(number):
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="site.test") as tls:
        tls.sendall(b"GET /who?%d HTTP/1.1\\r\\nHost: site.test\\r\\n\\r\\n" % number)
        good = tls.recv(4096).startswith(b"HTTP/1.1 200")
        os.write(say, b"+" if good else b"-")
        os.close(go)
        os.read(stay, 1)
for number in range(count):
    if os.fork() == 0:
        try:
            ask(number)
        finally:
            os._exit(0)
answers = b"".join(os.read(said, 1) for _ in range(count))
print("answered", answers.count(b"+"), flush=True)
os.close(go)
for _ in range(count):
    os.wait()
"""


def test_a_hundred_programs_share_at_once(place, collector, nginx, world, folder):
    """Each a process with a ring of its own, and all of them there at the same time."""
    sender = Sender(place, collector, folder, "--verbose", "--deadline", "20000")
    done = sender.run("/usr/bin/python3", clients.script(folder, "many.py", MANY), world.trust, nginx.port, 100)
    assert "answered 100" in done.stdout, done.stderr
    _all_arrived(done.stderr, 200)
    assert len(set(re.findall(r"python3\[(\d+)\] shares its keys", done.stderr))) >= 1, done.stderr
    assert re.search(r"overt exec: 100 waits, p50 [\d.]+ us", done.stderr), done.stderr


def test_the_benchmark_of_sharing_works(folder):
    """A little of everything; no limit is judged."""
    build = pathlib.Path(overt.binary(release=True)).parent
    if not (build / "bench" / "keys_client").exists() or not shutil.which("nginx", path="/usr/sbin:/usr/bin"):
        pytest.skip("the programs of the benchmark are not built, or nginx is not installed")
    if len(os.sched_getaffinity(0)) < 2 or os.getuid() != 0:
        pytest.skip("needs two CPUs and to be root")
    top = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run(["/usr/bin/python3", "-B", top / "bench" / "harness" / "keys.py", "--quick", "--no-build",
                           "--build", build], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("keys/s of one core", "applications at once", "ack host", "after rotation", "ack collector",
                  "acknowledgement p50"):
        assert words in done.stdout, done.stdout
