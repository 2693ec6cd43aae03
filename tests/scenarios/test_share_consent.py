"""Consent to share: unmodified programs on both sides of a connection, each under `overt exec --share --collector` with
the grants of its own host. Who is granted by both reads; where they do not agree nothing leaves, and both sides say
why."""

import base64
import ctypes
import json
import os
import re
import signal
import struct
import subprocess

import pytest
from lab import clients, lines, overt, servers, sharing, watch
from lab.collect import Collector, Place
from lab.proc import Process, eventually
from lab.sharing import Host

pytestmark = overt.requires("exec --share --collector", "collect", "grant", "watch --collector")

EXTENSION = 0xFFAD


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = Place(tmp_path_factory.mktemp("consent"), "laptop")
    made.reader_key("auditor")
    return made


@pytest.fixture(scope="module")
def granted(place):
    """Grants by what they are for; before the collector."""
    return {"ops": place.grant(names=("site.test",)), "auditor": place.grant(names=("site.test",), reader="auditor"),
            "other name": place.grant(names=("other.test",)),
            "rotation": place.grant("--mode", "after-rotation", names=("site.test",)),
            "alone": place.grant(names=("site.test",), consent="unilateral")}


@pytest.fixture(scope="module")
def collector(place, granted, starts_module):
    return starts_module(Collector(place))


@pytest.fixture
def laptop(place, collector, folder):
    return Host(place, collector, folder, "laptop")


@pytest.fixture
def web1(place, collector, folder):
    return Host(place, collector, folder, "web1")


def _nginx(starts, world, host, **knobs):
    return starts(servers.Nginx(*world.files("site.test"), under=[*host.words, "--"], **knobs))


def _curl(world, server, path="/who"):
    return sharing.curl(world, server, path=path)


def _end(server):
    server.process.terminate()
    text = server.process.err.text()
    assert not overt.SANITIZER.search(text), text
    return text


FINISHED = [(direction, "both", "finished", "live") for direction in ("client", "server")]
BOTH = [("client", "both", "certificate", "live"), ("server", "both", "certificate", "live")]


@pytest.mark.parametrize("knobs", [{}, {"user": "nobody nogroup"}, {"more": "ssl_ecdh_curve secp384r1;"}],
                         ids=["as it is", "workers without rights", "HelloRetryRequest"])
def test_whom_both_sides_grant_reads(knobs, place, collector, granted, laptop, web1, world, starts):
    server = _nginx(starts, world, web1.has(granted["ops"], granted["auditor"]), **knobs)
    running = starts(watch.live(server.port, *place.reading(collector)))
    done = laptop.has(granted["ops"]).runs(*_curl(world, server))
    assert done.returncode == 0 and "subject=" in done.stdout, done.stderr
    assert running.wait('"type":"request"')["path"] == "/who"
    assert running.wait('"type":"response"')["status"] == 200
    assert "consent of both" not in done.stderr, done.stderr
    assert "consent of both" not in _end(server)
    # Each side has released to the one on whom they agree, and to nobody else whom it grants.
    assert laptop.releases() == BOTH and web1.releases() == BOTH
    assert {e["grant"] for e in web1.entries("release")} == {granted["ops"]}
    assert laptop.refusals() == web1.refusals() == []


def test_a_server_that_changes_its_context_for_the_name_discloses(granted, laptop, web1, world, starts):
    """Offers are read by one context and answered by another."""
    chain, key = world.files("site.test")
    server = starts(servers.OpensslServer(*world.files("other.test"), "-www", "-servername", "site.test", "-cert2",
                                          chain, "-key2", key, under=[*web1.has(granted["ops"]).words, "--"]))
    # s_server shows the second certificate without the one that vouches for it.
    done = laptop.has(granted["ops"]).runs(*_curl(world, server, "/"), "--insecure")
    assert done.returncode == 0, done.stderr
    assert laptop.releases() == BOTH
    eventually(lambda: web1.releases() == BOTH, "the server has released")


def test_gnutls_asks_and_discloses_as_openssl_does(granted, laptop, web1, world, starts, folder):
    """wget to nginx; then curl to gnutls-serv, in a session that is resumed the second time."""
    server = _nginx(starts, world, web1.has(granted["ops"]))
    laptop.has(granted["ops"])
    done = laptop.runs(servers.needs_program("wget"), "-qO-", f"--ca-certificate={world.trust}", "--no-hsts",
                       f"https://site.test:{server.port}/who")
    assert done.returncode == 0 and "subject=" in done.stdout, done.stderr
    _end(server)
    assert laptop.releases() == web1.releases() == BOTH
    server = starts(servers.GnutlsServer(*world.files("site.test"), under=[*web1.words, "--"]))
    done = laptop.runs("/usr/bin/python3", clients.script(folder, "resumed.py", RESUMED), world.trust, server.port)
    assert done.stdout == "reused False\nreused True\n", done.stderr
    _end(server)
    assert laptop.releases() == web1.releases() == sorted(2 * BOTH + FINISHED)


