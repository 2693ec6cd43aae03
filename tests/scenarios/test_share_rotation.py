"""`--mode after-rotation`: what a side receives is handed over once it has left the epoch, and not before. So whoever
holds every key that was handed over can read, and cannot write: shown by one that tries."""

import re
import subprocess
import time

import pytest
from lab import clients, lines, overt, servers, sharing, watch
from lab.collect import Collector, Place
from lab.path import Ends
from lab.proc import Process, eventually
from lab.sharing import curl
from lab.shipper import APPLICATION, ROTATE, STOP, Shipper

pytestmark = overt.requires("exec --share --mode")

FORGED = "forged by the reader"
ENOUGH = 6  # octets until the client's keys are to change: "one" and "two"

CLIENT_0, SERVER_0 = ("client", APPLICATION, 0), ("server", APPLICATION, 0)


@pytest.fixture(scope="module")
def folder_of_module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rotation")
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def after(world, folder_of_module, starts_module):
    return starts_module(Ends(world, folder_of_module, mode="after-rotation", rotate_bytes=ENOUGH, rotate_seconds=0,
                              rotate_when="calls"))


@pytest.fixture(scope="module")
def live(world, folder_of_module, starts_module):
    return starts_module(Ends(world, folder_of_module, mode="live"))


# Moments of a connection, and what was released by then.

def said(ends, path):
    path.say("client", "one")
    return ()


def asked(ends, path):
    """The client has changed its key and asked for the same: the path withholds it."""
    said(ends, path)
    path.say("server", "two")
    assert len(path.pull("client", 1)) == 1
    return ()


def heard(ends, path):
    """The server has it, and has answered: the path withholds that."""
    asked(ends, path)
    path.forward("client")
    eventually(lambda: ends.server.do("read")[0] == "wait" and path.pull("server"), "an answer")
    assert len(path.waiting["server"]) == 1
    return (CLIENT_0,)


def changed(ends, path):
    heard(ends, path)
    path.forward("server")
    eventually(lambda: ends.client.do("read")[0] == "wait" and SERVER_0 in ends.shipper.names(path.random), "the answer")
    return CLIENT_0, SERVER_0


def changed_and_used(ends, path):
    changed(ends, path)
    path.say("client", "3")  # too little for the next change, however long it takes
    path.say("server", "4")
    return CLIENT_0, SERVER_0


def question_dropped(ends, path):
    """The path drops the client's KeyUpdate: what follows it fails, and the server has not left the epoch."""
    asked(ends, path)
    path.drop("client")
    ends.client.ok("write", "three")
    path.forward("client")
    assert ends.server.until("read")[0] == "fault"
    return ()


def question_dropped_and_freed(ends, path):
    question_dropped(ends, path)
    ends.server.ok("free")
    return (CLIENT_0,)


def answer_dropped(ends, path):
    heard(ends, path)
    path.drop("server")
    ends.server.ok("write", "three")
    path.forward("server")
    assert ends.client.until("read")[0] == "fault"
    return (CLIENT_0,)


def answer_dropped_and_freed(ends, path):
    answer_dropped(ends, path)
    ends.client.ok("free")
    return CLIENT_0, SERVER_0


def closed(ends, path):
    said(ends, path)
    ends.server.do("close")
    path.forward("server")
    ends.client.hear("")
    return (SERVER_0,)


def closed_by_both(ends, path):
    """By SSL_shutdown, which reads the peer's."""
    said(ends, path)
    ends.client.do("close")
    path.forward("client")
    ends.server.hear("")
    ends.server.do("close")
    path.forward("server")
    assert ends.client.until("close")[0] == "ok"
    return CLIENT_0, SERVER_0


def closing_dropped(ends, path):
    said(ends, path)
    ends.server.do("close")
    assert len(path.drop("server")) == 1
    assert ends.client.do("read")[0] == "wait"
    return ()


def closing_dropped_and_freed(ends, path):
    closing_dropped(ends, path)
    ends.client.ok("free")
    return (SERVER_0,)


MOMENTS = [said, asked, heard, changed, changed_and_used, question_dropped, question_dropped_and_freed, answer_dropped,
           answer_dropped_and_freed, closed, closed_by_both, closing_dropped, closing_dropped_and_freed]
