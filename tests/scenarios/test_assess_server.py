"""overt assess server against servers that are set up well and badly, and against what is no server at all."""

import json
import pathlib
import re
import select
import socket
import ssl
import threading

import pytest
from cryptography.hazmat.primitives import serialization
from lab import overt, servers, wire

pytestmark = overt.requires("assess --at-least")

QUICK = ("--pause", "0s", "--timeout", "20s")


def assess(world, server, *options, name="site.test", code=0):
    done, out, err = overt.run("assess", "server", f"{name}:{server.port}", "--trust", world.trust, "--json", *QUICK, *options)
    assert done == code, err
    report = json.loads(out)
    assert report["assess"] == "server" and report["connections"] <= 72 and report["lost"] == 0
    return report


def found(report, check):
    """Grade and what was seen, of each finding of a check."""
    return [(f["grade"], f["seen"]) for f in report["findings"] if f["check"] == check]


def grade(report, check):
    return found(report, check)[0][0]


def dropout(report):
    return next(v["verdict"] for v in report["verdicts"] if v["name"] == "dropout")


def spoken(report):
    return {seen.split(":")[0] for _, seen in found(report, "version") if seen.endswith(": spoken")}


def test_a_good_nginx_gets_an_a_and_is_not_exposed(world, starts):
    server = starts(servers.Nginx(*world.files("site.test"), more="ssl_ciphers ECDHE+AESGCM; ssl_session_tickets off;"))
    report = assess(world, server)
    assert report["grade"] == "A", [f for f in report["findings"] if f["grade"] > "A"]
    assert spoken(report) == {"TLS 1.2", "TLS 1.3"} and dropout(report) == "not-exposed"
    assert grade(report, "chain") == "A" and found(report, "rsa-key-exchange") == [("A", "refused")]
    assert "x25519" in found(report, "groups")[0][1] and found(report, "tickets-classic")[0][1] == "none"
    assert server.requests() == [], "a request was sent"


def test_an_apache_with_old_versions_and_rsa_key_exchange_is_exposed(world, starts):
    server = starts(servers.Apache(*world.files("apache.test", kind="rsa2048"), more="SSLProtocol +TLSv1 +TLSv1.1 +TLSv1.2\n"
                                   "SSLCipherSuite ALL:@SECLEVEL=0"))
    report = assess(world, server, name="apache.test")
    assert {"TLS 1.0", "TLS 1.1", "TLS 1.2"} == spoken(report)
    assert found(report, "rsa-key-exchange") == [("B", "taken")] and dropout(report) == "exposed"
    assert report["grade"] in "BCF"


def test_dhe_in_a_group_that_is_none_is_found(world, starts, folder):
    group = servers.custom_group(2048)
    (folder / "dh.pem").write_bytes(group if isinstance(group, bytes) else group.encode())
    server = starts(servers.OpensslServer(*world.files("site.test", kind="rsa2048"), "-dhparam", folder / "dh.pem", "-tls1_2",
                                          "-cipher", "DHE+AESGCM"))
    report = assess(world, server)
    assert found(report, "dhe-group")[0] == ("F", "2048 bits, not a prime")
    assert report["grade"] == "F" and dropout(report) == "exposed" and spoken(report) == {"TLS 1.2"}


def test_openssl_without_extended_master_secret_but_with_ecdhe_alone_is_not_exposed(world, starts):
    context = servers.server_context(*world.files("site.test"), no_ems=True, ciphers="ECDHE+AESGCM")
    report = assess(world, starts(servers.Origin(context)))
    assert found(report, "extended-master-secret") == [("B", "not supported")] and dropout(report) == "not-exposed"


def test_gnutls_says_the_same_of_its_named_group(world, starts):
    server = starts(servers.GnutlsServer(*world.files("gnutls.test", kind="rsa2048"),
                                         priority="NORMAL:-KX-ALL:+DHE-RSA:+RSA:-VERS-ALL:+VERS-TLS1.2"))
    report = assess(world, server, name="gnutls.test")
    assert any("ffdhe" in seen for _, seen in found(report, "dhe-group")), found(report, "dhe-group")
    assert dropout(report) == "exposed" and grade(report, "rsa-key-exchange") == "B"


