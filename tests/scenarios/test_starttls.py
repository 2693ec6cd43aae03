"""STARTTLS with real servers: Dovecot for IMAP, POP3 and submission; PostgreSQL's request with a scripted server and the
real client. (Scripted servers for each protocol: test_server_first.py.)"""

import os
import pathlib
import pwd
import re
import select
import shutil
import subprocess
import tempfile
import urllib.request

import pytest
from lab import clients, events, overt, pki, servers, settings, wire
from lab.proc import PATIENCE, Process, eventually

pytestmark = overt.requires("proxy --trust --rules --jsonl")

DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
instance_name = lab
protocols = imap pop3 submission
ssl = yes
ssl_cert = <{chain}
ssl_key = <{key}
disable_plaintext_auth = yes
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
mail_location = maildir:{folder}/mail
first_valid_uid = 1
submission_relay_host = 127.0.0.1
submission_relay_port = 9
hostname = mail.test
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service submission-login {{
  chroot =
  inet_listener submission {{
    address = 127.0.0.1
    port = {submission}
  }}
}}
service anvil {{
  chroot =
}}
"""


class Dovecot:
    """IMAP, POP3 and submission on ports of their own; anybody's password is "secret"."""

    def __init__(self, chain, key):
        program = servers.needs_program("dovecot")
        if os.getuid() != 0:
            pytest.skip("Dovecot is started as root here")
        for name in ("dovecot", "dovenull"):
            try:
                pwd.getpwnam(name)
            except KeyError:
                pytest.skip(f"the user {name} of Debian's package is missing")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-dovecot-"))
        self.folder.chmod(0o755)
        mail = pwd.getpwnam("dovecot")
        (self.folder / "mail").mkdir()
        os.chown(self.folder / "mail", mail.pw_uid, mail.pw_gid)
        self._reserved = [servers.Reserved() for _ in range(3)]
        self.imap, self.pop3, self.submission = (r.port for r in self._reserved)
        (self.folder / "dovecot.conf").write_text(DOVECOT.format(
            folder=self.folder, chain=chain, key=key, user="dovecot", group="dovecot", uid=mail.pw_uid, gid=mail.pw_gid,
            imap=self.imap, pop3=self.pop3, submission=self.submission))
        self.process = Process(program, "-F", "-c", self.folder / "dovecot.conf")
        try:
            eventually(lambda: all(servers.listening(p) for p in (self.imap, self.pop3, self.submission))
                       or not self.process.running(), "Dovecot listens")
            assert self.process.running(), self.process.err.text()
        finally:
            for reserved in self._reserved:
                reserved.close()

    def stop(self):
        self.process.terminate()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def dovecot(world, starts_module):
    return starts_module(Dovecot(*world.files("mail.test")))


PROTOCOLS = {  # the service, and a dialogue inside TLS: what is said, and the line that answers it
    "imap": ("imap", [("a1 CAPABILITY", "^a1 OK"), ("a2 LOGIN user secret", "^a2 OK"), ("a3 LOGOUT", "^a3 OK")]),
    "pop3": ("pop3", [("CAPA", r"^\.\r?$"), ("USER user", r"^\+OK"), ("PASS secret", r"^\+OK"), ("QUIT", r"^\+OK")]),
    # There is nowhere to relay mail to, which this service says once it knows who asks.
    "smtp": ("submission", [("EHLO lab", "^250 "), ("AUTH PLAIN AHVzZXIAc2VjcmV0", r"^[2345]\d\d ")]),
}


def _carry(one, two):
    """Octets both ways until either side ends."""
    sides = {one: two, two: one}
    while True:
        for sock in select.select(list(sides), [], [], 30)[0]:
            data = sock.recv(65536)
            if not data:
                return
            sides[sock].sendall(data)


def _behind_connect(made, port):
    """A port behind which CONNECT has been done: s_client's own -proxy loses a greeting that comes with the answer."""
    def handler(connection):
        with wire.open_tunnel(made.port, "mail.test", port) as onward:
            _carry(connection.sock, onward)
    return servers.Origin(None, handler)