moments = pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)


def _brought(ends, moment):
    path = ends.connect()
    ends.released(path, *moment(ends, path))
    return path


def _accepts(ends, path, key, target, number):
    """Whether this end takes a record that was made with the key for what the other one said."""
    path.push(target, key.seal(number, FORGED.encode()))
    how, what = getattr(ends, target).until("read")
    assert what is None or FORGED not in what or how == "ok"
    return how == "ok" and FORGED in what


def _attempts(ends, moment):
    """Every key that is out by then, with numbers that could be the next."""
    path = _brought(ends, moment)
    for key in ends.shipper.of(path.random):
        number = path.next_number(key)
        yield from ((key.name, chosen) for chosen in sorted({0, max(number - 1, 0), number, number + 1}))


@moments
def test_no_key_that_was_released_forges(moment, after):
    tried = 0
    for name, number in list(_attempts(after, moment)):
        for target in ("client", "server"):
            path = _brought(after, moment)
            key = next(key for key in after.shipper.of(path.random) if key.name == name)
            assert not _accepts(after, path, key, target, number), (name, number, target)
            tried += 1
    assert tried >= 8


# The instrument finds what there is to be found.

@pytest.mark.parametrize("sender, target", [("client", "server"), ("server", "client")])
def test_a_key_that_is_given_live_forges(sender, target, live):
    path = live.connect()
    path.say("client", "one")
    path.say("server", "two")
    live.released(path, CLIENT_0, SERVER_0)
    key = next(key for key in live.shipper.of(path.random) if key.name == (sender, APPLICATION, 0))
    assert _accepts(live, path, key, target, path.next_number(key))


def test_a_key_that_its_sender_gave_away_once_it_has_changed_it_forges(live):
    """Why a side does not release what it writes: it cannot know what the other one has left."""
    path = live.connect()
    path.say("client", "one")
    live.shipper.end(path.random, ROTATE)
    live.client.ok("write", "two")
    assert len(path.drop("client", 2)) == 2  # what was said, and the KeyUpdate after it
    key = next(key for key in live.shipper.of(path.random) if key.name == CLIENT_0)
    assert ("client", APPLICATION, 1) in live.shipper.names(path.random)
    assert _accepts(live, path, key, "server", path.next_number(key))


# What is released when

def test_a_connection_is_read_epoch_by_epoch(after):
    path = _brought(after, changed_and_used)
    names = {key.name: key for key in after.shipper.of(path.random)}
    assert names[CLIENT_0].open(0, path.passed["client"][-3])[0] == b"one"
    after.server.do("close")
    path.forward("server")
    after.client.hear("")
    after.released(path, CLIENT_0, SERVER_0, ("server", APPLICATION, 1))
    after.client.do("close")
    path.forward("client")
    after.server.until("read")
    after.released(path, CLIENT_0, SERVER_0, ("server", APPLICATION, 1), ("client", APPLICATION, 1))
    last = next(key for key in after.shipper.of(path.random) if key.name == ("client", APPLICATION, 1))
    assert last.open(0, path.passed["client"][-2])[0] == b"3"


def test_what_a_program_leaves_open_is_released_when_it_has_ended(world, folder, starts):
    ends = starts(Ends(world, folder, mode="after-rotation", rotate_bytes=0))
    path = ends.connect()
    path.say("server", "one")
    ends.released(path)
    assert ends.shipper.counts()["held"] == 2
    ends.client.process.popen.stdin.close()
    assert ends.client.process.wait() == 0
    ends.released(path, SERVER_0)
    assert ends.shipper.counts()["held"] == 1


def test_keys_of_a_program_that_was_killed_are_counted(world, folder, starts):
    ends = starts(Ends(world, folder, mode="after-rotation"))
    path = ends.connect()
    path.say("server", "one")
    ends.client.process.popen.kill()
    ends.client.process.wait()
    ends.released(path)
    assert ends.shipper.counts()["held"] == 2 and ends.shipper.counts()["lost"] == 0


# The pace