def test_a_tls13_only_server_is_not_exposed(world, starts, nginx):
    server = starts(servers.Nginx(*world.files("site.test"), protocols="TLSv1.3"))
    report = assess(world, server)
    assert spoken(report) == {"TLS 1.3"} and dropout(report) == "not-exposed" and report["grade"] == "A"


def test_a_certificate_for_another_name_is_an_f_and_ends_with_one_where_a_grade_is_demanded(world, nginx):
    report = assess(world, nginx, "--at-least", "B", "--name", "elsewhere.test", code=1)
    assert grade(report, "chain") == "F" and found(report, "chain")[0][1].startswith("wrong-name")


def test_the_page_stands_alone_and_the_text_has_no_colours_in_a_file(world, nginx, folder):
    page = folder / "page.html"
    code, out, err = overt.run("assess", "server", f"site.test:{nginx.port}", "--trust", world.trust, "--html", page, *QUICK)
    assert code == 0 and "\033" not in out and "dropout: " in out, err
    text = page.read_text("utf-8")
    assert text.startswith("<!doctype html>") and "dropout" in text
    assert "<script" not in text and "src=" not in text and "http:" not in text


# The same four programs the other way round

def test_a_bad_nginx_is_found_to_speak_what_is_deprecated_and_to_take_rsa(world, starts):
    server = starts(servers.Nginx(*world.files("site.test", kind="rsa2048"), protocols="TLSv1 TLSv1.1 TLSv1.2",
                                  more="ssl_ciphers ALL:@SECLEVEL=0; ssl_ecdh_curve prime256v1;"))
    report = assess(world, server)
    assert {"TLS 1.0", "TLS 1.1", "TLS 1.2"} == spoken(report) and dropout(report) == "exposed"
    assert found(report, "rsa-padding")[0][0] == "A", found(report, "rsa-padding")
    assert grade(report, "rsa-key-exchange") == "B" and report["grade"] in "BCF"


def test_a_good_apache_gets_an_a(world, starts):
    server = starts(servers.Apache(*world.files("apache.test"), more="SSLProtocol -all +TLSv1.2 +TLSv1.3\n"
                                   "SSLCipherSuite ECDHE+AESGCM\nSSLSessionTickets off"))
    report = assess(world, server, name="apache.test")
    assert report["grade"] == "A", [f for f in report["findings"] if f["grade"] > "A"]
    assert dropout(report) == "not-exposed" and report["pause_s"] == 0


def test_a_good_openssl_gets_an_a_and_its_groups_are_told(world, starts):
    server = starts(servers.OpensslServer(*world.files("site.test"), "-www", "-cipher", "ECDHE+AESGCM", "-groups", "X25519:P-256",
                                          "-no_renegotiation"))
    report = assess(world, server)
    assert report["grade"] == "A", [f for f in report["findings"] if f["grade"] > "A"]
    groups = found(report, "groups")[0][1]
    assert "x25519" in groups and "secp256r1" in groups and "secp384r1" not in groups


def test_a_good_gnutls_gets_an_a(world, starts):
    server = starts(servers.GnutlsServer(*world.files("gnutls.test"),
                                         priority="NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:"
                                                  "-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"))
    report = assess(world, server, name="gnutls.test")
    assert report["grade"] in "AB" and dropout(report) == "not-exposed", [f for f in report["findings"] if f["grade"] > "A"]


class Telling:
    """In front of a server with RSA key exchange: has its key, and answers a wrong padding with an alert of its own, as the
    servers of ROBOT did."""

    def __init__(self, port, key):
        self.port_behind = port
        self.key = serialization.load_pem_private_key(pathlib.Path(key).read_bytes(), None).private_numbers()
        self.origin = servers.Origin(None, self._handle)
        self.port = self.origin.port

    def _handle(self, connection):
        with wire.connect(self.port_behind) as behind:
            while True:
                ready, _, _ = select.select([connection.sock, behind], [], [], 10)
                if not ready:
                    return
                for sock in ready:
                    data = sock.recv(65536)
                    if not data:
                        return
                    if sock is connection.sock and data[:1] == b"\x16" and data[5:6] == b"\x10" and not self._right(data):
                        connection.sock.sendall(b"\x15\x03\x03\x00\x02\x02\x28")
                        return
                    (behind if sock is connection.sock else connection.sock).sendall(data)

    def _right(self, data):
        n, d = self.key.public_numbers.n, self.key.d
        size = (n.bit_length() + 7) // 8
        block = pow(int.from_bytes(data[11:11 + size], "big"), d, n).to_bytes(size, "big")
        return block.startswith(b"\0\2") and block.find(b"\0", 2) == size - 49

    def stop(self):
        self.origin.stop()


