"""`overt exec --share` with programs that no library gets into: Go's, stripped or not, and static ones with OpenSSL inside.
Probes see their secrets; their connections are read like those of others, here and by readers of a collector."""

import re
import subprocess

import pytest
from lab import clients, golang, lines, overt, sharing, watch
from lab.collect import Collector, Place
from lab.proc import PATIENCE, Process
from lab.servers import needs_program
from lab.sharing import both_versions, curl, send, sending, url

pytestmark = overt.requires("exec --share --collector", "collect", "watch --collector")

REACHED = r"is not reached by the agent: it is %s.*; its keys come by uprobes, asynchronously"
GO, STATIC = REACHED % "a Go program", REACHED % "linked statically, with OpenSSL inside"


@pytest.fixture(scope="module", autouse=True)
def allowed(may_capture, tmp_path_factory):
    """Whether this machine lets anybody place probes: asked with a Go program that makes no connection."""
    folder = tmp_path_factory.mktemp("allowed")
    seen = sharing.run(folder, golang.program(), "get", "nowhere:")
    if found := re.search(r"its keys could come by probes, but (.*)", seen.err):
        pytest.skip(found[1])


# Go

@both_versions
@pytest.mark.parametrize("build", [{}, {"stripped": True}, {"cgo": True}], ids=["static", "stripped", "dynamic"])
def test_what_a_go_client_says_is_read(build, server, world, folder):
    seen = sharing.run(folder, golang.program(**build), "get", url(server), env={"SSL_CERT_FILE": str(world.trust)})
    assert seen.code == 0 and "nginx says hello" in seen.out, seen.err
    seen.whole("/", connections=1)
    assert len(re.findall(GO, seen.err)) == 1 and "out of reach" not in seen.err, seen.err


def _curl(world, server, path, *options):
    return clients.run(*curl(world, server, *options, path=path))


@pytest.fixture
def serving(folder, world, starts):
    """serving(**knobs of golang.Server): one whose connections are read here."""
    return lambda **knobs: starts(sharing.Server(
        folder, lambda under: golang.Server(*world.files("site.test"), under=under, **knobs)))


