"""`overt exec --share`: the connections of an unmodified program, read off the wire with the keys of its own records, which
an agent in it gives away. No proxy, no CA, and nothing on the wire that would not be there otherwise."""

import base64
import hashlib
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from lab import clients, overt, servers, sharing, still
from lab.proc import PATIENCE, Process, eventually
from lab.servers import needs_program
from lab.sharing import Server, both_versions, curl, needs_capture, url

pytestmark = overt.requires("exec --share --late")


@pytest.fixture
def share(folder):
    """share(command ..., options=(), env=None): the command under `overt exec --share`, to its end."""
    return lambda *command, options=(), **knobs: sharing.run(folder, *command, options=("--verbose", *options), **knobs)


# Clients

NODE = """
const https = require('https'), fs = require('fs');
https.get(process.argv[2], {ca: fs.readFileSync(process.argv[3]), agent: false},
          r => { r.setEncoding('utf8'); r.on('data', d => console.log(d)); });
"""
DLOPEN = """
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* A program that finds every function by itself. */
int main(int count, char **words)
{
	void *tls = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL), *crypto = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
	void *(*method)(void) = dlsym(tls, "TLS_client_method");
	void *(*ctx_new)(void *) = dlsym(tls, "SSL_CTX_new");
	void *(*new_connect)(void *) = dlsym(crypto, "BIO_new_connect");
	void *(*ssl_new)(void *) = dlsym(tls, "SSL_new");
	void (*set_bio)(void *, void *, void *) = dlsym(tls, "SSL_set_bio");
	int (*do_connect)(void *) = dlsym(tls, "SSL_connect");
	int (*do_write)(void *, const void *, int) = dlsym(tls, "SSL_write");
	int (*do_read)(void *, void *, int) = dlsym(tls, "SSL_read");
	char where[64], text[4096];
	snprintf(where, sizeof(where), "127.0.0.1:%s", words[count - 1]);
	void *ssl = ssl_new(ctx_new(method())), *bio = new_connect(where);
	set_bio(ssl, bio, bio);
	if (do_connect(ssl) != 1)
		return 1;
	const char *ask = "GET / HTTP/1.1\\r\\nHost: site.test\\r\\nConnection: close\\r\\n\\r\\n";
	do_write(ssl, ask, (int)strlen(ask));
	int n = do_read(ssl, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	puts(text);
	return 0;
}
"""


CLIENTS = {
    **sharing.CLIENTS,
    "node": lambda world, server, folder: [needs_program("node"), clients.script(folder, "f.js", NODE), url(server),
                                           world.trust],
    "gnutls-cli": lambda world, server, folder: [
        "sh", "-c", f"{sharing.ASK} {needs_program('gnutls-cli')} --logfile=/dev/null --x509cafile {world.trust} "
        f"-p {server.port} site.test"],
    "dlsym": lambda world, server, folder: [sharing.compiled(folder, "found", DLOPEN), server.port],
}


@needs_capture
@both_versions
@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_client_says_is_read(client, server, world, share, folder):
    seen = share(*CLIENTS[client](world, server, folder))
    assert seen.code == 0 and "nginx says hello" in seen.out, seen.err
    seen.whole("/")


@needs_capture
def test_http_2_is_read(nginx_h2, world, share):
    seen = share("curl", "-q", "-sS", "--http2", "--cacert", world.trust, f"https://h2.test:{nginx_h2.port}/")
    seen.whole("/")
    assert seen.of("tls")[0]["alpn"] == "h2"


@needs_capture
def test_git_is_read(nginx, world, share):
    seen = share("git", "-c", "http.sslVerify=false", "ls-remote", url(nginx, "/repository.git"))
    assert seen.code != 0 and seen.verdicts == (1, 0, 0), seen.err
    assert len(seen.paths) == 1 and seen.paths[0].startswith("/repository.git/info/refs"), seen.err


