"""Real clients. Each call returns an Answer: what the program said, and the certificate it was shown."""

import base64
import dataclasses
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile

import pytest
from cryptography import x509

from . import pki, wire
from .proc import PATIENCE
from .servers import needs_program


@dataclasses.dataclass
class Answer:
    code: int                 # exit code, 0: success
    status: int = 0           # HTTP status, 0: none came
    version: str = ""         # HTTP version, as the client writes it
    body: bytes = b""
    error: str = ""           # what the client printed for people
    certificates: list = dataclasses.field(default_factory=list)
    extra: dict = dataclasses.field(default_factory=dict)

    @property
    def cert(self):
        assert self.certificates, f"no certificate was shown: {self.error}"
        return self.certificates[0]

    def issuer(self):
        return self.cert.issuer.rfc4514_string()

    def names(self):
        return sans(self.cert)


def sans(cert):
    """The subjectAltName of a certificate as text, in order."""
    try:
        found = pki.extensions(cert).get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found]


def environment(**more):
    """The environment without proxy settings, so that only what a test says counts."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return {**kept, "no_proxy": "", "NO_PROXY": "", **more}


def run(*command, timeout=PATIENCE * 2, env=None, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, timeout=timeout,
                          env=environment(**(env or {})), stdin=options.pop("stdin", subprocess.DEVNULL), **options)


PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.S)


def certificates(text):
    """Every certificate in PEM in a text, in order."""
    return [x509.load_pem_x509_certificate(part.encode()) for part in PEM.findall(text)]


def curl(url, *options, proxy=None, ca=None, via=None, body_to=None):
    """curl. `proxy` is the port of an HTTP proxy on 127.0.0.1; `via` a whole proxy URL; `ca` a PEM file."""
    with tempfile.TemporaryDirectory(prefix="overt-curl-") as folder:
        target = body_to or f"{folder}/body"
        command = ["curl", "-q", "-sS", "--max-time", PATIENCE, "-o", target,
                   "-w", r"%{http_code} %{http_version} %{num_connects} %{http_connect}\n%{certs}"]
        if proxy:
            command += ["-x", f"http://127.0.0.1:{proxy}"]
        if via:
            command += ["-x", via]
        if ca:
            command += ["--cacert", ca]
        done = run(*command, *options, url)
        path = pathlib.Path(target)
        body = path.read_bytes() if path.exists() and not body_to else b""
    first, _, rest = done.stdout.decode("utf-8", "replace").partition("\n")
    status, version, connects, connect_status = (first.split() + ["0", "", "0", "0"])[:4]
    return Answer(done.returncode, int(status), version, body, done.stderr.decode("utf-8", "replace"),
                  certificates(rest), {"connects": int(connects), "connect": int(connect_status)})


def context(ca=None, *, least=ssl.TLSVersion.TLSv1_2, most=ssl.TLSVersion.TLSv1_3, protocols=(), chain=None, key=None,
            strict=True, ciphers=None):
    """A Python client context that verifies as strictly as OpenSSL can be asked to; `ca` None: verifies nothing."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version, made.maximum_version = least, most
    made.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    if ciphers:
        made.set_ciphers(ciphers)
    if ca:
        made.load_verify_locations(ca)
        if strict:
            made.verify_flags |= ssl.VERIFY_X509_STRICT
        made.hostname_checks_common_name = False
    else:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if protocols:
        made.set_alpn_protocols(list(protocols))
    if chain:
        made.load_cert_chain(chain, key)
    return made


def python_tls(port, name, *, proxy=None, ca=None, ctx=None, **knobs):
    """A handshaken wire.Tls: through CONNECT to `name`:`port` when `proxy` is a port, else straight to 127.0.0.1."""
    sock = wire.open_tunnel(proxy, name, port) if proxy else wire.connect(port)
    try:
        return wire.Tls(sock, ctx or context(ca), server_hostname=name, **knobs).handshake()
    except BaseException:
        sock.close()
        raise


