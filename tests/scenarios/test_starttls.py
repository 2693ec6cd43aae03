"""STARTTLS with real servers: Dovecot for IMAP, POP3 and submission; PostgreSQL's request with a scripted server and the
real client. (Scripted servers for each protocol: test_server_first.py.)"""

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

import pytest
from lab import clients, events, overt, servers, settings, wire
from lab.proc import Process, eventually

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
# On a port that is not one of mail's, SMTP is told by this word.
login_greeting = ESMTP ready
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


def _talk(made, protocol, dovecot, ca, proxy=True):
    """The dialogue through openssl s_client -starttls. All that it printed."""
    port = getattr(dovecot, PROTOCOLS[protocol][0])
    where = ["-proxy", f"127.0.0.1:{made.port}", "-connect", f"mail.test:{port}"] if proxy else \
            ["-connect", f"127.0.0.1:{made.port}"]
    process = Process("openssl", "s_client", *where, "-starttls", protocol, "-servername", "mail.test", "-CAfile", ca,
                      "-verify_return_error", "-verify_hostname", "mail.test", "-showcerts", "-ign_eof", "-crlf",
                      stdin=subprocess.PIPE, env=clients.environment())
    with process:
        process.out.wait("Verify return code: 0")
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
    assert any(events.is_verdict("inspect")(e) for e in shared.events()[mark[0]:])


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


def test_a_bypass_that_needs_a_look_comes_too_late_and_says_so(proxy, dovecot):
    """After STARTTLS the server cannot be connected to afresh for the held hello."""
    made = proxy(rules=settings.rules(settings.rule("bypass", name=["mail.test"])))
    sock = wire.open_tunnel(made.port, "mail.test", dovecot.imap)
    wire.recv_until(sock, b"\r\n")
    sock.sendall(b"a1 STARTTLS\r\n")
    wire.recv_until(sock, b"a1 OK")
    with pytest.raises(OSError):
        wire.Tls(sock, clients.context(), server_hostname="mail.test").handshake()
    sock.close()
    made.wait_words("cannot-step-aside")


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
