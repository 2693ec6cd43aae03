"""Real servers on ports from the kernel. Each listens when its constructor returns, and is stopped by its `stop`."""

import os
import pathlib
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

import pytest

from . import der, hello, pki, wire
from .proc import PATIENCE, Process, eventually

NO_EMS = 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET
EVERYTHING = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"


def listen(host="127.0.0.1", port=0):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(1024)
    return sock


class Reserved:
    """A port kept from others while a program that cannot take a socket binds it: bound here, not listening, which
    SO_REUSEADDR lets the program share."""

    def __init__(self, host="127.0.0.1"):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host, 0))
        self.port = self.sock.getsockname()[1]

    def close(self):
        self.sock.close()


def listening(port):
    """Whether some socket listens on the IPv4 port, without touching it."""
    state = f":{port:04X} "
    return any(state in line.split("rem_address")[0][:25] and " 0A " in line
               for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:])


def needs_program(name):
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not path:
        pytest.skip(f"{name} is not installed")
    return path


# A server whose behaviour the test scripts

def server_context(chain=None, key=None, *, least=ssl.TLSVersion.TLSv1_2, most=ssl.TLSVersion.TLSv1_3, protocols=(),
                   ciphers=EVERYTHING, no_ems=False, client_trust=None, client_required=True):
    """A context that presents anything: weak keys and signatures are let through."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(ciphers)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.minimum_version, context.maximum_version = least, most
    if chain:
        context.load_cert_chain(chain, key)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if no_ems:
        context.options |= NO_EMS
    if client_trust:
        context.load_verify_locations(client_trust)
        context.verify_mode = ssl.CERT_REQUIRED if client_required else ssl.CERT_OPTIONAL
    return context


# What server_context makes weak over TLS 1.2
WEAK = {
    "cbc": {"ciphers": "ECDHE+AES:!AESGCM:!AESCCM:@SECLEVEL=0"},
    "rsa-key-exchange": {"ciphers": "kRSA:@SECLEVEL=0"},
    "rsa-key-exchange-gcm": {"ciphers": "AES128-GCM-SHA256:@SECLEVEL=0"},
    "null": {"ciphers": "eNULL:@SECLEVEL=0"},
    "anonymous": {"ciphers": "aNULL:@SECLEVEL=0"},
    "without-extended-master-secret": {"no_ems": True},
}

# Priorities of GnuTLS for weaknesses that OpenSSL cannot show
WEAK_GNUTLS = {
    "3des": "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+3DES-CBC",
    "without-extended-master-secret": "NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH",
    "without-renegotiation-info": "NORMAL:-VERS-ALL:+VERS-TLS1.2:%DISABLE_SAFE_RENEGOTIATION",
}


def custom_group(bits):
    """A Diffie-Hellman group in PEM that no document names. Its modulus need not be prime: nobody may use it."""
    modulus = secrets.randbits(bits) | 1 << (bits - 1) | 1
    return pki.pem("DH PARAMETERS", der.seq(der.integer(modulus), der.integer(2)))


class Connection:
    """One accepted connection: what happened to it. `received` holds the application bytes that reached the server, `peer`
    the client's certificate as it stood with the first of them: a connection that ended no longer tells."""

    def __init__(self, sock):
        self.sock, self.tls, self.peer = sock, None, None
        self.received, self.error, self.ended = bytearray(), None, threading.Event()

    def recv(self, most=65536):
        data = self.tls.recv(most) if self.tls else self.sock.recv(most)
        if self.tls and data and not self.received:
            self.peer = self.tls.object.getpeercert()
        self.received += data
        return data

    def recv_until(self, mark):
        data = b""
        while mark not in data:
            part = self.recv()
            if not part:
                raise EOFError(f"the client closed before {mark!r}, after {data!r}")
            data += part
        return data

    def send(self, data):
        if self.tls:
            self.tls.send(data)
        else:
            self.sock.sendall(data)


def http_answer(body, status="200 OK", headers=""):
    body = body.encode() if isinstance(body, str) else body
    return (f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nContent-Type: text/plain\r\n{headers}\r\n"
            .encode() + body)