def _talk(made, protocol, dovecot, ca, proxy=True):
    """The dialogue through openssl s_client -starttls. All that it printed."""
    middle = _behind_connect(made, getattr(dovecot, PROTOCOLS[protocol][0])) if proxy else None
    try:
        return _dialogue(made, protocol, (middle or made).port, ca)
    finally:
        if middle:
            middle.stop()


def _dialogue(made, protocol, port, ca):
    process = Process("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-starttls", protocol, "-servername",
                      "mail.test", "-CAfile", ca, "-verify_return_error", "-verify_hostname", "mail.test", "-showcerts", "-ign_eof", "-crlf",
                      stdin=subprocess.PIPE, env=clients.environment())
    with process:
        try:
            process.out.wait("Verify return code: 0")
        except AssertionError as error:
            said = process.out.text() + process.err.text()
            raise AssertionError(f"{error}\n{said}\n{made.words()}") from None
        for line, answer in PROTOCOLS[protocol][1]:
            after = len(process.out.lines())
            process.write(line.encode() + b"\n")
            process.out.wait(answer, after=after)
        return process.out.text() + process.err.text()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_mail_client_behind_connect_is_inspected(protocol, shared, dovecot):
    mark = shared.mark()
    said = _talk(shared, protocol, dovecot, shared.ca)
    assert "overt" in clients.certificates(said)[0].issuer.rfc4514_string().lower()
    eventually(lambda: any(events.is_verdict("inspect")(e) for e in shared.events()[mark[0]:]), "the verdict")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_mail_client_of_a_reverse_listener_is_inspected(protocol, proxy, dovecot):
    port = getattr(dovecot, PROTOCOLS[protocol][0])
    made = proxy(listen=[f"reverse:mail.test:{port}@127.0.0.1:0"])
    said = _talk(made, protocol, dovecot, made.ca, proxy=False)
    assert "overt" in clients.certificates(said)[0].issuer.rfc4514_string().lower()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_bypass_leaves_the_session_to_the_mail_server(protocol, proxy, dovecot, world):
    made = proxy(rules=settings.rules(settings.rule("bypass", settings.BYPASS_UNSEEN, name=["mail.test"])))
    said = _talk(made, protocol, dovecot, world.trust)
    assert "overt" not in clients.certificates(said)[0].issuer.rfc4514_string().lower()
    made.wait_event(events.is_verdict("bypass"), "the verdict")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_bypass_that_needs_a_look_leaves_the_session_to_the_mail_server(protocol, proxy, dovecot, world):
    """The server was asked for STARTTLS to be looked at; it is asked again on a fresh connection, for the client."""
    made = proxy(rules=settings.rules(settings.rule("bypass", name=["mail.test"])))
    said = _talk(made, protocol, dovecot, world.trust)
    assert "overt" not in clients.certificates(said)[0].issuer.rfc4514_string().lower()
    assert made.wait_event(events.is_verdict("bypass"), "the verdict")["pass"] == 2


BYPASS_BY_NAME = settings.rules(settings.rule("bypass", name=["mail.test"]))


def _imap(context, lines, agreements=(b"OK",), **knobs):
    """An IMAP server that notes its lines in `lines`, a list for each connection, and answers the n-th connection's
    STARTTLS with the n-th agreement (the last for all after). Inside TLS it echoes one line."""
    def handler(connection):
        mine = []
        lines.append(mine)
        answer = agreements[min(len(lines), len(agreements)) - 1]
        connection.send(b"* OK ready\r\n")
        for _ in range(1000):
            mine.append(connection.recv_until(b"\r\n"))
            tag, verb = mine[-1].split()[:2]
            if verb == b"STARTTLS":
                if answer is None:
                    return
                connection.send(tag + b" " + answer + b" now\r\n")
                if answer == b"OK":
                    break
            else:
                connection.send(b"* SOMETHING\r\n" + tag + b" OK done\r\n")
        connection.tls = wire.Tls(connection.sock, context, server_side=True).handshake()
        connection.send(b"inside: " + connection.recv_until(b"\n"))
    return handler