def test_an_oracle_of_paddings_is_found(world, starts):
    chain, key = world.files("site.test", kind="rsa2048")
    behind = starts(servers.Nginx(chain, key, protocols="TLSv1.2", more="ssl_ciphers ALL;"))
    report = assess(world, starts(Telling(behind.port, key)))
    mark, text = found(report, "rsa-padding")[0]
    assert mark == "F" and "alert 40" in text and "the same twice" in text, text


def test_the_report_says_how_much_was_asked_and_how_far_apart(world, nginx):
    code, out, err = overt.run("assess", "server", f"site.test:{nginx.port}", "--trust", world.trust, "--pause", "10ms")
    assert code == 0 and re.search(r"\d+ connections, 0.01 s apart or more, \d+\.\d s in all", out), out + err


# What is no server

class Talker:
    """Says one thing to whoever connects, in a loop or once, and keeps the connection."""

    def __init__(self, text=b"", endless=False):
        self.sock, self.open, self.text, self.endless = servers.listen(), [], text, endless
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.open.append(sock)
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock):
        try:
            sock.sendall(self.text)
            while self.endless:
                sock.sendall(self.text)
        except OSError:
            pass

    def stop(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        for sock in self.open:
            sock.close()


ENDLESS = b"\x16\x03\x03\x40\x00\x02\xff\xff\xff" + b"\0" * 16380


@pytest.mark.parametrize("text, endless, said", [
    (b"SSH-2.0-none\r\n", False, "not TLS"),
    (b"", False, "no whole answer before the deadline"),
    (b"\x16\x03\x03\x00\x04\x02\x00\x00\x00", False, "malformed"),
    (ENDLESS, True, "no end"),
    (b"\x15\x03\x03\x00\x02\x01\x70", True, "no "),
], ids=["ssh", "hangs", "malformed", "flood", "warnings"])
def test_what_is_no_server_is_told_in_one_line_within_deadlines(starts, text, endless, said):
    server = starts(Talker(text, endless))
    code, out, err = overt.run("assess", "server", f"127.0.0.1:{server.port}", "--timeout", "1s", "--pause", "0s")
    assert code == 1 and out == "" and len(err.splitlines()) == 1 and said in err, err
    assert len(server.open) <= 5


class Tickets(Talker):
    """Completes every handshake, and then sends tickets of TLS 1.3 without end."""

    def __init__(self, chain, key):
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ctx.load_cert_chain(chain, key)
        self.ctx.num_tickets = 1 << 30
        super().__init__()

    def _talk(self, sock):
        try:
            self.open.append(self.ctx.wrap_socket(sock, server_side=True))
        except OSError:
            pass


def test_tickets_without_end_do_not_hold_it(starts, world):
    server = starts(Tickets(*world.files("site.test")))
    code, out, err = overt.run("assess", "server", f"site.test:{server.port}", "--timeout", "3s", "--total", "30s", "--pause",
                               "0s", "--trust", world.trust, "--json")
    assert code == 0 and not err, err
    assert next(f for f in json.loads(out)["findings"] if f["check"] == "tickets")["seen"] == "sent", out


def test_a_host_that_is_gone_is_told():
    port, held = servers.silent_port()
    code, out, err = overt.run("assess", "server", f"127.0.0.1:{port}")
    held.close()
    assert (code, out) == (1, "") and "Connection refused" in err


@pytest.mark.parametrize("words", [[], ["server"], ["server", "a", "b"], ["server", "host:0"], ["nothing"],
                                   ["server", "host", "--at-least", "D"], ["client"], ["client", "--"]], ids=" ".join)
def test_misuse_is_told_and_nothing_is_asked(words):
    code, out, err = overt.run("assess", *words)
    assert code in (1, 2) and out == "" and len(err.splitlines()) == 1, err
    assert code == 2 or "host:0" in words
