"""`overt exec --share` with unmodified programs on OpenSSL 1.1.1, which Debian 11 has: curl, nginx, Python, OpenSSL's own, and
a few of these tests. What they share is shared like that of OpenSSL 3's, on either side and between both."""

import re
import shlex

import pytest
from lab import clients, openssl11, overt, path, servers, sharing, watch
from lab.collect import Collector, Place
from lab.proc import Process, eventually
from lab.sharing import Host, curl, url
from lab.shipper import APPLICATION, ROTATE

pytestmark = overt.requires("exec --share --collector", "collect", "grant", "watch --collector")

CURL, NGINX, OPENSSL, PYTHON = "usr/bin/curl", "usr/sbin/nginx", "usr/bin/openssl", "usr/bin/python3.9"
SYSTEM_PYTHON = "/usr/bin/python3"
NAME = "OpenSSL 1.1.1"


@pytest.fixture(scope="module", autouse=True)
def there():
    """Fetched before the first test, which has its own limit of time."""
    openssl11.folder()


# What is captured here

@pytest.fixture
def share(may_capture, folder):
    """share(command ..., options=()): the command under `overt exec --share`, to its end."""
    return lambda *command, options=(), **knobs: sharing.run(folder, *command, options=("--verbose", *options), **knobs)


def _serving(starts, folder, make, *options):
    """A server under it; `make` gets the words that stand before its command."""
    return starts(sharing.Server(folder, make, "--verbose", *options))


def _suites(seen):
    return sorted(event["suite"] for event in seen.of("tls"))


def _nginx(world, *under, old=True, **knobs):
    """For site.test, with certificates of both kinds. `old`: on OpenSSL 1.1.1."""
    chain, key = world.files("site.test", kind="rsa2048")
    more = f"ssl_certificate {chain}; ssl_certificate_key {key}; {knobs.pop('more', '')}"
    if old:
        under, knobs["program"] = [*under, *openssl11.under()], openssl11.program(NGINX)
    return servers.Nginx(*world.files("site.test"), under=under, more=more, **knobs)


@pytest.fixture(scope="module")
def new(world, starts_module):
    """A server on this system's OpenSSL."""
    return starts_module(_nginx(world, old=False))


def _curl(world, server, *options, path="/who", old=True):
    program, *words = curl(world, server, *options, path=path)
    return [*openssl11.command(CURL), *words] if old else [program, *words]


def _all(*commands):
    """One after the other, until one fails."""
    return ["sh", "-c", " && ".join(shlex.join(map(str, command)) for command in commands)]


# Suites of TLS 1.3 and, after ECDHE and RSA, with AEADs and CBC, of TLS 1.2
SUITES = {
    "TLS_AES_128_GCM_SHA256": "0x1301", "TLS_AES_256_GCM_SHA384": "0x1302", "TLS_CHACHA20_POLY1305_SHA256": "0x1303",
    "ECDHE-ECDSA-AES128-GCM-SHA256": "0xc02b", "ECDHE-RSA-AES256-GCM-SHA384": "0xc030",
    "ECDHE-RSA-CHACHA20-POLY1305": "0xcca8", "ECDHE-ECDSA-AES128-CCM": "0xc0ac", "ECDHE-RSA-AES128-SHA256": "0xc027",
    "ECDHE-ECDSA-AES256-SHA384": "0xc024", "ECDHE-RSA-AES128-SHA": "0xc013", "AES128-SHA256": "0x003c",
    "AES256-GCM-SHA384": "0x009d",
}


def _every_suite(world, server, old):
    return [_curl(world, server, *(["--tlsv1.3", "--tls13-ciphers", suite] if suite.startswith("TLS_") else
                                   ["--tls-max", "1.2", "--ciphers", suite]), path=f"/who?{suite}", old=old)
            for suite in SUITES]


def test_what_a_client_says_is_read_in_every_suite(world, new, share):
    seen = share(*_all(*_every_suite(world, new, old=True)))
    seen.whole(*(f"/who?{suite}" for suite in SUITES), connections=len(SUITES))
    assert _suites(seen) == sorted(SUITES.values()) and NAME in seen.err


def test_what_a_server_whose_workers_have_no_rights_says_is_read_in_every_suite(world, may_capture, starts, folder):
    server = _serving(starts, folder, lambda under: _nginx(world, *under, user="nobody nogroup"), "--late", "closed")
    done = clients.run(*_all(*_every_suite(world, server, old=False)))
    assert done.returncode == 0, done.stderr
    seen = server.end()
    seen.whole(*(f"/who?{suite}" for suite in SUITES), connections=len(SUITES))
    assert _suites(seen) == sorted(SUITES.values()) and NAME in seen.err