def python_get(port, name, path="/", **knobs):
    """GET over python_tls. An Answer; TLS and socket errors become its `error` with code 1."""
    try:
        with python_tls(port, name, **knobs) as tls:
            shown = [x509.load_der_x509_certificate(tls.peer_der())] if tls.peer_der() else []
            tls.send(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            head = tls.recv_until(b"\r\n\r\n")
            head, body = head.split(b"\r\n\r\n", 1)
            length = re.search(rb"content-length: *(\d+)", head, re.I)
            while length and len(body) < int(length.group(1)):
                body += tls.recv()
            return Answer(0, int(head.split()[1]), head[5:8].decode(), body, "", shown,
                          {"version": tls.object.version(), "cipher": tls.object.cipher(),
                           "protocol": tls.object.selected_alpn_protocol()})
    except (OSError, AssertionError) as error:
        return Answer(1, error=f"{type(error).__name__}: {error}")


def s_client(port, name, *options, proxy=None, ca=None, say=b"", until_end=False):
    """openssl s_client; `say` goes to its standard input, whose end closes the connection unless `until_end`."""
    command = ["openssl", "s_client", "-servername", name, "-showcerts"]
    if proxy:
        command += ["-proxy", f"127.0.0.1:{proxy}", "-connect", f"{name}:{port}"]
    else:
        command += ["-connect", f"127.0.0.1:{port}"]
    if ca:
        command += ["-CAfile", ca, "-verify_return_error", "-verify_hostname", name]
    if until_end:
        command.append("-ign_eof")
    done = subprocess.run([str(c) for c in [*command, *options]], input=say, capture_output=True, timeout=PATIENCE,
                          env=environment())
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    return Answer(done.returncode, body=done.stdout, error=text, certificates=certificates(text))


def gnutls_cli(port, name, *options, ca=None, priority=None, say=b""):
    """gnutls-cli straight to 127.0.0.1 (it knows no proxies)."""
    program = needs_program("gnutls-cli")
    command = [program, "--port", port, "--sni-hostname", name, "--verify-hostname", name, "--print-cert"]
    if ca:
        command += ["--x509cafile", ca]
    if priority:
        command += ["--priority", priority]
    done = subprocess.run([str(c) for c in [*command, *options, "127.0.0.1"]], input=say, capture_output=True,
                          timeout=PATIENCE, env=environment())
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    return Answer(done.returncode, body=done.stdout, error=text, certificates=certificates(text))


def wget(url, *options, proxy=None, ca=None):
    program = needs_program("wget")
    env = {"https_proxy": f"http://127.0.0.1:{proxy}", "http_proxy": f"http://127.0.0.1:{proxy}"} if proxy else {}
    trust = [f"--ca-certificate={ca}"] if ca else []
    done = run(program, "--no-config", "-q", "-O", "-", "--tries=1", "--timeout=20", *trust, *options, url, env=env)
    return Answer(done.returncode, 200 if done.returncode == 0 else 0, body=done.stdout,
                  error=done.stderr.decode("utf-8", "replace"))


def git(*arguments, proxy=None, ca=None):
    program = needs_program("git")
    env = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
    if proxy:
        env["https_proxy"] = f"http://127.0.0.1:{proxy}"
    if ca:
        env["GIT_SSL_CAINFO"] = str(ca)
    done = run(program, *arguments, env=env)
    return Answer(done.returncode, body=done.stdout, error=done.stderr.decode("utf-8", "replace"))


# A request through CONNECT in each language, taking the proxy and the trust from the environment as `overt exec` sets
# them. They print "STATUS BODY".

NODE_FETCH = """
const http = require('http'), tls = require('tls');
const url = new URL(process.argv[2]), proxy = new URL(process.env.HTTPS_PROXY);
const port = url.port || 443;
http.request({host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: url.hostname + ':' + port})
  .on('connect', (res, socket) => {
    if (res.statusCode !== 200) { console.error('CONNECT ' + res.statusCode); process.exit(1); }
    const secure = tls.connect({socket, servername: url.hostname}, () => {
      secure.write('GET ' + url.pathname + ' HTTP/1.1\\r\\nHost: ' + url.host + '\\r\\nConnection: close\\r\\n\\r\\n');
    });
    let text = '';
    secure.on('data', d => text += d);
    secure.on('end', () => { console.log(text.split(' ')[1] + ' ' + text.split('\\r\\n\\r\\n')[1]); process.exit(0); });
    secure.on('error', e => { console.error(e.message); process.exit(1); });
  }).on('error', e => { console.error(e.message); process.exit(1); }).end();
"""

PYTHON_FETCH = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=20) as answer:
    print(answer.status, answer.read().decode())