def test_gnutls_refuses_a_reader_who_was_not_offered(granted, laptop, disclosing, world):
    server = disclosing(_notice(1, EVE))
    done = laptop.has(granted["ops"]).runs(servers.needs_program("wget"), "-qO-", f"--ca-certificate={world.trust}",
                                           "--no-hsts", f"https://site.test:{server.port}/")
    assert done.returncode == 0, done.stderr
    assert laptop.releases() == []
    assert laptop.refusals() == [("client", "the server discloses a reader who was not offered")]


def test_watch_tells_of_offer_and_notice(granted, laptop, web1, world, starts, folder):
    """The offer is in the clear; the notice where keys of the handshake are there."""
    log = folder / "keys.log"
    server = _nginx(starts, world, web1.has(granted["ops"]))
    running = starts(watch.live(server.port, "--keys", log))
    assert laptop.has(granted["ops"], granted["auditor"]).runs(
        "env", f"SSLKEYLOGFILE={log}", *_curl(world, server)).returncode == 0
    assert running.wait('"name":"share-offer"')["text"] == "The client offers to share with 2 readers, live."
    assert running.wait('"name":"share-notice"')["text"] == "The server shares with these readers, live: ops"


@pytest.mark.parametrize("of_client, of_server, client_says, server_says", [
    (["other name"], ["ops"], None, "the client lets nobody read"),
    ([], ["ops"], None, "the client does not offer to share"),
    (["auditor"], ["ops"], "the server discloses no reader", "the client offers none of the readers granted here"),
    (["ops"], ["other name"], "the server discloses no reader", None),
    (["ops"], [], "the server discloses no reader", None),
], ids=["for another name", "client without readers", "another reader", "server for another name",
        "server without readers"])
def test_where_they_do_not_agree_nothing_leaves_and_both_say_why(
        of_client, of_server, client_says, server_says, granted, laptop, web1, world, starts):
    server = _nginx(starts, world, web1.has(*(granted[name] for name in of_server)))
    done = laptop.has(*(granted[name] for name in of_client)).runs(*_curl(world, server))
    assert done.returncode == 0 and "subject=" in done.stdout, done.stderr
    said = _end(server)
    assert "2 keys: 2 under no grant; 0 sealed" in done.stderr and "2 keys: 2 under no grant; 0 sealed" in said
    assert laptop.releases() == web1.releases() == []
    for host, side, text, why in ((laptop, "client", done.stderr, client_says), (web1, "server", said, server_says)):
        assert host.refusals() == ([(side, why)] if why else []), text
        if why:
            assert re.search(rf"overt exec: \S+\[\d+\] has a connection to site.test without the consent of both "
                             rf"sides: {why}$", text, re.M), text
            assert f"overt exec: 1 connections without the consent of both sides: {why}" in text, text


def test_modes_that_do_not_match_are_refused(place, collector, granted, laptop, folder, world, starts):
    later = Host(place, collector, folder, "web1", "--mode", "after-rotation").has(granted["rotation"])
    server = _nginx(starts, world, later)
    done = laptop.has(granted["ops"]).runs(*_curl(world, server))
    assert done.returncode == 0, done.stderr
    _end(server)
    assert later.refusals() == [("server", "the client offers readers granted here, but in another mode")]
    assert laptop.refusals() == [("client", "the server discloses no reader")]
    assert laptop.releases() == later.releases() == []


def test_tls_12_has_no_place_for_it(granted, laptop, web1, world, starts):
    server = _nginx(starts, world, web1.has(granted["ops"]), protocols="TLSv1.2")
    assert laptop.has(granted["ops"]).runs(*_curl(world, server)).returncode == 0
    _end(server)
    assert laptop.refusals() == [("client", "TLS 1.2 has no place for consent")]
    assert web1.refusals() == [("server", "TLS 1.2 has no place for consent")]
    assert laptop.releases() == web1.releases() == []


def test_after_rotation_each_releases_what_it_receives(place, collector, granted, folder, world, starts):
    both = [Host(place, collector, folder, name, "--mode", "after-rotation").has(granted["rotation"])
            for name in ("laptop", "web1")]
    server = _nginx(starts, world, both[1])
    assert both[0].runs(*_curl(world, server)).returncode == 0
    said = _end(server)
    assert set(both[0].releases()) == {("server", "both", "certificate", "after-rotation")}, said
    assert set(both[1].releases()) == {("client", "both", "certificate", "after-rotation")}, said