def test_http_2_is_read(world, may_capture, starts, share):
    server = starts(_nginx(world, http2=True))
    seen = share(*_curl(world, server, "--http2"), options=["--late", "closed"])
    seen.whole("/who")
    assert seen.of("tls")[0]["alpn"] == "h2"


ASK = b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_what_s_client_and_s_server_say_is_read_on_both_sides(version, world, may_capture, starts, share, folder):
    server = _serving(starts, folder, lambda under: servers.OpensslServer(
        *world.files("site.test"), "-www", version, program=openssl11.program(OPENSSL), under=[*under, *openssl11.under()]))
    (folder / "ask").write_bytes(ASK)
    with (folder / "ask").open() as ask:
        seen = share(*openssl11.command(OPENSSL, "s_client", "-quiet", "-connect", f"127.0.0.1:{server.port}"), stdin=ask)
    assert "s_server" in seen.out
    seen.whole("/", connections=1)
    server.end().whole("/", connections=1)


URLLIB = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
print(ssl.OPENSSL_VERSION)
print(urllib.request.urlopen(sys.argv[2], context=context).read().decode())
"""
DLOPEN = """
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* A program that finds every function by itself. */
int main(int count, char **words)
{
	void *tls = dlopen("libssl.so.1.1", RTLD_NOW | RTLD_LOCAL);
	void *crypto = dlopen("libcrypto.so.1.1", RTLD_NOW | RTLD_LOCAL);
	void *(*method)(void) = dlsym(tls, "TLS_client_method");
	void *(*ctx_new)(void *) = dlsym(tls, "SSL_CTX_new");
	void *(*new_connect)(void *) = dlsym(crypto, "BIO_new_connect");
	void *(*ssl_new)(void *) = dlsym(tls, "SSL_new");
	void (*set_bio)(void *, void *, void *) = dlsym(tls, "SSL_set_bio");
	int (*key_update)(void *, int) = dlsym(tls, "SSL_key_update");
	int (*do_connect)(void *) = dlsym(tls, "SSL_connect");
	int (*do_write)(void *, const void *, int) = dlsym(tls, "SSL_write");
	int (*do_read)(void *, void *, int) = dlsym(tls, "SSL_read");
	char where[64], text[4096];
	snprintf(where, sizeof(where), "127.0.0.1:%s", words[count - 1]);
	void *ssl = ssl_new(ctx_new(method())), *bio = new_connect(where);
	set_bio(ssl, bio, bio);
	if (do_connect(ssl) != 1)
		return 1;
	const char *ask = "GET /who HTTP/1.1\\r\\nHost: site.test\\r\\n\\r\\n";
	do_write(ssl, ask, (int)strlen(ask));
	if (do_read(ssl, text, sizeof(text)) <= 0 || key_update(ssl, 1) != 1)
		return 2;
	ask = "GET /who?2 HTTP/1.1\\r\\nHost: site.test\\r\\nConnection: close\\r\\n\\r\\n";
	do_write(ssl, ask, (int)strlen(ask));
	return do_read(ssl, text, sizeof(text)) > 0 ? 0 : 3;
}
"""


def test_a_python_program_is_read(world, new, share, folder):
    seen = share(*openssl11.command(PYTHON, clients.script(folder, "f.py", URLLIB), world.trust, url(new, "/who")))
    assert NAME in seen.out
    seen.whole("/who")


def test_a_program_that_finds_every_function_by_itself_is_read(world, new, share, folder):
    program = openssl11.compiled(folder, "found", DLOPEN)
    seen = share(*openssl11.under(), program, new.port)
    seen.whole("/who", "/who?2")


TWO = """
import ctypes, socket, ssl, sys
trust, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
crypto, tls = (ctypes.CDLL(f"{folder}/{name}.so.1.1") for name in ("libcrypto", "libssl"))
for function in (tls.TLS_client_method, tls.SSL_CTX_new, tls.SSL_new, crypto.OpenSSL_version):
    function.restype = ctypes.c_void_p
def ask(path):
    return f"GET {path} HTTP/1.1\\r\\nHost: site.test\\r\\nConnection: close\\r\\n\\r\\n".encode()