def speak_http(connection):
    """Answers each request (body by Content-Length) with the text "origin: METHOD TARGET LENGTH"."""
    pending = b""
    while True:
        while b"\r\n\r\n" not in pending:
            part = connection.recv()
            if not part:
                return
            pending += part
        head, pending = pending.split(b"\r\n\r\n", 1)
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
        wanted = int(length.group(1)) if length else 0
        while len(pending) < wanted:
            part = connection.recv()
            if not part:
                return
            pending += part
        pending = pending[wanted:]
        method, target = head.split(b" ")[:2]
        connection.send(http_answer(f"origin: {method.decode()} {target.decode()} {wanted}"))


class Origin:
    """A threaded server over TLS (or over plain TCP when `context` is None) that runs `handler(connection)`."""

    def __init__(self, context=None, handler=speak_http, host="127.0.0.1"):
        self.context, self.handler, self.connections = context, handler, []
        self._changed, self._closing = threading.Condition(), False
        self.sock = listen(host)
        self.port = self.sock.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            if self._closing:
                sock.close()
                return
            sock.settimeout(PATIENCE)
            connection = Connection(sock)
            with self._changed:
                self.connections.append(connection)
                self._changed.notify_all()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self.context:
                connection.tls = wire.Tls(connection.sock, self.context, server_side=True)
                connection.tls.handshake()
            self.handler(connection)
            if connection.tls:
                connection.tls.close_notify()
        except (OSError, EOFError) as error:  # ssl.SSLError is an OSError
            connection.error = error
        finally:
            connection.sock.close()
            with self._changed:
                connection.ended.set()
                self._changed.notify_all()

    def wait_connection(self, number=1, timeout=PATIENCE):
        """The connection of that number, counted from 1, once it was accepted."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.connections) >= number, timeout), \
                f"{len(self.connections)} connections, {number} wanted"
            return self.connections[number - 1]

    def wait_quiet(self, timeout=PATIENCE):
        """Returns once every accepted connection has ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: all(c.ended.is_set() for c in self.connections), timeout), \
                "a connection to the server is still open"

    def received(self):
        """Application bytes that reached the server, over all connections."""
        return b"".join(bytes(c.received) for c in self.connections)

    def hello(self, number=1):
        """The ClientHello of a connection, parsed."""
        connection = self.wait_connection(number)
        eventually(lambda: connection.tls is not None and (len(wire.records(connection.tls.raw_in)) > 0
                                                           or connection.ended.is_set()), "a ClientHello came")
        return hello.parse(connection.tls.raw_in)

    def stop(self):
        self._closing = True
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        for connection in self.connections:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Middle:
    """A TCP relay in front of a server; `edit(direction, data)` changes what passes ("up" or "down")."""

    def __init__(self, port, edit):
        def handle(connection):
            above = wire.connect(port)
            up = threading.Thread(target=self._pump, args=(connection.sock, above, "up", edit), daemon=True)
            up.start()
            self._pump(above, connection.sock, "down", edit)
            up.join(PATIENCE)
            above.close()
        self._origin = Origin(None, handle)
        self.port = self._origin.port

    @staticmethod
    def _pump(source, sink, direction, edit):
        try:
            while data := source.recv(65536):
                sink.sendall(edit(direction, data))
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for sock in (source, sink):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def wait_quiet(self):
        self._origin.wait_quiet()

    def stop(self):
        self._origin.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Parent:
    """A plain HTTP proxy that only knows CONNECT; `targets` are those it was asked for, `heads` the whole requests."""

    def __init__(self, user=None):
        self.targets, self.heads, self._user = [], [], user
        self._origin = Origin(None, self._serve)
        self.port = self._origin.port

    def _serve(self, connection):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            octet = connection.recv(1)
            if not octet:
                return
            head += octet
        text = head.decode("latin-1")
        self.heads.append(text)
        if self._user and f"Basic {self._user}" not in text:
            connection.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        target = text.split(" ")[1]
        self.targets.append(target)
        host, _, port = target.rpartition(":")
        if not host.endswith((".test", "127.0.0.1")):  # nothing of a test may leave this machine
            connection.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection((host, int(port)), PATIENCE) as above:
            connection.send(b"HTTP/1.1 200 Connected\r\n\r\n")
            pump(connection.sock, above)

    def stop(self):
        self._origin.stop()