@needs_capture
def test_chromium_is_read(nginx, world, share, folder):
    program, certutil = needs_program("chromium"), needs_program("certutil")
    database = folder / ".pki" / "nssdb"
    database.mkdir(parents=True)
    subprocess.run([certutil, "-N", "--empty-password", "-d", f"sql:{database}"], check=True)
    subprocess.run([certutil, "-A", "-d", f"sql:{database}", "-n", "overt", "-t", "C,,", "-i", world.trust], check=True)
    seen = share(program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
                 "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
                 "--host-resolver-rules=MAP * 127.0.0.1", f"--user-data-dir={folder}/profile", "--dump-dom", url(nginx))
    assert "nginx says hello" in seen.out, seen.err
    assert "/" in seen.paths and seen.verdicts[0] >= 1, seen.err
    assert re.search(r"overt exec: chromium\S* is not reached by the agent: .* SSLKEYLOGFILE", seen.err), seen.err


@needs_capture
def test_node_is_said_to_be_read_by_its_own_option(nginx, world, share, folder):
    seen = share(*CLIENTS["node"](world, nginx, folder))
    assert re.search(r"overt exec: \S*node\S*\[\d+\] is not reached by the agent: .*--tls-keylog", seen.err) or \
        "shares its keys" in seen.err, seen.err


@needs_capture
def test_of_a_program_that_cannot_be_made_to_wait_it_is_said_that_the_rules_do_not_hold(nginx, world, share, folder):
    seen = share(*CLIENTS["node"](world, nginx, folder), options=["--late", "closed"])
    assert seen.code == 0 and re.search(
        r"--tls-keylog, asynchronously: it does not wait for them, whatever --late and --ack say\n", seen.err) or \
        "shares its keys" in seen.err, seen.err


STATIC = "int main(void) { return 7; }"


@needs_capture
def test_a_static_program_is_said_to_be_out_of_reach(share, folder):
    seen = share(sharing.compiled(folder, "fixed", STATIC, "-static"))
    assert seen.code == 7
    assert re.search(r"overt exec: \S*fixed is out of reach: it is linked statically", seen.err), seen.err


# Nobody can tell

def _pin(world, nginx):
    """The pin that curl wants: SHA-256 of the SubjectPublicKeyInfo."""
    pem = ssl.get_server_certificate(("127.0.0.1", nginx.port))
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256//" + base64.b64encode(hashlib.sha256(spki).digest()).decode()


@needs_capture
def test_a_client_that_pins_its_server_is_read(nginx, world, share):
    seen = share(*curl(world, nginx, "--pinnedpubkey", _pin(world, nginx), path="/who"))
    assert seen.code == 0, seen.err
    seen.whole("/who")


PINNED = """
import hashlib, socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname="site.test") as tls:
    if hashlib.sha256(tls.getpeercert(True)).hexdigest() != sys.argv[3]:
        sys.exit("not the certificate that is pinned")
    tls.sendall(b"GET /who HTTP/1.1\\r\\nHost: site.test\\r\\nConnection: close\\r\\n\\r\\n")
    print(tls.recv(4096).decode())
"""


@needs_capture
def test_a_python_program_that_pins_a_certificate_is_read(nginx, world, share, folder):
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", nginx.port)))
    seen = share("/usr/bin/python3", clients.script(folder, "pinned.py", PINNED), world.trust, nginx.port,
                 hashlib.sha256(der).hexdigest())
    assert seen.code == 0, seen.err
    seen.whole("/who")


HELLO = """
import socket, ssl, sys
with socket.create_server(("127.0.0.1", 0)) as door:
    print(door.getsockname()[1], flush=True)
    for _ in range(2):
        peer, _ = door.accept()
        print(peer.recv(65536).hex(), flush=True)
        peer.close()
"""