def test_a_server_in_a_long_response_answers_late(world, folder, starts):
    ends = starts(Ends(world, folder, mode="after-rotation", rotate_bytes=ENOUGH, rotate_seconds=0, rotate_when="calls"))
    path = ends.connect()
    asked(ends, path)
    path.forward("client")
    for number in range(2):
        path.say("server", f"still more {number}")
    ends.released(path)
    assert ends.shipper.counts()["overruns"] == 1 and ends.shipper.counts()["rotations"] == 0
    eventually(lambda: ends.server.do("read")[0] == "wait" and path.pull("server"), "an answer")
    path.forward("server")
    eventually(lambda: ends.client.do("read")[0] == "wait" and SERVER_0 in ends.shipper.names(path.random), "the answer")
    assert ends.shipper.counts()["rotations"] == 2  # each side's


def test_an_idle_connection_does_not_rotate_and_is_told(world, folder, starts):
    """Nobody calls: there is nothing to be done with it. What it was about comes with its end, and the delay is counted."""
    ends = starts(Ends(world, folder, mode="after-rotation", rotate_bytes=0, rotate_seconds=3))
    path = ends.connect()
    path.say("client", "one")
    began = time.monotonic()
    eventually(lambda: time.monotonic() > began + 7.5, "two and a half times as long")
    assert path.pull("client") == [] and ends.shipper.counts()["rotations"] == 0
    ends.released(path)
    ends.client.ok("free")
    ends.released(path, SERVER_0)
    assert ends.shipper.counts()["overruns"] == 1


def test_a_connection_rotates_after_its_time(world, folder, starts):
    ends = starts(Ends(world, folder, mode="after-rotation", rotate_bytes=0, rotate_seconds=3))
    path = ends.connect()
    path.say("client", "one")
    began = time.monotonic()
    eventually(lambda: time.monotonic() > began + 3.5, "more than three seconds")
    ends.client.ok("write", "two")
    assert len(path.pull("client", 2)) == 2


def test_rotations_are_no_more_than_peers_bear(world, folder, starts):
    """GnuTLS ends connections that change their keys more than eight times a second."""
    ends = starts(Ends(world, folder, mode="after-rotation", rotate_bytes=1, rotate_seconds=0))
    path = ends.connect()
    began = time.monotonic()
    for number in range(60):
        path.say("client", f"more {number}")
        path.say("server", f"more {number}")
        ends.server.do("read")
        path.forward("server", 0)
    took = time.monotonic() - began
    assert 1 <= ends.shipper.counts()["rotations"] / 2 <= 1 + took / 0.14


# Ends inside a connection

def _talk(path):
    """Both say something until both have changed their keys, as far as anybody wants that."""
    for number in range(4):
        for role in ("client", "server"):
            path.say(role, f"on it goes {number}")


def _opened(ends, path, record):
    return [key.name for key in ends.shipper.of(path.random) for number in range(20) if key.open(number, record)]


@pytest.mark.parametrize("all_of_them", [False, True])
def test_a_live_connection_that_ends_for_a_reader_changes_its_keys_and_lives(all_of_them, live):
    """What it had until then is of no use any more. Others may go on reading."""
    path = live.connect()
    _talk(path)
    live.released(path, CLIENT_0, SERVER_0)
    live.shipper.end(None if all_of_them else path.random, ROTATE)
    _talk(path)
    for role in ("client", "server"):
        path.say(role, "and on")
        (side, stage, epoch), = set(_opened(live, path, path.passed[role][-1]))
        assert (side, stage) == (role, APPLICATION) and epoch > 0


def test_nothing_of_a_connection_that_was_stopped_is_released_any_more_and_it_lives(live):
    path = live.connect()
    _talk(path)
    live.shipper.end(path.random, STOP)
    _talk(path)
    live.released(path, CLIENT_0, SERVER_0)
    for role in ("client", "server"):
        path.say(role, "and on")
        assert not _opened(live, path, path.passed[role][-1])


def test_other_connections_know_nothing_of_it(live):
    path = live.connect()
    path.say("client", "one")
    live.shipper.end(path.random, STOP)
    live.shipper.end(b"of nobody".ljust(32), ROTATE)
    other = live.connect()
    _talk(other)
    live.released(other, CLIENT_0, SERVER_0)