def _client_says(sock, *lines):
    """Each when the one before is answered."""
    wire.recv_until(sock, b"\r\n")
    for line in lines:
        sock.sendall(line + b"\r\n")
        wire.recv_until(sock, line.split()[0] + b" OK")


def _is_cut_off(sock):
    with pytest.raises(OSError):
        wire.Tls(sock, clients.context(), server_hostname="mail.test").handshake()
    sock.close()


def test_the_fresh_connection_is_told_what_the_first_was(proxy, starts, world):
    made, lines = proxy(rules=BYPASS_BY_NAME), []
    server = starts(servers.Origin(None, _imap(servers.server_context(*world.files("mail.test")), lines)))
    sock = wire.open_tunnel(made.port, "mail.test", server.port)
    _client_says(sock, b"a CAPABILITY", b"b NOOP", b"c STARTTLS")
    with wire.Tls(sock, clients.context(world.trust), server_hostname="mail.test").handshake() as tls:
        tls.send(b"hello\n")
        assert tls.recv() == b"inside: hello\n"
    server.wait_quiet()
    assert lines == [[b"a CAPABILITY\r\n", b"b NOOP\r\n", b"c STARTTLS\r\n"]] * 2


def test_the_exporter_is_equal_at_both_ends_after_starttls(proxy, starts, world):
    """One TLS connection, from end to end: what RFC 9266 binds to is the same on both sides."""
    made = proxy(rules=BYPASS_BY_NAME, listen=["127.0.0.1:0"])
    export = ["-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"]
    inner = starts(servers.OpensslServer(*world.files("mail.test"), *export))

    def handler(connection):
        connection.send(b"* OK ready\r\n")
        tag = connection.recv_until(b"CAPABILITY\r\n").split()[0]
        connection.send(b"* CAPABILITY IMAP4rev1 STARTTLS\r\n" + tag + b" OK done\r\n")
        tag = connection.recv_until(b"STARTTLS\r\n").split()[0]
        connection.send(tag + b" OK now\r\n")
        with wire.connect(inner.port) as onward:
            _carry(connection.sock, onward)

    server = starts(servers.Origin(None, handler))
    middle = starts(_behind_connect(made, server.port))
    process = Process("openssl", "s_client", "-connect", f"127.0.0.1:{middle.port}", "-starttls", "imap",
                      "-servername", "mail.test", "-CAfile", world.trust, *export,
                      stdin=subprocess.PIPE, env=clients.environment())
    with process:
        inner.process.out.wait(process.out.wait(r"Keying material: [0-9A-F]{64}").group(0))


def test_a_server_that_refuses_tls_the_second_time_ends_it_with_a_reason(proxy, starts, world):
    made = proxy(rules=BYPASS_BY_NAME)
    for answer, reason in ((b"BAD", "refuses TLS now"), (None, "closed the connection")):
        mark, lines = made.mark(), []
        context = servers.server_context(*world.files("mail.test"))
        server = starts(servers.Origin(None, _imap(context, lines, (b"OK", answer))))
        sock = wire.open_tunnel(made.port, "mail.test", server.port)
        _client_says(sock, b"c STARTTLS")
        _is_cut_off(sock)
        made.wait_words(f"replay-failed[^$]*{reason}", mark)
        assert len(lines) == 2


def test_credentials_before_starttls_are_never_said_twice(proxy, starts, world):
    made, lines = proxy(rules=BYPASS_BY_NAME), []
    server = starts(servers.Origin(None, _imap(servers.server_context(*world.files("mail.test")), lines)))
    sock = wire.open_tunnel(made.port, "mail.test", server.port)
    _client_says(sock, b"a LOGIN ann secret", b"c STARTTLS")
    _is_cut_off(sock)
    made.wait_words("cannot-step-aside[^$]*must not be said twice")
    server.wait_quiet()
    assert len(lines) == 1