"""

JAVA_FETCH = """
import java.io.*; import java.net.*;
public class Fetch {
    public static void main(String[] arguments) throws Exception {
        HttpURLConnection c = (HttpURLConnection) new URL(arguments[0]).openConnection();
        System.out.println(c.getResponseCode() + " " + new String(c.getInputStream().readAllBytes()));
    }
}
"""


def script(folder, name, text):
    path = pathlib.Path(folder) / name
    path.write_text(text)
    return path


def node_fetch(url, folder, *, proxy, ca):
    done = run(needs_program("node"), script(folder, "fetch.js", NODE_FETCH), url,
               env={"HTTPS_PROXY": f"http://127.0.0.1:{proxy}", "NODE_EXTRA_CA_CERTS": str(ca)})
    return _fetched(done)


def python_fetch(url, folder, *, proxy, ca):
    done = run("/usr/bin/python3", script(folder, "fetch.py", PYTHON_FETCH), url,
               env={"https_proxy": f"http://127.0.0.1:{proxy}", "SSL_CERT_FILE": str(ca)})
    return _fetched(done)


def java_fetch(url, folder, *, proxy, ca):
    java, keytool = needs_program("java"), needs_program("keytool")
    if not shutil.which("javac"):
        pytest.skip("javac is not installed")
    store = pathlib.Path(folder) / "trust.p12"
    run(keytool, "-importcert", "-noprompt", "-alias", "overt", "-file", ca, "-keystore", store, "-storetype", "PKCS12",
        "-storepass", "changeit", check=True)
    done = run(java, f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit",
               "-Dhttps.proxyHost=127.0.0.1", f"-Dhttps.proxyPort={proxy}",
               script(folder, "Fetch.java", JAVA_FETCH), url)
    return _fetched(done)


def chromium(url, folder, *, proxy, ca):
    """Headless Chromium with a profile and an NSS database of its own, into which `ca` goes. The body is the DOM."""
    program = needs_program("chromium")
    database = pathlib.Path(folder) / ".pki" / "nssdb"
    database.mkdir(parents=True, exist_ok=True)
    certutil = needs_program("certutil")
    run(certutil, "-N", "--empty-password", "-d", f"sql:{database}", check=True)
    run(certutil, "-A", "-d", f"sql:{database}", "-n", "overt", "-t", "C,,", "-i", ca, check=True)
    done = run(program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
               "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
               f"--user-data-dir={folder}/profile", f"--proxy-pac-url={_pac(proxy)}", "--dump-dom", url,
               env={"HOME": str(folder)})
    text = done.stdout.decode("utf-8", "replace")
    return Answer(done.returncode, 200 if text else 0, body=done.stdout, error=done.stderr.decode("utf-8", "replace"))


def _pac(proxy):
    """A proxy configuration that sends names of the tests to the proxy, and what a browser asks on its own nowhere."""
    held = "127.0.0.1:1"
    text = (f"function FindProxyForURL(u, host) {{ return 'PROXY ' + (/\\.test$/.test(host) ? '127.0.0.1:{proxy}' : "
            f"'{held}'); }}")
    return "data:application/x-ns-proxy-autoconfig;base64," + base64.b64encode(text.encode()).decode()


def _fetched(done):
    status, _, body = done.stdout.decode("utf-8", "replace").partition(" ")
    return Answer(done.returncode, int(status) if status.isdigit() else 0, body=body.encode(),
                  error=done.stderr.decode("utf-8", "replace"))


def socks(port, name, target, user=None, password=None):
    """A socket through SOCKS5 (RFC 1928, 1929) to a host name, or (None, reply code)."""
    sock = wire.connect(port)
    methods = b"\x00" if user is None else b"\x02"
    sock.sendall(b"\x05\x01" + methods)
    if wire.recv_exactly(sock, 2) != b"\x05" + methods:
        sock.close()
        return None, 0xFF
    if user is not None:
        sock.sendall(b"\x01" + bytes([len(user)]) + user.encode() + bytes([len(password)]) + password.encode())
        if wire.recv_exactly(sock, 2)[1] != 0:
            sock.close()
            return None, 0xFE
    sock.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name.encode() + target.to_bytes(2, "big"))
    head = wire.recv_exactly(sock, 4)
    rest = {1: 4, 4: 16}[head[3]]
    wire.recv_exactly(sock, rest + 2)
    if head[1] != 0:
        sock.close()
        return None, head[1]
    return sock, 0


