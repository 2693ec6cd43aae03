"""Programs as they are in Debian, whose keys go by way of their host's shipper to a collector, and from there to a reader
who captures elsewhere: what they say is read as HTTP. Then many programs at once. (Go: test_share_uprobe.py.)"""

import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
from lab import clients, overt, servers, watch
from lab.collect import Collector, Place
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

    def __init__(self, place, collector, folder, *options):
        self.words = [overt.binary(), "exec", "--share", "--collector", collector.address, "--certificate",
                      place.dir / "web1.pem", "--grants", place.dir / "grants", "--signer", place.dir / "signers",
                      "--audit", folder / "release.log", *options, "--"]

    def run(self, *command, stdin=subprocess.DEVNULL):
        done = subprocess.run([str(word) for word in (*self.words, *command)], capture_output=True, text=True, stdin=stdin,
                              timeout=PATIENCE * 2, env=clients.environment(**overt.SANITIZER_OPTIONS))
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


# Programs with a TLS library inside. All that they can give is a key log, whose lines need a grant for such; they go to the
# collector by what is on every host.

NODE = """
const https = require('https'), fs = require('fs');
https.get(process.argv[2], {ca: fs.readFileSync(process.argv[3]), agent: false},
          r => { r.setEncoding('utf8'); r.on('data', d => console.log(d)); });
"""


@pytest.fixture
def lines(place, starts, folder):
    """A FIFO, from which lines of a key log go to the collector; and the collector."""
    place.grant(grade="raw", **TERMS)
    collector, fifo = starts(Collector(place)), folder / "lines"
    os.mkfifo(fifo)
    starts(Process("sh", "-c", 'exec openssl s_client -quiet -no_ign_eof -verify_return_error -connect "$1" -CAfile "$2" '
                   '-cert "$3" -key "$4" < "$5"', "-", collector.address, place.dir / "ca.pem", place.dir / "web1.pem",
                   place.dir / "web1.key", fifo))
    return collector, fifo


def test_what_node_says_is_read_elsewhere(place, lines, nginx, world, starts, folder):
    program, (collector, fifo) = needs_program("node"), lines
    running = starts(watch.live(nginx.port, *place.reading(collector)))
    done = clients.run(program, f"--tls-keylog={fifo}", clients.script(folder, "f.js", NODE), _url(nginx), world.trust)
    assert b"nginx says hello" in done.stdout, done.stderr
    _is_read(running, "/")


def test_what_chromium_says_is_read_elsewhere(place, lines, nginx, world, starts, folder):
    program, certutil, (collector, fifo) = needs_program("chromium"), needs_program("certutil"), lines
    database = folder / ".pki" / "nssdb"
    database.mkdir(parents=True)
    subprocess.run([certutil, "-N", "--empty-password", "-d", f"sql:{database}"], check=True)
    subprocess.run([certutil, "-A", "-d", f"sql:{database}", "-n", "overt", "-t", "C,,", "-i", world.trust], check=True)
    running = starts(watch.live(nginx.port, *place.reading(collector)))
    done = clients.run(program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
                       "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
                       "--host-resolver-rules=MAP * 127.0.0.1", f"--user-data-dir={folder}/profile", "--dump-dom",
                       _url(nginx), env={"HOME": str(folder), "SSLKEYLOGFILE": str(fifo)})
    assert b"nginx says hello" in done.stdout, done.stderr
    _is_read(running, "/")


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
                           "--build", build], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("keys/s of one core", "applications at once", "ack host", "after rotation", "ack collector",
                  "acknowledgement p50"):
        assert words in done.stdout, done.stdout