def test_what_is_held_of_a_connection_that_was_stopped_is_never_released(world, folder, starts):
    ends = starts(Ends(world, folder, mode="after-rotation", rotate_bytes=0))
    path = ends.connect()
    path.say("client", "one")
    assert ends.shipper.counts()["held"] == 2
    ends.shipper.end(path.random, STOP)
    _talk(path)
    assert ends.shipper.counts()["held"] == 0
    for role in ("client", "server"):
        getattr(ends, role).ok("free")
    ends.released(path)


def test_a_program_that_reads_sends_no_question_but_with_what_it_says_next(world, folder, starts):
    """A server that has closed its side would answer it with a reset."""
    ends = starts(Ends(world, folder, mode="after-rotation", rotate_bytes=ENOUGH, rotate_seconds=0))
    path = ends.connect()
    for text in ("one", "two", "three"):
        path.say("server", text)
    assert path.pull("client") == []
    ends.client.ok("write", "four")
    assert len(path.pull("client", 2)) == 2
    path.forward("client")
    ends.server.hear("four")
    ends.released(path, CLIENT_0)
    assert path.pull("server") == []
    path.say("server", "five")
    ends.released(path, CLIENT_0, SERVER_0)


# What the program sees

NOTICES = r"""
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
/* Both ends in one program; it looks at everything that a program can look at after a call. */
static int fault(const char *what, int line)
{
	printf("line %d: %s\n", line, what);
	return 1;
}
#define SEE(is) do { if (!(is)) return fault(#is, __LINE__); } while (0)
static int talk(SSL *from, SSL *to, int number)
{
	char text[32] = "", said[32];
	int len = snprintf(said, sizeof(said), "number %d", number);
	SEE(SSL_write(from, said, len) == len);
	printf("%d ", errno);
	SEE(SSL_get_error(from, len) == SSL_ERROR_NONE && SSL_want(from) == SSL_NOTHING && ERR_peek_error() == 0);
	int n = SSL_read(to, text, sizeof(text));
	printf("%d ", errno);
	SEE(n == len && strcmp(text, said) == 0);
	SEE(SSL_get_error(to, n) == SSL_ERROR_NONE && SSL_want(to) == SSL_NOTHING && ERR_peek_error() == 0);
	n = SSL_read(to, text, sizeof(text));
	SEE(n < 0 && SSL_get_error(to, n) == SSL_ERROR_WANT_READ && SSL_want_read(to) && ERR_peek_error() == 0);
	printf("%d\n", errno);
	n = SSL_read(from, text, sizeof(text));
	SEE(n < 0 && SSL_get_error(from, n) == SSL_ERROR_WANT_READ && SSL_want_read(from) && ERR_peek_error() == 0);
	return 0;
}
int main(int count, char **words)
{
	SSL_CTX *out = SSL_CTX_new(TLS_client_method()), *in = SSL_CTX_new(TLS_server_method());
	SEE(count == 3 && SSL_CTX_use_certificate_chain_file(in, words[1]) == 1);
	SEE(SSL_CTX_use_PrivateKey_file(in, words[2], SSL_FILETYPE_PEM) == 1);
	SSL *client = SSL_new(out), *server = SSL_new(in);
	BIO *one, *other;
	SEE(BIO_new_bio_pair(&one, 65536, &other, 65536) == 1);
	SSL_set_bio(client, one, one);
	SSL_set_bio(server, other, other);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int done = 0; done != 2; done = (SSL_do_handshake(client) == 1) + (SSL_do_handshake(server) == 1))
		ERR_clear_error();
	for (int i = 0; i < 50; i++) {
		SEE(talk(client, server, i) == 0);
		SEE(talk(server, client, i) == 0);
	}
	SEE(SSL_shutdown(client) == 0 && SSL_read(server, words[0], 1) == 0);
	SEE(SSL_get_error(server, 0) == SSL_ERROR_ZERO_RETURN && ERR_peek_error() == 0);
	SSL_free(client);
	SSL_free(server);
	puts("nothing");
	return 0;
}
"""