def pump(one, other):
    """Carries bytes both ways until both directions have ended."""
    def carry(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
    back = threading.Thread(target=carry, args=(other, one), daemon=True)
    back.start()
    carry(one, other)
    back.join(PATIENCE)


# nginx

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr notice; {user}
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    client_max_body_size 64m; keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port} ssl{http2};
        listen 127.0.0.1:{plain_port};
        server_name _;
        ssl_certificate {chain}; ssl_certificate_key {key};
        ssl_protocols {protocols};
        {more}
        root {folder}/www;
        location = / {{ return 200 "nginx says hello over $server_protocol\\n"; }}
        location = /who {{ return 200 "subject=$ssl_client_s_dn reused=$ssl_session_reused\\n"; }}
        location /files/ {{ }}
        location /put/ {{ dav_methods PUT; create_full_put_path on; }}
    }}
}}
"""


class Nginx:
    """nginx with TLS on `port` and plain HTTP on `plain_port`: / (a line), /who (the client certificate), /files/NAME,
    and /put/NAME, which stores what is put. Its sockets are made here and inherited, so that it listens at once."""

    def __init__(self, chain, key, *, http2=False, protocols="TLSv1.2 TLSv1.3", more="", user="root", under=(), program=None):
        # Others may be from before 1.19.5, which has no -e.
        words = [program] if program else [needs_program("nginx"), "-e", "stderr"]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-nginx-"))
        (self.folder / "www" / "files").mkdir(parents=True)
        (self.folder / "www" / "put").mkdir()
        with listen() as tls, listen() as plain:
            self.port, self.plain_port = tls.getsockname()[1], plain.getsockname()[1]
            text = NGINX.format(folder=self.folder, port=self.port, plain_port=self.plain_port, chain=chain, key=key,
                                protocols=protocols, more=more, http2=" http2" if http2 else "",
                                user=f"user {user};" if os.getuid() == 0 else "")
            (self.folder / "nginx.conf").write_text(text)
            self.process = Process(*under, *words, "-p", self.folder, "-c", self.folder / "nginx.conf",
                                   env={"NGINX": f"{tls.fileno()};{plain.fileno()};"},
                                   pass_fds=(tls.fileno(), plain.fileno()))
            self.process.err.wait(r"start worker process \d+")

    def file(self, name, body):
        (self.folder / "www" / "files" / name).write_bytes(body)

    def stored(self, name):
        return (self.folder / "www" / "put" / name).read_bytes()

    def requests(self):
        """Request lines that reached the server."""
        path = self.folder / "access.log"
        return re.findall(r'"([^"]*)" \d+ \d+ "', path.read_text()) if path.exists() else []

    def stop(self):
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


# Apache

APACHE = """
ServerName apache.test
ServerRoot {folder}
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
Mutex file:{folder}
Listen 127.0.0.1:{port} https
{loads}
{user}
<VirtualHost *:{port}>
    Protocols {protocols}
    DocumentRoot {folder}/www
    SSLEngine on
    SSLCertificateFile {chain}
    SSLCertificateKeyFile {key}
    {more}
    <Directory {folder}/www>
        Require all granted
    </Directory>