def test_before_the_client_has_finished_no_key_of_the_server_leaves(granted, laptop, web1, world, starts):
    """The path ends what the client says after its hello. The server has its keys by then, and has disclosed."""
    sent = []

    def edit(direction, data):
        if direction == "up" and sent:
            raise ConnectionAbortedError
        if direction == "up":
            sent.append(data)
        return data

    server = _nginx(starts, world, web1.has(granted["ops"]))
    middle = starts(servers.Middle(server.port, edit))
    assert laptop.has(granted["ops"]).runs(*_curl(world, middle)).returncode != 0
    assert laptop.releases() == BOTH  # it has seen the server's Finished
    assert "0 keys:" in _end(server)
    assert web1.releases() == [] and web1.refusals() == []


def test_a_program_that_uses_this_number_itself_keeps_it(granted, laptop, world):
    program = os.path.join(os.path.dirname(overt.binary()), "tests", "scenarios", "lab", "share_own")
    if not os.path.exists(program):
        pytest.skip("share_own is not built")
    done = laptop.has(granted["ops"]).runs(program, *world.files("site.test"))
    assert done.stdout == ("added 1, again 0, met 1\nclient heard: from the server\n"
                           "server heard: from the client\n"), done.stderr


# A server made to name another's key

def _key_id(place, reader):
    pem = (place.keys / f"{reader}.pub").read_text()
    der = base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-")))
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-binary"], input=der, capture_output=True, check=True)
    return digest.stdout


def _notice(mode, *readers):
    body = b"".join(key_id + bytes([len(name)]) + name + b"\x00" for key_id, name in readers)
    return bytes([1, mode]) + struct.pack(">H", len(body)) + body


_ADD = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.POINTER(ctypes.c_void_p),
                        ctypes.POINTER(ctypes.c_size_t), ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int),
                        ctypes.c_void_p)
_ENCRYPTED_EXTENSIONS = 0x0080 | 0x0400 | 0x0020  # as an answer to the ClientHello, of TLS 1.3


class Disclosing(servers.Origin):
    """A server without the agent that sends these octets as its notice, whatever it was offered."""

    def __init__(self, chain, key, octets):
        self.octets = ctypes.create_string_buffer(octets, len(octets))
        self.add = _ADD(self._add)
        context = servers.server_context(chain, key)
        # Python's ssl has no such function; its context begins with libssl's.
        inner = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
        done = ctypes.CDLL("libssl.so.3").SSL_CTX_add_custom_ext(
            inner, ctypes.c_uint(EXTENSION), ctypes.c_uint(_ENCRYPTED_EXTENSIONS), self.add, None, None, None, None)
        assert done == 1
        super().__init__(context)

    def _add(self, _ssl, _kind, context, out, size, *_):
        out[0], size[0] = ctypes.addressof(self.octets), len(self.octets)
        return int(context == 0x0400)


@pytest.fixture
def disclosing(world, starts):
    return lambda octets: starts(Disclosing(*world.files("site.test"), octets))


EVE = (b"\x66" * 32, b"eve")


@pytest.mark.parametrize("readers, mode, why", [
    ([EVE], 1, "the server discloses a reader who was not offered"),
    (["ops", EVE], 1, "the server discloses a reader who was not offered"),
    (["ops"], 2, "the server discloses a mode that was not offered"),
    (["ops", "ops"], 1, "what the server discloses cannot be read"),
    ([], 1, "what the server discloses cannot be read"),
], ids=["another's key", "another's key beside", "another mode", "twice", "nobody"])
def test_a_server_that_names_what_was_not_offered_is_refused(
        readers, mode, why, place, granted, laptop, disclosing, world):
    named = [(_key_id(place, who), who.encode()) if isinstance(who, str) else who for who in readers]
    server = disclosing(_notice(mode, *named))
    done = laptop.has(granted["ops"]).runs(*_curl(world, server, "/"))
    assert done.returncode == 0, done.stderr  # the connection lives, and is not shared
    assert laptop.releases() == [] and laptop.refusals() == [("client", why)]
    assert why in done.stderr
    if EVE in readers:
        assert f'("eve", key id {EVE[0].hex()})' in done.stderr
        assert EVE[0].hex() in [e.get("reader_key") for e in laptop.entries("refusal")]


def test_a_server_that_names_who_was_offered_is_believed(place, granted, laptop, disclosing, world):
    """The counterpart of the test above, by the same server."""
    server = disclosing(_notice(1, (_key_id(place, "ops"), b"ops")))
    assert laptop.has(granted["ops"]).runs(*_curl(world, server, "/")).returncode == 0
    assert laptop.releases() == BOTH


# Resumption

RESUMED = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
session = None
for turn in range(2):
    with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as sock:
        with context.wrap_socket(sock, server_hostname="site.test", session=session) as tls:
            tls.sendall(b"GET /who HTTP/1.1\\r\\nHost: site.test\\r\\nConnection: close\\r\\n\\r\\n")
            while tls.recv(4096):
                pass
            print("reused", tls.session_reused, flush=True)
            session = tls.session