@pytest.mark.parametrize("when", ["writes", "calls"])
def test_a_program_notices_nothing_of_its_rotations(when, world, folder, starts):
    notices = sharing.compiled(folder, "notices", NOTICES, "-lssl", "-lcrypto")
    shipper = starts(Shipper())
    plain = clients.run(notices, *world.files("site.test"))
    done = clients.run(notices, *world.files("site.test"),
                       env=shipper.env(mode="after-rotation", rotate_bytes=1, rotate_seconds=0, rotate_when=when))
    assert done.returncode == 0 and done.stdout.endswith(b"nothing\n"), done.stdout[-200:]
    assert done.stdout == plain.stdout
    assert shipper.counts()["rotations"] >= 2 and shipper.counts()["held"] == 0


GONE = """
import socket, ssl, sys
# The peer is gone; the program reads what it had said, and ends as it would have.
context = ssl.create_default_context(cafile=sys.argv[1])
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname="site.test") as tls:
    tls.sendall(b"GET /files/large HTTP/1.0\\r\\nHost: site.test\\r\\n\\r\\n")
    got = 0
    while part := tls.recv(16384):
        got += len(part)
print(got)
"""


def test_a_server_that_closes_is_read_to_its_end(nginx, world, folder, starts):
    """It has closed before its kernel has sent all, and a KeyUpdate would find nobody."""
    nginx.file("large", bytes(300_000))
    shipper = starts(Shipper())
    done = clients.run("/usr/bin/python3", clients.script(folder, "gone.py", GONE), world.trust, nginx.port,
                       env=shipper.env(mode="after-rotation", rotate_bytes=100_000))
    assert done.returncode == 0 and int(done.stdout) > 300_000, done.stderr


# Whole programs

AFTER = ("--mode", "after-rotation")


def _sending(place, collector, folder, log="release.log"):
    return sharing.sending(place, collector, folder, *AFTER, log=log)


@pytest.fixture
def share(may_capture, folder):
    """share(command ..., options): under `overt exec --share --mode after-rotation`, which ends with `code`."""
    def run(*command, options=(), code=0):
        seen = sharing.run(folder, *command, options=(*AFTER, *options))
        assert seen.code == code, (seen.out, seen.err)
        return seen
    return run


@pytest.mark.parametrize("program", sharing.CLIENTS)
def test_what_a_client_was_answered_is_read_afterwards_and_what_it_asked_is_not(program, share, nginx, world, folder):
    seen = share(*sharing.CLIENTS[program](world, nginx, folder))
    assert seen.statuses == [200] and seen.paths == [], seen.err
    assert sum(event["response_octets"] for event in seen.of("end")) > 0
    assert "lost" not in seen.err and "overruns" not in seen.err, seen.err


BUSY = """
import http.client, ssl, sys, time
there = http.client.HTTPSConnection("site.test", int(sys.argv[2]), context=ssl.create_default_context(cafile=sys.argv[1]))
began, count = time.monotonic(), 0
while time.monotonic() < began + 0.8 or count < 16:
    there.request("GET", "/files/part")
    assert len(there.getresponse().read()) == 1 << 18
    count += 1
    time.sleep(0.02)  # at full speed a reader built with sanitizers does not keep up
print(count)
there.close()
"""


def test_a_connection_is_read_over_all_its_rotations(share, nginx, world, folder):
    """Many megabytes, whose keys change several times; nothing of what was answered is missing."""
    nginx.file("part", bytes(1 << 18))
    seen = share("/usr/bin/python3", clients.script(folder, "busy.py", BUSY), world.trust, nginx.port,
                        options=("--rotate-bytes", "512k"))
    assert set(seen.statuses) == {200} and len(seen.statuses) >= 8, seen.err
    closing, = seen.of("close")
    assert closing["missing_octets"]["down"] == 0, seen.err
    assert int(re.search(r"(\d+) rotations", seen.err)[1]) >= 2, seen.err


def test_tls_12_has_no_rotation_which_is_said(share, nginx_tls12, world):
    seen = share(*curl(world, nginx_tls12))
    assert "TLS 1.2, which has no rotation: nothing of them is released" in seen.err
    assert seen.statuses == [] and seen.paths == []