</VirtualHost>
"""


class Apache:
    """Apache with its event MPM, h2 and HTTP/1.1, serving what `file` wrote."""

    def __init__(self, chain, key, *, protocols="h2 http/1.1", more="", under=()):
        program = needs_program("apache2")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-apache-"))
        (self.folder / "www").mkdir()
        self.folder.chmod(0o755)
        modules = pathlib.Path("/usr/lib/apache2/modules")
        wanted = ["mpm_event", "authz_core", "dir", "ssl", "http2", "mime", "unixd", "socache_shmcb", "reqtimeout"]
        loads = "\n".join(f"LoadModule {m}_module {modules}/mod_{m}.so" for m in wanted
                          if (modules / f"mod_{m}.so").exists())
        loads += "\nTypesConfig /dev/null"
        reserved = Reserved()
        self.port = reserved.port
        (self.folder / "apache.conf").write_text(APACHE.format(
            folder=self.folder, port=self.port, loads=loads, chain=chain, key=key, protocols=protocols, more=more,
            user="User www-data\nGroup www-data" if os.getuid() == 0 else ""))
        self.file("index.html", b"apache says hello\n")
        self.process = Process(*under, program, "-DFOREGROUND", "-f", self.folder / "apache.conf")
        try:
            eventually(lambda: listening(self.port) or not self.process.running(), "Apache listens")
            assert self.process.running(), self.process.err.text() + (self.folder / "error.log").read_text()
        finally:
            reserved.close()

    def file(self, name, body):
        (self.folder / "www" / name).write_bytes(body)

    def stop(self):
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


# openssl s_server and gnutls-serv

class OpensslServer:
    """openssl s_server; what clients send appears on `process.out`, and `say` sends to the client."""

    def __init__(self, chain, key, *options, under=(), program="openssl"):
        self.process = Process(*under, program, "s_server", "-accept", "127.0.0.1:0", "-cert", chain, "-cert_chain", chain,
                               "-key", key, *options, stdin=subprocess.PIPE)
        self.port = int(self.process.out.wait(r"^ACCEPT 127\.0\.0\.1:(\d+)").group(1))

    def say(self, text):
        self.process.write(text)

    def text(self):
        return self.process.out.text() + self.process.err.text()

    def stop(self):
        self.process.stop()


class GnutlsServer:
    """gnutls-serv answering HTTP. It asks for no client certificate unless `options` say so."""

    def __init__(self, chain, key, *, priority="NORMAL", options=("--disable-client-cert",), under=()):
        program = needs_program("gnutls-serv")
        reserved = Reserved("0.0.0.0")
        self.port = reserved.port
        self.process = Process(*under, program, "--port", self.port, "--x509certfile", chain, "--x509keyfile", key,
                               "--priority", priority, "--http", *options)
        try:
            eventually(lambda: listening(self.port) or not self.process.running(), "gnutls-serv listens")
            assert self.process.running(), self.process.err.text()
        finally:
            reserved.close()

    def stop(self):
        self.process.stop()


# HAProxy

HAPROXY = """
global
    nbthread 2
    maxconn 500
defaults
    mode http
    timeout connect 30s
    timeout client 30s
    timeout server 30s
frontend front
    bind fd@{fd} {front}
    default_backend back
backend back
    server origin 127.0.0.1:{backend} {back}
"""


class Haproxy:
    """HAProxy in front of a server on the port `backend`: over TLS, with `files` (chain, key), or else in the clear. It
    speaks TLS with that server when `trust` says whom to believe."""

    def __init__(self, backend, *, files=None, trust=None, name="site.test", under=()):
        program = needs_program("haproxy")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-haproxy-"))
        front = back = ""
        if files:
            both = self.folder / "both.pem"
            both.touch(mode=0o600)
            both.write_text("".join(pathlib.Path(path).read_text() for path in files))
            front = f"ssl crt {both}"
        if trust:
            back = f"ssl verify required ca-file {trust} sni str({name}) verifyhost {name}"
        with listen() as sock:
            self.port = sock.getsockname()[1]
            (self.folder / "haproxy.conf").write_text(HAPROXY.format(fd=sock.fileno(), front=front, back=back,
                                                                     backend=backend))
            self.process = Process(*under, program, "-db", "-f", self.folder / "haproxy.conf", pass_fds=(sock.fileno(),))

    def stop(self):
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def silent_port():
    """A port on which nobody listens, and its holder, which keeps it so."""
    reserved = Reserved()
    return reserved.port, reserved