def _shape(hello):
    """A ClientHello without what is random in every one: random, session id, key shares' octets."""
    octets = bytearray(bytes.fromhex(hello))
    octets[11:43] = bytes(32)
    if octets[43]:
        octets[44:44 + octets[43]] = bytes(octets[43])
    return octets


def _extensions(hello):
    octets = bytes.fromhex(hello)
    at = 44 + octets[43]
    at += 2 + int.from_bytes(octets[at:at + 2], "big")
    at += 1 + octets[at]
    end, at, found = at + 2 + int.from_bytes(octets[at:at + 2], "big"), at + 2, []
    while at < end:
        found.append(int.from_bytes(octets[at:at + 2], "big"))
        at += 4 + int.from_bytes(octets[at + 2:at + 4], "big")
    return found


@needs_capture
@pytest.mark.parametrize("client", ["curl", "wget"])
def test_the_server_sees_the_very_same_hello(client, share, starts, folder):
    listener = starts(Process(sys.executable, clients.script(folder, "hello.py", HELLO)))
    port = listener.out.wait(r"^\d+$").group(0)
    words = {"curl": ["curl", "-q", "-s", "--max-time", "20"], "wget": ["wget", "-q", "-t", "1", "-O", "-"]}[client]
    clients.run(*words, f"https://localhost:{port}/")
    share(*words, f"https://localhost:{port}/")
    assert listener.wait() == 0
    plain, shared = listener.out.lines()[1:3]
    assert _extensions(plain) == _extensions(shared) and len(plain) == len(shared)
    assert _shape(plain)[:76] == _shape(shared)[:76]


@needs_capture
def test_connections_of_other_programs_are_not_shown(nginx, world, share):
    command = " ".join(map(str, curl(world, nginx, path="/mine")))
    other = " ".join(map(str, curl(world, nginx, path="/others")))
    seen = share("sh", "-c", f"env -u LD_PRELOAD {other}; {command}")
    assert seen.paths == ["/mine"] and seen.verdicts == (1, 0, 0), seen.err


# Servers

def _get(world, port, path, **options):
    done = clients.run("curl", "-q", "-sS", "--max-time", "20", "--cacert", world.trust, f"https://site.test:{port}{path}",
                       **options)
    return done.returncode, done.stdout.decode()


@needs_capture
def test_nginx_whose_workers_have_no_rights_is_read(world, starts, folder):
    server = starts(Server(folder, lambda under: servers.Nginx(*world.files("site.test"), user="nobody nogroup", under=under)))
    for number in range(4):
        assert _get(world, server.port, f"/who?{number}")[0] == 0
    seen = server.end()
    seen.whole(*(f"/who?{number}" for number in range(4)))
    assert seen.code == 0 and seen.verdicts == (4, 0, 0), seen.err


@needs_capture
def test_apache_is_read(world, starts, folder):
    if not shutil.which("apache2"):
        pytest.skip("apache2 is not installed")
    server = starts(Server(folder, lambda under: servers.Apache(*world.files("site.test"), under=under)))
    assert _get(world, server.port, "/index.html") == (0, "apache says hello\n")
    seen = server.end()
    seen.whole("/index.html")


@needs_capture
def test_gnutls_serv_is_read(world, starts, folder):
    program, (chain, key) = needs_program("gnutls-serv"), world.files("site.test")

    class Gnutls:
        def __init__(self, under):
            reserved = servers.Reserved("0.0.0.0")
            self.port = reserved.port
            self.process = Process(*under, program, "--port", self.port, "--x509certfile", chain, "--x509keyfile", key,
                                   "--http", "--disable-client-cert")
            try:
                eventually(lambda: servers.listening(self.port) or not self.process.running(), "gnutls-serv listens")
            finally:
                reserved.close()

        def stop(self):
            self.process.stop()

    server = starts(Server(folder, Gnutls))
    assert _get(world, server.port, "/")[0] == 0
    seen = server.end()
    assert seen.paths == ["/"] and seen.of("response")[0]["status"] == 200, seen.err