@pytest.mark.parametrize("stripped", [False, True], ids=["", "stripped"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_what_a_go_server_says_is_read(version, stripped, serving, world):
    server = serving(stripped=stripped)
    for number in range(3):
        done = _curl(world, server, f"/{number}", "--http1.1", f"--tlsv{version}", "--tls-max", version)
        assert done.returncode == 0, done.stderr
    server.end().whole("/0", "/1", "/2", connections=3)


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_every_suite_of_go_is_read(suite, serving, world):
    """A client that offers one alone; HTTP/2 this time."""
    server = serving()
    assert _curl(world, server, "/", "--tls13-ciphers", suite).returncode == 0
    seen = server.end()
    seen.whole("/", connections=1)
    assert [e["suite_name"] for e in seen.of("tls")] == [suite]


def test_keys_are_followed_through_a_key_update(serving, world, starts):
    """Go does not log what comes after one: the next secret is known by the one before it."""
    server = serving()
    client = starts(Process("openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "site.test",
                            "-CAfile", world.trust, stdin=subprocess.PIPE))
    client.out.wait("Verify return code: 0")
    client.write(b"K\n")
    client.err.wait("KEYUPDATE")
    client.write(b"GET /updated HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n")
    client.out.wait("go over HTTP/1.1")
    client.terminate()
    server.end().whole("/updated", connections=1)


def test_a_go_program_without_tls_is_said_to_be_out_of_reach(folder):
    (folder / "plain.go").write_text("package main\n\nfunc main() { println(\"plain\") }\n")
    done = clients.run(needs_program("go"), "build", "-o", folder / "plain", folder / "plain.go", timeout=240, env={
        "GOCACHE": str(golang.cache()), "GO111MODULE": "off", "CGO_ENABLED": "0"})
    assert done.returncode == 0, done.stderr
    seen = sharing.run(folder, folder / "plain")
    assert re.search(r"plain is out of reach: it is a Go program without crypto/tls", seen.err), seen.err


def test_what_is_missing_for_probes_is_said_and_the_program_runs(nginx, world, folder):
    needs_program("setpriv")
    done = subprocess.run(["setpriv", "--bounding-set=-all,+net_raw,+dac_override", overt.binary(), "exec", "--share",
                           "--interface", "lo", "--", golang.program(), "get", url(nginx)], capture_output=True, text=True,
                          timeout=PATIENCE * 2, check=False,
                          env=clients.environment(**overt.SANITIZER_OPTIONS, SSL_CERT_FILE=str(world.trust)))
    assert done.returncode == 0 and "nginx says hello" in done.stdout, done.stderr
    assert re.search(r"out of reach: it is a Go program .*; its keys could come by probes, but probes need root, or the right "
                     r"CAP_SYS_ADMIN$", done.stderr, re.M), done.stderr
    assert not overt.SANITIZER.search(done.stderr), done.stderr


# Started by others

PARENTS = {
    "a shell": lambda command: ["sh", "-c", " ".join(map(str, command)) + "; true"],
    "env": lambda command: ["env", "A=b", *command],
    "python": lambda command: ["/usr/bin/python3", "-c", "import subprocess, sys; subprocess.run(sys.argv[1:], check=True)",
                               *command],
    "posix_spawn": lambda command: [
        "/usr/bin/python3", "-c",
        "import os, sys; os.waitpid(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)", *command],
    "a shell without the agent's variables": lambda command: [
        "sh", "-c", "env -i SSL_CERT_FILE=$SSL_CERT_FILE " + " ".join(map(str, command)) + "; true"],
}


@pytest.mark.parametrize("parent, build", [*((parent, {}) for parent in PARENTS), ("a shell", {"cgo": True})])
def test_a_program_that_another_one_starts_is_read_from_its_first_record_on(parent, build, nginx, world, folder):
    """Who starts it waits until the probes stand."""
    command = PARENTS[parent]([golang.program(**build), "get", url(nginx)])
    seen = sharing.run(folder, *command, env={"SSL_CERT_FILE": str(world.trust)})
    assert "nginx says hello" in seen.out, seen.err
    seen.whole("/", connections=1)
    assert re.search(r"overt exec: lab\[\d+\] " + GO, seen.err) and "began before" not in seen.err, seen.err


def test_connections_of_other_processes_of_the_same_program_are_not_shown(nginx, world, folder, starts):
    """Probes stand in the file: who else runs it is none of the run's."""
    command = [golang.program(), "get", url(nginx, "/who")]
    run = starts(Process(overt.binary(), "exec", "--share", "--interface", "lo", "--jsonl", folder / "share.jsonl", "--", "sh",
                         "-c", f"{command[0]} get nowhere: ; read go; {command[0]} get {url(nginx)}", stdin=subprocess.PIPE,
                         env={"SSL_CERT_FILE": str(world.trust), **overt.SANITIZER_OPTIONS}))
    run.err.wait(GO)
    assert clients.run(*map(str, command), env={"SSL_CERT_FILE": str(world.trust)}).returncode == 0
    run.write(b"go\n")
    assert run.wait() == 0, run.err.text()
    assert [e["path"] for e in lines.objects(folder / "share.jsonl") if e["type"] == "request"] == ["/"]


# Static programs

SOURCE = """
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int count, char **words)
{
	char where[64], text[4096];
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (count > 2 && SSL_CTX_set_ciphersuites(ctx, words[2]) != 1)
		return 2;
	snprintf(where, sizeof(where), "127.0.0.1:%s", words[1]);
	BIO *bio = BIO_new_connect(where);
	SSL *ssl = SSL_new(ctx);
	SSL_set_tlsext_host_name(ssl, "site.test");
	SSL_set_bio(ssl, bio, bio);
	if (SSL_connect(ssl) != 1)
		return 1;
	const char *ask = "GET /who HTTP/1.1\\r\\nHost: site.test\\r\\nConnection: close\\r\\n\\r\\n";
	SSL_write(ssl, ask, (int)strlen(ask));
	for (int n; (n = SSL_read(ssl, text, sizeof(text))) > 0;)
		fwrite(text, 1, (size_t)n, stdout);
	SSL_free(ssl);
	return 0;
}
"""


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    folder = tmp_path_factory.mktemp("static")
    (folder / "client.c").write_text(SOURCE)
    wanted = clients.run(needs_program("pkg-config"), "--static", "--libs", "libssl")
    done = clients.run(needs_program("cc"), "-O2", "-static", "-w", "-o", folder / "client", folder / "client.c",
                       *wanted.stdout.decode().split())
    assert done.returncode == 0, done.stderr
    named = clients.run(needs_program("nm"), folder / "client").stdout.decode()
    if not re.search(r" nss_keylog_int$", named, re.M):
        pytest.skip("this OpenSSL's compiler has left no nss_keylog_int")
    clients.run(needs_program("strip"), "-o", folder / "stripped", folder / "client")
    return folder / "client"


@both_versions
def test_what_a_static_program_with_openssl_says_is_read(server, static, folder):
    seen = sharing.run(folder, static, server.port)
    assert seen.code == 0 and "HTTP/1.1 200" in seen.out, seen.err
    seen.whole("/who", connections=1)
    assert len(re.findall(STATIC, seen.err)) == 1, seen.err


def test_a_stripped_static_program_is_said_to_be_out_of_reach(nginx, static, folder):
    seen = sharing.run(folder, static.parent / "stripped", nginx.port)
    assert seen.code == 0 and "HTTP/1.1 200" in seen.out and seen.paths == []
    assert re.search(r"stripped is out of reach: it is linked statically and stripped", seen.err), seen.err


# Elsewhere

TERMS = {"names": ("site.test",), "consent": "unilateral"}


@pytest.fixture
def place(folder):
    place = Place(folder)
    place.grant(**TERMS)
    return place


@pytest.fixture
def collector(place, starts):
    return starts(Collector(place))


@both_versions
def test_a_reader_reads_what_a_go_client_elsewhere_says(place, collector, server, world, starts, folder):
    """The name that the grant wants is the one that the client asked for; TLS 1.2, too, is released as record keys."""
    running = starts(watch.live(server.port, *place.reading(collector)))
    done = send(place, collector, folder, golang.program(stripped=True), "get", url(server, "/who"),
                env={"SSL_CERT_FILE": str(world.trust)})
    assert done.returncode == 0, done.stderr
    assert running.wait('"type":"request"')["path"] == "/who"
    assert running.wait('"type":"response"')["status"] == 200
    assert "2 keys: 0 under no grant; 2 sealed, of which the collector has 2 and refused 0" in done.stderr, done.stderr


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_reader_reads_what_a_go_server_elsewhere_says(version, place, collector, world, starts, folder):
    server = starts(golang.Server(*world.files("site.test"), under=[*sending(place, collector, folder), "--"]))
    running = starts(watch.live(server.port, *place.reading(collector)))
    for number in range(2):
        assert _curl(world, server, f"/{number}", "--http1.1", "--tls-max", version).returncode == 0
        assert running.wait(rf'"type":"request".*"/{number}"')["path"] == f"/{number}"
    server.process.terminate()
    assert "4 keys: 0 under no grant; 4 sealed, of which the collector has 4" in server.process.err.text(), \
        server.process.err.text()


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_a_reader_reads_what_a_static_program_elsewhere_says(suite, collector, place, static, nginx, starts, folder):
    """Which of the suites it is, its cipher tells. Its name is not known: the grant has to cover every one."""
    place.grant(names=("*",), consent="unilateral")
    running = starts(watch.live(nginx.port, *place.reading(collector)))
    done = send(place, collector, folder, static, nginx.port, suite)
    assert done.returncode == 0, done.stderr
    assert running.wait('"type":"request"')["path"] == "/who"
    assert "2 sealed, of which the collector has 2 and refused 0" in done.stderr, done.stderr


@pytest.mark.parametrize("server", ["TLS 1.2"], indirect=True)
def test_a_reader_reads_what_a_static_program_elsewhere_says_in_tls_1_2(collector, place, static, server, starts, folder):
    """Probes do not see the server's random: it stands in the hellos, as does the name."""
    running = starts(watch.live(server.port, *place.reading(collector)))
    done = send(place, collector, folder, static, server.port)
    assert done.returncode == 0, done.stderr
    assert running.wait('"type":"request"')["path"] == "/who"
    assert "2 keys: 0 under no grant; 2 sealed, of which the collector has 2 and refused 0" in done.stderr, done.stderr