def test_more_than_is_kept_before_starttls_is_not_said_twice(proxy, starts, world):
    made, lines = proxy("--metrics", "127.0.0.1:0", rules=BYPASS_BY_NAME), []
    server = starts(servers.Origin(None, _imap(servers.server_context(*world.files("mail.test")), lines)))
    sock = wire.open_tunnel(made.port, "mail.test", server.port)
    _client_says(sock, *[b"a NOOP" + b" " * 100] * 80, b"c STARTTLS")
    _is_cut_off(sock)
    made.wait_words("cannot-step-aside[^$]*more before TLS than is kept")
    at = made.wait_log(r"serving what=metrics address=(127\.0\.0\.1:\d+)").group(1)
    eventually(lambda: re.search(rb'overt_starttls_replays_failed_total\{[^}]*why="too-long"[^}]*\} 1',
                                 urllib.request.urlopen(f"http://{at}/metrics", timeout=PATIENCE).read()), "the cap was counted")


def test_a_server_that_wants_a_client_certificate_after_starttls_gets_the_clients_own(proxy, starts, world):
    made, lines = proxy(), []
    chain, key = world.files("client", usages=(pki.CLIENT_AUTH,), subject="ann")
    context = servers.server_context(*world.files("mail.test"), client_trust=world.trust)
    server = starts(servers.Origin(None, _imap(context, lines)))
    sock = wire.open_tunnel(made.port, "mail.test", server.port)
    _client_says(sock, b"a CAPABILITY", b"c STARTTLS")
    context = clients.context(world.trust, chain=chain, key=key)
    with wire.Tls(sock, context, server_hostname="mail.test").handshake() as tls:
        tls.send(b"hello\n")
        assert tls.recv() == b"inside: hello\n"
    made.wait_event(events.is_verdict("bypass"), "the verdict")


def test_curl_reads_mail_over_imap_and_pop3_with_starttls(shared, dovecot):
    for scheme, port in (("imap", dovecot.imap), ("pop3", dovecot.pop3)):
        done = clients.run("curl", "-q", "-sS", "--proxytunnel", "-x", f"http://127.0.0.1:{shared.port}", "--ssl-reqd",
                           "--cacert", shared.ca, "-u", "user:secret", f"{scheme}://mail.test:{port}/")
        assert done.returncode == 0, done.stderr.decode()


def test_a_session_without_starttls_is_relayed_as_it_is(shared, dovecot):
    with wire.open_tunnel(shared.port, "mail.test", dovecot.pop3) as sock:
        wire.recv_until(sock, b"\r\n")
        sock.sendall(b"CAPA\r\n")
        assert b"STLS" in wire.recv_until(sock, b"\r\n.\r\n")
        sock.sendall(b"QUIT\r\n")
        assert wire.recv_to_end(sock).startswith(b"+OK")


def test_answers_behind_the_servers_agreement_are_refused(shared, starts):
    """Response injection: what a man in the middle adds in the clear must not look as if it came inside TLS."""
    def handler(connection):
        connection.send(b"* OK IMAP4rev1 ready\r\n")
        connection.recv_until(b"STARTTLS\r\n")
        connection.send(b"a1 OK begin\r\n* BYE injected\r\n")
        connection.recv()

    server = starts(servers.Origin(None, handler))
    with wire.open_tunnel(shared.port, "mail.test", server.port) as sock:
        wire.recv_until(sock, b"\r\n")
        sock.sendall(b"a1 STARTTLS\r\n")
        try:
            assert b"injected" not in wire.recv_to_end(sock)
        except ConnectionResetError:
            pass
    shared.wait_words("starttls-refused")


# PostgreSQL

SSL_REQUEST = bytes.fromhex("0000000804d2162f")