"""


def test_on_resumption_it_is_asked_again_and_the_log_says_what_binds_it(granted, laptop, web1, world, starts, folder):
    server = _nginx(starts, world, web1.has(granted["ops"]))
    done = laptop.has(granted["ops"]).runs(
        "/usr/bin/python3", clients.script(folder, "resumed.py", RESUMED), world.trust, server.port)
    assert done.stdout == "reused False\nreused True\n", done.stderr
    _end(server)
    assert laptop.releases() == web1.releases() == sorted(BOTH + FINISHED)


# By one side's rule alone

def test_what_one_side_releases_alone_is_listed_by_itself(granted, laptop, web1, world, starts):
    """The client has both kinds of grant; the server knows of nothing."""
    server = starts(servers.Nginx(*world.files("site.test")))
    done = laptop.has(granted["ops"], granted["alone"]).runs(*_curl(world, server))
    assert done.returncode == 0 and "2 keys: 0 under no grant; 2 sealed" in done.stderr, done.stderr
    assert laptop.releases() == [(d, "unilateral", None, "live") for d in ("client", "server")]
    assert laptop.refusals() == [("client", "the server discloses no reader")]
    code, out, err = overt.run("log", "show", "--unilateral", "--json", "--log", laptop.log)
    listed = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [e["kind"] for e in listed] == ["grant", "release", "release"], err
    assert {e["grant"] for e in listed} == {granted["alone"]}


def test_with_consent_a_grant_of_one_side_alone_still_says_so(granted, laptop, web1, world, starts):
    server = _nginx(starts, world, web1.has(granted["ops"]))
    done = laptop.has(granted["ops"], granted["alone"]).runs(*_curl(world, server))
    assert done.returncode == 0, done.stderr
    _end(server)
    by_grant = {(e["grant"], e["consent"]) for e in laptop.entries("release")}
    assert by_grant == {(granted["ops"], "both"), (granted["alone"], "unilateral")}


# Services

def test_services_at_a_door_ask_by_a_list_that_stays(granted, web1, laptop, world, starts, folder):
    door, readers = folder / "share", folder / "readers"
    agent = os.path.join(os.path.dirname(overt.binary()), "src", "agent", "libovert-agent.so")
    shipper = starts(Process(*web1.has(granted["ops"]).words, "--door", door, "--readers", readers, "--", "sleep", "600",
                             env=overt.SANITIZER_OPTIONS))
    eventually(door.exists, "the door is there")
    unit = ["env", f"LD_PRELOAD={agent}", f"OVERT_SHARE={door}", f"OVERT_SHARE_UID={os.geteuid()}",
            f"OVERT_SHARE_READERS={readers}"]
    server = starts(servers.Nginx(*world.files("site.test"), user="nobody nogroup", under=unit))
    assert laptop.has(granted["ops"]).runs(*_curl(world, server)).returncode == 0
    assert laptop.releases() == BOTH
    eventually(lambda: len(web1.entries("release")) == 2, "the service has released")
    server.process.terminate()
    shipper.terminate(signal.SIGTERM)
    assert web1.releases() == BOTH and readers.exists()


def test_a_grant_that_is_added_is_asked_for_by_programs_that_begin_later(
        granted, laptop, web1, world, starts, folder):
    server = _nginx(starts, world, web1.has(granted["ops"]))
    readers, curl = folder / "readers", " ".join(map(str, _curl(world, server)))
    run = starts(Process(*laptop.words, "--readers", readers, "--", "sh", "-c", f"{curl}; read line; {curl}",
                         stdin=subprocess.PIPE, env=clients.environment(**overt.SANITIZER_OPTIONS)))
    run.out.wait("subject=")
    assert len(lines.whole(readers)) == 1
    laptop.has(granted["ops"])
    eventually(lambda: "\tlive\tops\tto test\tsite.test\n" in readers.read_text(), "it is in the list")
    run.write(b"\n")
    assert run.wait() == 0, run.err.text()
    _end(server)
    assert laptop.releases() == web1.releases() == BOTH
    assert web1.refusals() == [("server", "the client does not offer to share")]


def test_without_a_list_that_can_be_read_nobody_is_asked(granted, laptop, web1, world, starts):
    """The connection goes on, and what needs consent does not leave."""
    server = _nginx(starts, world, web1.has(granted["ops"]))
    done = laptop.has(granted["ops"]).runs("env", "OVERT_SHARE_READERS=/nonexistent", *_curl(world, server))
    assert done.returncode == 0 and "cannot read the list of readers" in done.stderr, done.stderr
    _end(server)
    assert laptop.releases() == [] and web1.refusals() == [("server", "the client does not offer to share")]