KILLED = """
import os, signal, socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
tls = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname="site.test")
tls.sendall(b"GET / HTTP/1.1\\r\\nHost: site.test\\r\\n\\r\\n")
tls.recv(4096)
if sys.argv[3] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["killed", "left open"])
def test_what_a_program_had_when_it_ended_is_read_or_else_counted(how, share, nginx, world, folder):
    seen = share("/usr/bin/python3", clients.script(folder, "killed.py", KILLED), world.trust, nginx.port, how,
                        code=137 if how == "killed" else 0)
    assert ("1 keys lost" in seen.err) == (how == "killed"), seen.err
    assert seen.statuses == ([] if how == "killed" else [200])


def test_both_sides_together_are_read_whole(world, starts, folder):
    """The client hands over what it receives, the server what it receives: to one reader, through one collector."""
    place = Place(folder)
    place.grant("--mode", "after-rotation", names=("site.test",), consent="unilateral")
    collector = starts(Collector(place))
    server = starts(servers.Nginx(*world.files("site.test"), under=[
        *_sending(place, collector, folder, "server.log"), "--"]))
    running = starts(watch.live(server.port, *place.reading(collector)))
    done = clients.run(*_sending(place, collector, folder, "client.log"), "--", *curl(world, server, path="/who"),
                       env=overt.SANITIZER_OPTIONS)
    assert done.returncode == 0 and b"1 sealed, of which the collector has 1" in done.stderr, done.stderr
    assert running.wait('"type":"request"')["path"] == "/who"
    assert running.wait('"type":"response"')["status"] == 200
    assert {entry["mode"] for name in ("server.log", "client.log") for entry in lines.objects(folder / name, "release")} == {
        "after-rotation"}


def test_a_live_grant_does_not_cover_what_is_released_after_rotation(world, nginx, starts, folder):
    place = Place(folder)
    place.grant(names=("site.test",), consent="unilateral")
    collector = starts(Collector(place))
    code, _, err = overt.run(*_sending(place, collector, folder)[1:], "--", *curl(world, nginx))
    assert code == 0 and "1 keys: 1 under no grant; 0 sealed" in err, err


LONG = """
import http.client, ssl, sys
there = http.client.HTTPSConnection("site.test", int(sys.argv[2]), context=ssl.create_default_context(cafile=sys.argv[1]))
def ask():
    there.request("GET", "/files/part")
    return len(there.getresponse().read())
print(ask(), ask(), flush=True)
sys.stdin.readline()
print(ask(), ask(), flush=True)
there.close()
"""


def test_a_grant_that_is_revoked_stops_the_next_epoch(world, nginx, starts, folder):
    place = Place(folder)
    grant = place.grant("--mode", "after-rotation", names=("site.test",), consent="unilateral")
    collector = starts(Collector(place))
    nginx.file("part", bytes(100_000))
    log = folder / "release.log"
    run = starts(Process(
        *_sending(place, collector, folder), "--rotate-bytes", "50k", "--", "/usr/bin/python3",
        clients.script(folder, "long.py", LONG), world.trust, nginx.port,
        env=overt.SANITIZER_OPTIONS, stdin=subprocess.PIPE))
    run.out.wait("^100000 100000$")

    def epochs():
        return [entry["epoch"] for entry in lines.objects(log, "release")]
    eventually(lambda: epochs() == [0], "the first epoch is released")
    place.revoke(grant)
    run.popen.stdin.write(b"\n")
    run.popen.stdin.close()
    assert run.wait() == 0, run.err.text()
    assert epochs() == [0] and len(run.out.lines()) == 2, run.err.text()
    assert re.search(r"[2-9] keys: [1-9] under no grant; 1 sealed", run.err.text()), run.err.text()


def test_connections_with_kernel_tls_are_left_out_which_is_said(may_capture, world, starts, folder):
    server = starts(sharing.Server(folder, lambda under: servers.Nginx(
        *world.files("site.test"), under=under, more="ssl_conf_command Options KTLS;"), *AFTER))
    done = clients.run(*curl(world, server))
    assert done.returncode == 0, done.stderr
    assert "kernel TLS, whose keys do not change: nothing of them is released" in server.end().err