def _postgres(context, answer=b"S"):
    """A server that speaks the start of PostgreSQL's protocol inside TLS and says who asked."""
    def handler(connection):
        assert wire.recv_exactly(connection.sock, 8) == SSL_REQUEST
        connection.send(answer)
        if answer != b"S":
            return
        connection.tls = wire.Tls(connection.sock, context, server_side=True).handshake()
        head = connection.recv()
        text = b"SFATAL\0C28000\0Mhello " + head.split(b"user\0")[1].split(b"\0")[0] + b"\0\0"
        connection.send(b"E" + (len(text) + 4).to_bytes(4, "big") + text)
    return handler


def test_psql_is_inspected_by_a_reverse_listener(proxy, world, starts):
    program = servers.needs_program("psql")
    server = starts(servers.Origin(None, _postgres(servers.server_context(*world.files("mail.test")))))
    made = proxy(listen=[f"reverse:mail.test:{server.port}@127.0.0.1:0"])
    done = clients.run(program, f"host=mail.test port={made.port} user=ann dbname=x sslmode=verify-full "
                       f"sslrootcert={made.ca} gssencmode=disable connect_timeout=20", "-c", "select 1")
    assert b"hello ann" in done.stderr, done.stderr
    made.wait_event(events.is_verdict("inspect"), "the verdict")


def test_psql_that_is_bypassed_by_name_reaches_the_server_itself(proxy, world, starts):
    program = servers.needs_program("psql")
    server = starts(servers.Origin(None, _postgres(servers.server_context(*world.files("mail.test")))))
    made = proxy(listen=[f"reverse:mail.test:{server.port}@127.0.0.1:0"], rules=BYPASS_BY_NAME)
    done = clients.run(program, f"host=mail.test port={made.port} user=ann dbname=x sslmode=verify-full "
                       f"sslrootcert={world.trust} gssencmode=disable connect_timeout=20", "-c", "select 1")
    assert b"hello ann" in done.stderr, done.stderr
    assert made.wait_event(events.is_verdict("bypass"), "the verdict")["pass"] == 2
    assert len(server.connections) == 2


def test_a_postgresql_server_that_declines_the_second_time_ends_it_with_a_reason(proxy, world, starts):
    context = servers.server_context(*world.files("mail.test"))
    answers = iter([b"S", b"N"])
    server = starts(servers.Origin(None, lambda c: _postgres(context, next(answers))(c)))
    made = proxy(listen=[f"reverse:mail.test:{server.port}@127.0.0.1:0"], rules=BYPASS_BY_NAME)
    sock = wire.connect(made.port)
    sock.sendall(SSL_REQUEST)
    assert wire.recv_exactly(sock, 1) == b"S"
    _is_cut_off(sock)
    made.wait_words("replay-failed[^$]*refuses TLS now")


def test_a_postgresql_server_without_tls_is_relayed(proxy, starts, world):
    def handler(connection):
        wire.recv_exactly(connection.sock, 8)
        connection.send(b"N")
        connection.send(b"plain " + connection.recv())

    server = starts(servers.Origin(None, handler))
    made = proxy(listen=[f"reverse:mail.test:{server.port}@127.0.0.1:0"])
    with wire.connect(made.port) as sock:
        sock.sendall(SSL_REQUEST)
        assert wire.recv_exactly(sock, 1) == b"N"
        startup = b"\0\0\0\x10\0\3\0\0user\0a\0\0"
        sock.sendall(startup)
        assert wire.recv_exactly(sock, 6 + len(startup)) == b"plain " + startup


def test_octets_behind_postgresqls_agreement_are_refused(proxy, starts):
    server = starts(servers.Origin(None, lambda c: (c.recv(), c.send(b"Sextra"), c.recv())))
    made = proxy(listen=[f"reverse:mail.test:{server.port}@127.0.0.1:0"])
    with wire.connect(made.port) as sock:
        sock.sendall(SSL_REQUEST)
        try:
            assert b"extra" not in wire.recv_to_end(sock)
        except ConnectionResetError:
            pass
    made.wait_words("starttls-refused")