def new(path):
    context = ssl.create_default_context(cafile=trust)
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="site.test") as peer:
        peer.sendall(ask(path))
        while peer.recv(4096):
            pass
def old(path):
    with socket.create_connection(("127.0.0.1", port)) as sock:
        peer = ctypes.c_void_p(tls.SSL_new(ctypes.c_void_p(tls.SSL_CTX_new(ctypes.c_void_p(tls.TLS_client_method())))))
        tls.SSL_set_fd(peer, sock.fileno())
        assert tls.SSL_connect(peer) == 1
        octets, text = ask(path), ctypes.create_string_buffer(4096)
        assert tls.SSL_write(peer, octets, len(octets)) == len(octets)
        while tls.SSL_read(peer, text, 4096) > 0:
            pass
        tls.SSL_free(peer)
for path in sys.argv[4:]:
    (old if "old" in path else new)(path)
print(ssl.OPENSSL_VERSION, ctypes.string_at(crypto.OpenSSL_version(0)).decode())
"""


@pytest.mark.parametrize("paths", [("/who?new1", "/who?old1", "/who?new2", "/who?old2"), ("/who?old1", "/who?new1", "/who?old2")],
                         ids=["3 first", "1.1.1 first"])
def test_a_program_with_both_that_finds_one_by_itself_is_read(paths, world, new, share, folder):
    """Not loaded for all to see. What SSL_connect of 1.1.1 does by name is done for its own SSLs."""
    seen = share(SYSTEM_PYTHON, clients.script(folder, "two.py", TWO), world.trust, new.port, openssl11.folder() / "lib", *paths)
    assert NAME in seen.out and "OpenSSL 3" in seen.out, seen.err
    seen.whole(*paths, connections=len(paths))


FORKING = """
import os, socket, ssl, sys
chain, key, root = sys.argv[1:4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(chain, key)
with socket.create_server(("127.0.0.1", 0)) as door:
    print(door.getsockname()[1], flush=True)
    os.chroot(root)
    os.setgid(65534)
    os.setuid(65534)
    os.closerange(3, door.fileno())
    os.closerange(door.fileno() + 1, 4096)
    while True:
        peer, _ = door.accept()
        if os.fork() == 0:
            with context.wrap_socket(peer, server_side=True) as tls:
                tls.recv(4096)
                tls.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nhi")
            os._exit(0)
        os.wait()
        peer.close()
"""


class Forking:
    def __init__(self, world, folder, under):
        self.process = Process(*under, *openssl11.command(PYTHON, clients.script(folder, "forking.py", FORKING)),
                               *world.files("site.test"), folder)
        self.port = int(self.process.out.wait(r"^(\d+)").group(1))

    def stop(self):
        self.process.stop()


def test_a_server_that_forks_and_has_given_up_its_rights_its_root_and_its_files_is_read(world, may_capture, starts, folder):
    server = _serving(starts, folder, lambda under: Forking(world, folder, under))
    for path in ("/1", "/2"):
        done = clients.run(*_curl(world, server, path=path, old=False))
        assert done.returncode == 0 and done.stdout == b"hi", done.stderr
    server.end().whole("/1", "/2", connections=2)


# Key updates, of which the key log of 1.1.1 tells nothing

UPDATES = """
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int messages[2]; /* read, written */

static void on_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	int *count = arg;
	if (type == SSL3_RT_HANDSHAKE && len > 0 && *(const unsigned char *)data == SSL3_MT_KEY_UPDATE)
		count[write != 0]++;
}