BARE = """
import os, socket, ssl, sys
chain, key, how = sys.argv[1:4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(chain, key)
def answer(peer):
    with context.wrap_socket(peer, server_side=True) as tls:
        tls.recv(4096)
        tls.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nhi")
with socket.create_server(("127.0.0.1", 0)) as door:
    print(door.getsockname()[1], flush=True)
    if "chroot" in how:
        os.chroot(sys.argv[4])
        os.setgid(65534)
        os.setuid(65534)
    if "close" in how:
        os.closerange(3, door.fileno())
        os.closerange(door.fileno() + 1, 4096)
    while True:
        peer, _ = door.accept()
        if "fork" in how:
            if os.fork() == 0:
                answer(peer)
                os._exit(0)
            os.wait()
        else:
            answer(peer)
        peer.close()
"""


class Bare:
    """A server of a few lines that gives up what it has before it serves."""

    def __init__(self, world, folder, how, under):
        self.process = Process(*under, "/usr/bin/python3", clients.script(folder, "bare.py", BARE),
                               *world.files("site.test"), how, folder)
        self.port = int(self.process.out.wait(r"^(\d+)").group(1))

    def stop(self):
        self.process.stop()


@needs_capture
@pytest.mark.parametrize("how", ["fork", "close", "close fork", "chroot", "chroot close fork"])
def test_a_server_that_gives_up_its_rights_is_read(how, world, starts, folder):
    if "chroot" in how and os.getuid() != 0:
        pytest.skip("changing the root needs to be root")
    server = starts(Server(folder, lambda under: Bare(world, folder, how, under)))
    for number in range(3):
        assert _get(world, server.port, f"/{number}") == (0, "hi")
    seen = server.end()
    assert sorted(seen.paths) == ["/0", "/1", "/2"] and seen.verdicts == (3, 0, 0), seen.err


# Processes and threads

FORKS = """
import os, ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
def get(path):
    urllib.request.urlopen(sys.argv[2] + path, context=context).read()
get("who?parent")
children = []
for number in range(3):
    if (child := os.fork()) == 0:
        get(f"who?{number}")
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""
THREADS = """
import ssl, sys, threading, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
def get(number):
    for n in range(4):
        urllib.request.urlopen(sys.argv[2] + f"who?{number}.{n}", context=context).read()