/* Asks four times on one connection, with a new key for both sides before each but the first. */
int main(int count, char **words)
{
	char where[64], text[4096];
	snprintf(where, sizeof(where), "127.0.0.1:%s", words[count - 1]);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (!strcmp(words[1], "of the context")) {
		SSL_CTX_set_msg_callback(ctx, on_message);
		SSL_CTX_set_msg_callback_arg(ctx, messages);
	}
	SSL *ssl = SSL_new(ctx);
	if (!strcmp(words[1], "of the connection")) {
		SSL_set_msg_callback(ssl, on_message);
		SSL_set_msg_callback_arg(ssl, messages);
	}
	BIO *bio = BIO_new_connect(where);
	SSL_set_bio(ssl, bio, bio);
	if (SSL_set_tlsext_host_name(ssl, "site.test") != 1 || SSL_connect(ssl) != 1)
		return 1;
	for (int i = 0; i < 4; i++) {
		int n = snprintf(text, sizeof(text), "GET /who?%d HTTP/1.1\\r\\nHost: site.test\\r\\n\\r\\n", i);
		if (i > 0 && SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1)
			return 2;
		if (SSL_write(ssl, text, n) != n || SSL_read(ssl, text, sizeof(text)) <= 0)
			return 3;
	}
	printf("%d read, %d written\\n", messages[0], messages[1]);
	return 0;
}
"""
ASKED = [f"/who?{number}" for number in range(4)]


@pytest.fixture(scope="module")
def updates(tmp_path_factory):
    return openssl11.compiled(tmp_path_factory.mktemp("updates"), "updates", UPDATES)


@pytest.mark.parametrize("callback, said", [("none", "0 read, 0 written"), ("of the context", "3 read, 3 written"),
                                            ("of the connection", "3 read, 3 written")])
def test_keys_of_a_client_go_on_after_key_updates_and_its_message_callback_hears_of_them(callback, said, updates, new, share):
    seen = share(*openssl11.under(), updates, callback, new.port, options=["--late", "closed"])
    seen.whole(*ASKED, connections=1)
    assert seen.out.strip() == said


def test_keys_of_a_server_go_on_after_key_updates(updates, world, may_capture, starts, folder):
    server = _serving(starts, folder, lambda under: _nginx(world, *under), "--late", "closed")
    done = clients.run(*openssl11.under(), updates, "none", server.port)
    assert done.returncode == 0, done.stderr
    server.end().whole(*ASKED, connections=1)


# What programs do with callbacks of their own

LABELS = {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0",
          "SERVER_TRAFFIC_SECRET_0"}


def test_a_program_that_writes_a_key_log_still_does(world, new, share, folder):
    log = folder / "own.log"
    seen = share(*_curl(world, new), env={"SSLKEYLOGFILE": str(log)})
    seen.whole("/who")
    assert LABELS <= {line.split()[0] for line in log.read_text().splitlines() if not line.startswith("#")}


def test_a_program_that_shows_its_messages_still_does(world, new, share, folder):
    """s_client with callbacks for both: what it says is what it says without the agent."""
    command = openssl11.command(OPENSSL, "s_client", "-msg", "-state", "-quiet", "-keylogfile", folder / "own.log", "-connect",
                                f"127.0.0.1:{new.port}")
    (folder / "ask").write_bytes(ASK.replace(b"/", b"/who", 1))

    def shown(text):
        """Sorted: tickets may come while it writes. Whether it had to wait is no matter."""
        return sorted(re.findall(r"^(?:<<<|>>>) .*?(?=, \[|\[|$)|^SSL_connect:(?!error in).*", text, re.M))
    with (folder / "ask").open() as ask:
        plain = clients.run(*command, stdin=ask)
    (folder / "own.log").unlink()
    with (folder / "ask").open() as ask:
        seen = share(*command, stdin=ask)
    seen.whole("/who")
    assert shown(seen.out + seen.err) == shown((plain.stdout + plain.stderr).decode()) and len(shown(seen.out)) > 10
    assert LABELS <= {line.split()[0] for line in (folder / "own.log").read_text().splitlines() if not line.startswith("#")}


# Elsewhere: to a reader of a collector

@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("openssl11"), "laptop")


@pytest.fixture(scope="module")
def granted(place):
    """Before the collector, which looks at the folder when it begins."""
    return {"alone": place.grant(names=("site.test",), consent="unilateral"), "both": place.grant(names=("site.test",))}


@pytest.fixture(scope="module")
def collector(place, granted, starts_module):
    return starts_module(Collector(place))


@pytest.fixture
def laptop(place, collector, folder):
    return Host(place, collector, folder, "laptop")


@pytest.fixture
def web1(place, collector, folder):
    return Host(place, collector, folder, "web1")


@pytest.mark.parametrize("ack", ["host", "collector"])
@pytest.mark.parametrize("late", ["open", "closed"])
def test_a_reader_elsewhere_reads_what_a_client_says(ack, late, place, collector, granted, world, new, starts, folder):
    """TLS 1.3, 1.2 with CBC, and after KeyUpdates; the handshake waits for whom it is to wait for."""
    reader = starts(watch.live(new.port, *place.reading(collector)))
    tag = f"{ack}-{late}"
    laptop = Host(place, collector, folder, "laptop", "--ack", ack, "--late", late, "--deadline", "20000")
    done = laptop.has(granted["alone"]).runs(
        *_all(_curl(world, new, path=f"/who?{tag}-13"),
              _curl(world, new, "--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-SHA256", path=f"/who?{tag}-12")))
    assert done.returncode == 0, done.stderr
    assert re.search(r"4 keys: 0 under no grant; 4 sealed, of which the collector has 4 and refused 0", done.stderr), done.stderr
    assert "not taken in time" not in done.stderr, done.stderr
    for version in ("13", "12"):
        assert reader.wait(rf'"type":"request".*/who\?{tag}-{version}')["path"] == f"/who?{tag}-{version}"


def test_a_reader_elsewhere_reads_what_a_server_says_after_key_updates(
        place, collector, granted, web1, updates, world, starts):
    server = starts(_nginx(world, *web1.has(granted["alone"]).words, "--ack", "collector", "--late", "closed", "--deadline",
                           "20000", "--", user="nobody nogroup", old=True, more="ssl_protocols TLSv1.3;"))
    reader = starts(watch.live(server.port, *place.reading(collector)))
    done = clients.run(*openssl11.under(), updates, "none", server.port)
    assert done.returncode == 0, done.stderr
    for path in ASKED:
        assert reader.wait(rf'"type":"request".*{re.escape(path)}"')["path"] == path
    server.process.terminate()
    assert "8 sealed, of which the collector has 8" in server.process.err.text(), server.process.err.text()


# Consent

def _end(server):
    server.process.terminate()
    said = server.process.err.text()
    assert not overt.SANITIZER.search(said), said
    return said


BOTH = [("client", "both", "certificate", "live"), ("server", "both", "certificate", "live")]
PAIRS, PAIRED = [(True, True), (True, False), (False, True)], ["1.1.1 and 1.1.1", "1.1.1 to 3", "3 to 1.1.1"]
ends = pytest.mark.parametrize("client, serving", PAIRS, ids=PAIRED)


@ends
def test_whom_both_sides_grant_reads(client, serving, granted, laptop, web1, world, starts):
    server = starts(_nginx(world, *web1.has(granted["both"]).words, "--", old=serving))
    done = laptop.has(granted["both"]).runs(*_curl(world, server, old=client))
    assert done.returncode == 0 and "subject=" in done.stdout, done.stderr
    said = _end(server)
    assert laptop.releases() == BOTH and web1.releases() == BOTH, done.stderr + said
    assert laptop.refusals() == web1.refusals() == []


@ends
def test_where_one_side_grants_nobody_nothing_leaves_and_both_say_why(client, serving, granted, laptop, web1, world, starts):
    server = starts(_nginx(world, *web1.has(granted["both"]).words, "--", old=serving))
    done = laptop.runs(*_curl(world, server, old=client))
    assert done.returncode == 0 and "subject=" in done.stdout, done.stderr
    _end(server)
    assert laptop.releases() == web1.releases() == []
    assert web1.refusals() == [("server", "the client does not offer to share")], done.stderr


def test_tls_12_has_no_consent_of_both(granted, laptop, world, new):
    done = laptop.has(granted["both"]).runs(*_curl(world, new, "--tls-max", "1.2"))
    assert done.returncode == 0, done.stderr
    assert laptop.releases() == [] and laptop.refusals() == [("client", "TLS 1.2 has no place for consent")]


def test_a_program_that_uses_this_number_itself_keeps_it(granted, laptop, world, folder):
    source = (openssl11.TOP / "tests/scenarios/lab/share_own.c").read_text()
    program = openssl11.compiled(folder, "share_own", source)
    done = laptop.has(granted["both"]).runs(*openssl11.under(), program, *world.files("site.test"))
    assert done.stdout == ("added 1, again 0, met 1\nclient heard: from the server\n"
                           "server heard: from the client\n"), done.stderr


# After rotation

CLIENT_0, SERVER_0 = ("client", APPLICATION, 0), ("server", APPLICATION, 0)
FORGED = "forged by the reader"


def _ends(world, folder, client, serving, **settings):
    """Both programs, on 1.1.1 or not."""
    words = [openssl11.command(PYTHON) if old else path.PYTHON for old in (client, serving)]
    return path.Ends(world, folder, client=words[0], server=words[1], **settings)


@pytest.fixture(scope="module", params=PAIRS, ids=PAIRED)
def after(request, world, tmp_path_factory, starts_module):
    return starts_module(_ends(world, tmp_path_factory.mktemp("after"), *request.param, mode="after-rotation", rotate_bytes=6,
                               rotate_seconds=0, rotate_when="calls"))


def asked(after, way):
    """The client has changed its key and asked for the same: the path withholds it."""
    way.say("client", "one")
    way.say("server", "two")
    assert len(way.pull("client", 1)) == 1
    return ()


def heard(after, way):
    """The server has it, and has answered: the path withholds that."""
    asked(after, way)
    way.forward("client")
    eventually(lambda: after.server.do("read")[0] == "wait" and way.pull("server"), "an answer")
    return (CLIENT_0,)


def changed(after, way):
    heard(after, way)
    way.forward("server")
    eventually(lambda: after.client.do("read")[0] == "wait" and SERVER_0 in after.shipper.names(way.random), "the answer")
    way.say("client", "3")  # too little for the next change
    way.say("server", "4")
    return CLIENT_0, SERVER_0


def answer_dropped(after, way):
    """What follows fails, and the client has not left the epoch."""
    heard(after, way)
    way.drop("server")
    after.server.ok("write", "three")
    way.forward("server")
    assert after.client.until("read")[0] == "fault"
    return (CLIENT_0,)


def _brought(after, moment):
    way = after.connect()
    after.released(way, *moment(after, way))
    return way


@pytest.mark.parametrize("moment", [asked, heard, changed, answer_dropped], ids=lambda moment: moment.__name__)
def test_no_key_that_was_released_forges(moment, after):
    way = _brought(after, moment)
    for name, number in [(key.name, way.next_number(key)) for key in after.shipper.of(way.random)]:
        for target in ("client", "server"):
            way = _brought(after, moment)
            key = next(key for key in after.shipper.of(way.random) if key.name == name)
            way.push(target, key.seal(number, FORGED.encode()))
            how, what = getattr(after, target).until("read")
            assert how == "fault" or FORGED not in (what or ""), (name, number, target)


def test_a_connection_is_read_epoch_by_epoch(after):
    way = _brought(after, changed)
    after.server.do("close")
    way.forward("server")
    after.client.hear("")
    after.client.do("close")
    way.forward("client")
    after.server.until("read")
    after.released(way, CLIENT_0, SERVER_0, ("client", APPLICATION, 1), ("server", APPLICATION, 1))
    for role, texts in (("client", (b"one", b"3")), ("server", (b"two", b"4"))):
        for epoch, text in enumerate(texts):
            key = next(key for key in after.shipper.of(way.random) if key.name == (role, APPLICATION, epoch))
            assert any((found := key.open(0, record)) and found[0] == text for record in way.passed[role]), (role, epoch)
    assert after.shipper.counts()["unheld"] == after.shipper.counts()["lost"] == 0


def test_live_keys_are_told_before_anything_is_written_under_them(world, folder, starts):
    """Also those after a KeyUpdate: the agent waits for whoever takes them."""
    both = starts(_ends(world, folder, True, True, mode="live", late="closed"))
    way = both.connect()
    way.say("client", "one")
    both.shipper.end(way.random, ROTATE)
    both.client.ok("write", "two")
    assert {CLIENT_0, SERVER_0, ("client", APPLICATION, 1)} <= both.shipper.names(way.random)


# Accord, which needs OpenSSL 3

@pytest.mark.parametrize("rule, works", [("prefer", True), ("require", False)])
def test_under_accord_it_is_said_to_be_out_of_reach(rule, works, world, new, folder):
    state = folder / "state"
    code, _, err = overt.run("accord", "init", "--state", state, "--name", "proxy.test")
    assert code == 0, err
    code, out, err = overt.run("exec", "--accord", state / "accord-anchor.pem", "--trust", world.trust, "--accord-rule", rule, "--",
                               *_curl(world, new))
    assert (code == 0) == works and ("subject=" in out) == works, err
    said = [line for line in err.splitlines() if "cannot speak Accord" in line]
    assert len(said) == 1 and "libssl.so.1.1 is not the system's OpenSSL 3" in said[0], err


# Inside a program

def test_a_static_program_is_said_to_be_out_of_reach(world, new, share, folder):
    """Debian's build of 1.1.1 has no function that is called with every secret, but where there is a callback."""
    seen = share(openssl11.compiled(folder, "inside", UPDATES, static=True), "none", new.port)
    assert seen.code == 0 and seen.out == "0 read, 0 written\n", seen.err
    assert "inside is out of reach: it is linked statically" in seen.err, seen.err