threads = [threading.Thread(target=get, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@needs_capture
def test_every_process_of_a_program_that_forks_is_read(nginx, world, share, folder):
    seen = share("/usr/bin/python3", clients.script(folder, "forks.py", FORKS), world.trust, url(nginx))
    assert seen.code == 0, seen.err
    seen.whole("/who?parent", "/who?0", "/who?1", "/who?2")


@needs_capture
def test_every_thread_of_a_program_is_read(nginx, world, share, folder):
    seen = share("/usr/bin/python3", clients.script(folder, "threads.py", THREADS), world.trust, url(nginx))
    assert seen.code == 0, seen.err
    seen.whole(*(f"/who?{a}.{b}" for a in range(8) for b in range(4)))


# Key updates

UPDATES = """
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* Asks four times on one connection, with a new key for both sides before each but the first. */
int main(int count, char **words)
{
	char where[64], text[4096];
	snprintf(where, sizeof(where), "127.0.0.1:%s", words[count - 1]);
	SSL *ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
	BIO *bio = BIO_new_connect(where);
	SSL_set_bio(ssl, bio, bio);
	if (SSL_connect(ssl) != 1)
		return 1;
	for (int i = 0; i < 4; i++) {
		int n = snprintf(text, sizeof(text), "GET /who?%d HTTP/1.1\\r\\nHost: site.test\\r\\n\\r\\n", i);
		if (i > 0 && SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1)
			return 2;
		if (SSL_write(ssl, text, n) != n || SSL_read(ssl, text, sizeof(text)) <= 0)
			return 3;
	}
	return 0;
}
"""


@needs_capture
def test_keys_go_on_after_key_updates(nginx, share, folder):
    seen = share(sharing.compiled(folder, "updates", UPDATES, "-lssl", "-lcrypto"), nginx.port)
    assert seen.code == 0, seen.err
    seen.whole(*(f"/who?{number}" for number in range(4)))


@needs_capture
def test_keys_of_a_server_go_on_after_key_updates(world, starts, folder):
    server = starts(Server(folder, lambda under: servers.Nginx(*world.files("site.test"), under=under)))
    updates = sharing.compiled(folder, "updates", UPDATES, "-lssl", "-lcrypto")
    done = subprocess.run([updates, str(server.port)], timeout=PATIENCE)
    assert done.returncode == 0
    seen = server.end()
    seen.whole(*(f"/who?{number}" for number in range(4)))


# Key logs of the program's own

LABELS = {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0",
          "SERVER_TRAFFIC_SECRET_0"}


@needs_capture
@pytest.mark.parametrize("client", ["curl", "wget", "python urllib"])
def test_a_program_that_writes_a_key_log_still_does(client, nginx, world, share, folder):
    log = folder / "own.log"
    seen = share(*CLIENTS[client](world, nginx, folder), env={"SSLKEYLOGFILE": str(log)})
    seen.whole("/")
    assert LABELS <= {line.split()[0] for line in log.read_text().splitlines() if not line.startswith("#")}


@needs_capture
def test_without_a_wish_for_it_no_key_log_is_written(nginx, world, share, folder):
    seen = share("sh", "-c", 'echo "[$SSLKEYLOGFILE]"; "$@"', "-", *curl(world, nginx))
    seen.whole("/")
    assert "[]" in seen.out


# What leaves, and what stays

INSIDE = """
import os, re, socket, ssl, sys, time
trust, port, log = sys.argv[1:4]
context = ssl.create_default_context(cafile=trust)
context.keylog_filename = log
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(port))), server_hostname="site.test") as tls:
    tls.sendall(b"GET / HTTP/1.1\\r\\nHost: site.test\\r\\nConnection: close\\r\\n\\r\\n")
    tls.recv(4096)
    secrets = [bytes.fromhex(line.split()[2]) for line in open(log) if not line.startswith("#")]
    def look():
        rings, octets = 0, b""
        for line in open("/proc/self/maps"):
            if "overt-share" in line:
                first, last = (int(n, 16) for n in line.split()[0].split("-"))
                with open("/proc/self/mem", "rb", 0) as memory:
                    memory.seek(first)
                    octets += memory.read(last - first)
                rings += 1
        return rings, octets
    def left(octets):
        return sum(any(octets[at + 6:at + 510]) for at in range(4608, 137 * 512, 512))
    began = time.monotonic()
    while True:
        rings, octets = look()
        # The shipper has mapped it as well, and takes what is there soon.
        if left(octets) == 0 or time.monotonic() > began + 10:
            break
    print("rings", rings, "secrets", sum(secret in octets for secret in secrets), "of", len(secrets), "left", left(octets))
    names = " ".join(f"{key}={value}" for key, value in os.environ.items())
    print("environment", any(secret.hex() in names for secret in secrets))
    print("descriptors", sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                                if os.path.islink(f"/proc/self/fd/{fd}")
                                and "overt" in os.readlink(f"/proc/self/fd/{fd}")))
"""


@needs_capture
@both_versions
def test_no_secret_is_in_the_shared_memory_and_nothing_is_left_there(server, world, share, folder):
    seen = share("/usr/bin/python3", clients.script(folder, "inside.py", INSIDE), world.trust, server.port,
                 folder / "own.log")
    assert seen.code == 0, seen.err
    # The ring and the bell. The ring comes first in the maps or second: its slots alone are looked at.
    found = re.search(r"rings (\d) secrets (\d+) of (\d+) left (\d+)", seen.out)
    assert found and int(found[1]) == 2 and int(found[2]) == 0 and int(found[3]) >= 1 and int(found[4]) == 0, seen.out
    assert "environment False" in seen.out and "descriptors []" in seen.out, seen.out


# In time

# Starts a client that waits for a line, stops the shipper when the client has left its ring, and lets it go on.
STOP = """
import os, pathlib, signal, subprocess, sys, time
line, command = sys.argv[1], sys.argv[2:]
shipper = os.getppid()
client = subprocess.Popen(command, stdin=subprocess.PIPE)
while open(f"/proc/{client.pid}/maps").read().count("overt-share") < 2:
    time.sleep(0.005)
os.kill(shipper, signal.SIGSTOP)
while not all("\\nState:\\tT" in (task / "status").read_text() for task in pathlib.Path(f"/proc/{shipper}/task").iterdir()):
    time.sleep(0.005)
try:
    client.communicate(line.encode() + b"\\n")
finally:
    os.kill(shipper, signal.SIGCONT)
sys.exit(client.returncode != 0)
"""
WAITING = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
print(urllib.request.urlopen(sys.stdin.readline().strip(), context=context).read().decode())
"""


def _stopped(client, world, server, folder, path="/"):
    """The client, whose request begins when the shipper stands still."""
    there = url(server, path)
    line, words = {
        "curl": (f'url = "{there}"', ["curl", "-sS", "--max-time", "20", "--cacert", world.trust, "-K", "-"]),
        "wget": (there, ["wget", "-q", "-t", "1", "-O", "-", "--ca-certificate", world.trust, "-i", "-"]),
        "python": (there, ["/usr/bin/python3", clients.script(folder, "waiting.py", WAITING), world.trust]),
    }[client]
    return ["/usr/bin/python3", clients.script(folder, "stop.py", STOP), line, *words]


every_client = pytest.mark.parametrize("client", ["curl", "wget", "python"])


@needs_capture
@both_versions
@every_client
def test_closed_means_that_nothing_goes_out_before_its_key_is_taken(client, server, world, share, folder):
    path = f"/who?closed-{client}"
    seen = share(*_stopped(client, world, server, folder, path), options=["--late", "closed"])
    assert seen.code != 0 and seen.out == "" and f"GET {path} HTTP/1.1" not in server.requests(), seen.out
    assert re.search(r"overt exec: \d+ times a key was not taken in time: these connections were refused", seen.err), seen.err
    assert not seen.of("request")


@needs_capture
@both_versions
@every_client
def test_open_means_that_it_goes_on_and_is_counted(client, server, world, share, folder):
    seen = share(*_stopped(client, world, server, folder), options=["--late", "open"])
    assert seen.code == 0 and "nginx says hello" in seen.out, seen.err
    assert re.search(r"overt exec: \d+ times a key was not taken in time: these connections went on", seen.err), seen.err
    seen.whole("/")  # what came late is read late


STARTED_LATE = ("kill -STOP $PPID; while grep -h ^State: /proc/$PPID/task/*/status | grep -qv T; do sleep 0.01; done; "
                "{command}; code=$?; kill -CONT $PPID; exit $code")


@needs_capture
def test_closed_holds_for_a_program_that_starts_while_nobody_takes_keys(server, world, share):
    command = " ".join(f"'{word}'" for word in curl(world, server, path="/who?started-late"))
    seen = share("sh", "-c", STARTED_LATE.format(command=command), options=["--late", "closed"])
    assert seen.code != 0 and seen.out == "" and "GET /who?started-late HTTP/1.1" not in server.requests(), seen.out


@needs_capture
def test_a_server_refuses_while_nobody_takes_its_keys_and_serves_again(world, starts, folder):
    server = starts(Server(folder, lambda under: servers.Nginx(*world.files("site.test"), user="nobody nogroup",
                                                               under=under), "--deadline", "3000", "--late", "closed"))
    assert _get(world, server.port, "/who?before")[0] == 0
    still.stop(server.process.pid)
    try:
        for _ in range(2):
            code, body = _get(world, server.port, "/who?stopped")
            assert code != 0 and body == ""
    finally:
        still.go_on(server.process.pid)
    eventually(lambda: _get(world, server.port, "/who?after")[0] == 0, "it serves again")
    seen = server.end()
    assert "/who?before" in seen.paths and "/who?after" in seen.paths and "/who?stopped" not in seen.paths, seen.err


TIMED = """
import socket, ssl, sys, time
context = ssl.create_default_context(cafile=sys.argv[1])
for _ in range(3):
    began = time.monotonic()
    with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname="site.test"):
        print("took", time.monotonic() - began, flush=True)
"""


@needs_capture
def test_only_the_first_connection_waits_for_a_shipper_that_does_not_answer(nginx, world, share, folder):
    script = clients.script(folder, "timed.py", TIMED)
    seen = share("sh", "-c", STARTED_LATE.format(command=f"/usr/bin/python3 {script} {world.trust} {nginx.port}"),
                 options=["--deadline", "5000"])
    # The ring is left at the door, which does not answer either: that is one wait, and the next attempt is a second later.
    took = [float(word) for word in re.findall(r"took ([\d.]+)", seen.out)]
    assert len(took) == 3 and min(took) < 5, seen.out + seen.err


@needs_capture
def test_a_program_whose_shipper_was_killed_goes_on_or_not_as_the_rule_says(nginx, world, starts, folder):
    for late, code in (("open", 0), ("closed", 1)):
        server = starts(Server(folder, lambda under: servers.Nginx(*world.files("site.test"), under=under), "--deadline",
                               "5000", "--late", late))
        assert _get(world, server.port, "/who")[0] == 0
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.popen.wait()
        assert (_get(world, server.port, "/who")[0] != 0) == bool(code)
        assert (_get(world, server.port, "/who")[0] != 0) == bool(code)


# Rights and words

def test_without_the_right_to_capture_it_is_said_what_is_missing(folder):
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("giving up rights needs to be root, and setpriv")
    done = subprocess.run(["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw", overt.binary(), "exec",
                           "--share", "--interface", "lo", "--", "echo", "started"], capture_output=True, text=True,
                          timeout=PATIENCE, env=clients.environment(**overt.SANITIZER_OPTIONS))
    assert done.returncode == 2 and "CAP_NET_RAW" in done.stderr and "started" not in done.stdout, done.stderr


@pytest.mark.parametrize("words, told", [
    (["--share"], "no command"),
    (["--share", "--late", "perhaps", "--", "true"], "expected open or closed"),
    (["--share", "--deadline", "0", "--", "true"], "milliseconds"),
    (["--share", "--interface", "nowhere0", "--", "true"], "no such interface"),
])
def test_what_makes_no_sense_is_refused_with_a_reason(words, told):
    code, _, err = overt.run("exec", *words)
    assert code == 2 and told in err, err


@needs_capture
@pytest.mark.parametrize("command, code", [(["true"], 0), (["sh", "-c", "exit 7"], 7), (["/nonexistent/x"], 127)])
def test_the_exit_code_is_the_programs(command, code, share):
    assert share(*command).code == code


@needs_capture
def test_nothing_is_left_behind(nginx, world, share, folder):
    seen = share("sh", "-c", 'echo "place $OVERT_SHARE_FIFO"; exec "$@"', "-", *curl(world, nginx), env={"XDG_RUNTIME_DIR": ""})
    seen.whole("/")
    place = pathlib.Path(re.search(r"^place (.*)$", seen.out, re.M)[1]).parent
    assert place.parent == pathlib.Path("/tmp") and place.name.startswith("overt-share-") and not place.exists()
