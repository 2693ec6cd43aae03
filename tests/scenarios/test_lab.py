"""The lab itself: its servers and clients work with each other when nothing stands between them."""

import re
import socket
import ssl
import threading

import pytest
from lab import cases, clients, hello, names, pki, servers, wire


def test_names_of_the_tests_are_loopback_addresses():
    assert socket.gethostbyname("site.test") == "127.0.0.1"
    assert socket.gethostbyname("far.test") == "127.0.0.2"
    assert names.why() is None


def test_curl_gets_a_page_from_nginx_and_sees_its_certificate(world, nginx):
    got = clients.curl(f"https://site.test:{nginx.port}/", ca=world.trust)
    assert (got.code, got.status, got.version) == (0, 200, "1.1"), got.error
    assert b"nginx says hello over HTTP/1.1" in got.body
    assert "site.test" in got.names() and "Lab Intermediate" in got.issuer()


def test_curl_speaks_h2_with_nginx(world, nginx_h2):
    got = clients.curl(f"https://h2.test:{nginx_h2.port}/", "--http2", ca=world.trust)
    assert (got.status, got.version) == (200, "2"), got.error


def test_nginx_stores_what_is_put(nginx, world):
    got = clients.curl(f"https://site.test:{nginx.port}/put/a", "-T", __file__, ca=world.trust)
    assert got.status == 201, got
    assert nginx.stored("a") == open(__file__, "rb").read()


def test_the_scripted_origin_counts_application_bytes_only(world, origin):
    server = origin("site.test")
    got = clients.python_get(server.port, "site.test", "/x", ca=world.trust)
    assert got.body == b"origin: GET /x 0"
    server.wait_quiet()
    assert server.received().startswith(b"GET /x HTTP/1.1\r\n")
    assert server.hello().name == "site.test" and 0x0304 in server.hello().versions


def test_the_scripted_origin_has_received_nothing_when_the_client_refuses(world, origin):
    server = origin("site.test")
    got = clients.python_get(server.port, "other.test", ca=world.trust)
    assert "doesn't match" in got.error or "mismatch" in got.error, got.error
    server.wait_connection()
    server.wait_quiet()
    assert server.received() == b""


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_certificate_is_asked_for_and_seen(world, origin, version):
    least = ssl.TLSVersion.TLSv1_3 if version == "1.3" else ssl.TLSVersion.TLSv1_2
    chain, key = world.files("client", usages=(pki.CLIENT_AUTH,))
    server = origin("site.test", client_trust=world.trust, least=least, most=least)
    ctx = clients.context(world.trust, chain=chain, key=key)
    assert clients.python_get(server.port, "site.test", ctx=ctx).status == 200
    assert clients.python_get(server.port, "site.test", ca=world.trust).status == 0


def test_s_client_and_s_server_export_the_same_keying_material(world, starts):
    export = ["-keymatexport", "EXPORTER-Lab", "-keymatexportlen", "32"]
    server = starts(servers.OpensslServer(*world.files("site.test"), *export))
    got = clients.s_client(server.port, "site.test", *export, ca=world.trust)
    theirs = server.process.out.wait(r"Keying material: ([0-9A-F]{64})").group(1)
    assert f"Keying material: {theirs}" in got.error


def test_gnutls_cli_and_gnutls_serv_speak(world, starts):
    server = starts(servers.GnutlsServer(*world.files("gnutls.test")))
    got = clients.gnutls_cli(server.port, "gnutls.test", ca=world.trust, say=b"GET / HTTP/1.0\r\n\r\n")
    assert "HTTP/1.0 200 OK" in got.error and "Status: The certificate is trusted" in got.error, got.error


def test_apache_serves_h2(world, starts):
    server = starts(servers.Apache(*world.files("apache.test")))
    got = clients.curl(f"https://apache.test:{server.port}/", "--http2", ca=world.trust)
    assert (got.status, got.version, got.body) == (200, "2", b"apache says hello\n"), got.error


@pytest.mark.parametrize("shape", ["each octet", "two records", "many records"])
def test_a_hello_in_pieces_is_taken_by_openssl(world, origin, shape):
    server = origin("site.test")
    cut = {"each octet": wire.each_octet,
           "two records": lambda d: [wire.refragment(d, 100)],
           "many records": lambda d: [wire.refragment(d, *[7] * 20)]}[shape]
    assert clients.python_get(server.port, "site.test", ca=world.trust, first_flight=cut).status == 200


@pytest.mark.parametrize("knobs", [
    {}, {"extra": [(0x4A4A, b""), (0xABCD, b"unknown")], "suites": (0x1A1A, 0x1301), "groups": (0x2A2A, 0x1D),
         "versions": (0x7A7A, 0x0304)},
    {"versions": (), "shares": []}, {"protocols": ["http/1.1", *("x" * 250 for _ in range(60))]}])
def test_a_hello_made_by_hand_is_answered_by_openssl(origin, knobs):
    server = origin("site.test")
    with wire.connect(server.port) as sock:
        sock.sendall(hello.make("site.test", **knobs))
        assert hello.answer(_first(sock)) == "server hello"


def _first(sock):
    raw = b""
    while not wire.records(raw):
        part = sock.recv(65536)
        if not part:
            break
        raw += part
    return raw


def test_a_relay_in_the_middle_can_damage_the_finished_message(world, origin):
    server = origin("site.test")
    with servers.Middle(server.port, lambda way, d: d if way == "up" else d[:-1] + bytes([d[-1] ^ 1])) as middle:
        got = clients.python_get(middle.port, "site.test", ca=world.trust)
        assert got.code and "SSLError" in got.error, got.error
    server.wait_quiet()
    assert server.received() == b""


def test_half_close_is_told_apart_from_an_end_without_close_notify(world, origin):
    seen, done = [], threading.Event()

    def handler(connection):
        seen.append(connection.recv())
        seen.append(connection.recv())
        done.set()
        connection.send(b"after your close_notify")

    server = origin("site.test", handler=handler)
    with clients.python_tls(server.port, "site.test", ca=world.trust) as tls:
        tls.send(b"half")
        tls.close_notify()
        assert tls.recv_all() == b"after your close_notify"
    assert done.wait(10) and seen == [b"half", b""]


def test_an_end_without_close_notify_is_an_error(world, origin):
    def handler(connection):
        connection.send(b"cut")
        connection.sock.shutdown(socket.SHUT_WR)
        connection.recv()

    server = origin("site.test", handler=handler)
    with clients.python_tls(server.port, "site.test", ca=world.trust) as tls:
        assert tls.recv() == b"cut"
        with pytest.raises(ssl.SSLEOFError):
            tls.recv()


FETCHERS = [clients.node_fetch, clients.python_fetch, clients.java_fetch, clients.chromium]


@pytest.mark.parametrize("fetch", FETCHERS, ids=lambda f: f.__name__)
def test_a_client_fetches_through_connect_and_trusts_what_it_is_told(fetch, folder, world, nginx, starts):
    parent = starts(servers.Parent())
    url = f"https://site.test:{nginx.port}/"
    got = fetch(url, folder, proxy=parent.port, ca=world.trust)
    assert got.status == 200 and b"nginx says hello" in got.body, got.error
    assert f"site.test:{nginx.port}" in parent.targets


@pytest.mark.parametrize("fetch", FETCHERS, ids=lambda f: f.__name__)
def test_a_client_does_not_trust_another_ca(fetch, folder, nginx, starts):
    parent = starts(servers.Parent())
    other = pki.Folder(folder).write("other.pem", pki.authority("Other Root").pem)
    got = fetch(f"https://site.test:{nginx.port}/", folder, proxy=parent.port, ca=other)
    assert b"nginx says hello" not in got.body
    assert parent.targets


@pytest.fixture(scope="module")
def prepared(world):
    return [cases.prepare(world, case, cases.host_of(number)) for number, case in enumerate(cases.ALL)]


def _openssl_verify(world, one):
    """What `openssl verify` says when it is asked to be strict."""
    folder, made = world.folder, one.made
    roots = folder.write("roots.pem", world.root.pem + "".join(r.pem for r in made.roots))
    above = made.identity.chain()[1:] if made.above is None else made.above
    command = ["openssl", "verify", "-x509_strict", "-auth_level", "2", "-purpose", "sslserver", "-CAfile", roots,
               "-verify_ip" if one.name == "127.0.0.1" else "-verify_hostname", one.name, "-show_chain"]
    if above:
        command += ["-untrusted", folder.write("above.pem", "".join(i.pem for i in above))]
    if made.crls:
        command += ["-crl_check_all", "-CRLfile", folder.write("crls.pem", "".join(made.crls))]
    done = clients.run(*command, folder.write("end.pem", made.identity.pem))
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("number", range(len(cases.ALL)), ids=[str(c) for c in cases.ALL])
def test_a_case_is_what_it_says(number, world, prepared, starts):
    one = prepared[number]
    code, text = _openssl_verify(world, one)
    if one.case.good:
        assert code == 0, text
    elif one.case.openssl is not None:
        assert code != 0 and re.search(one.case.openssl, text, re.I), text
    else:
        assert code == 0, f"OpenSSL does look: {text}"
    if one.staple:
        issuer = world.folder.write("issuer.pem", one.made.identity.issuer.pem)
        roots = world.folder.write("roots.pem", "".join(r.pem for r in one.made.roots))
        done = clients.run("openssl", "ocsp", "-respin", one.staple, "-issuer", issuer, "-cert", one.chain, "-CAfile",
                           roots, "-verify_other", issuer)
        said = (done.stdout + done.stderr).decode()
        holds = "Response verify OK" in said and ": good" in said and "Status times invalid" not in said
        assert holds == one.case.good, said


@pytest.mark.parametrize("number", range(len(cases.ALL)), ids=[str(c) for c in cases.ALL])
def test_a_case_can_be_served(number, prepared, starts):
    one = prepared[number]
    server = starts(cases.serve(one))
    got = clients.python_get(server.port, one.name)
    assert got.status == 200, got.error
    assert got.cert.public_bytes(pki.serialization.Encoding.DER) == one.made.identity.der
    assert cases.received(server)


@pytest.mark.parametrize("weakness", servers.WEAK)
def test_a_weak_server_serves_a_client_that_asks_for_no_better(weakness, world, starts):
    chain, key = world.files("site.test", kind="rsa2048")
    server = starts(servers.Origin(servers.server_context(chain, key, most=ssl.TLSVersion.TLSv1_2,
                                                          **servers.WEAK[weakness])))
    got = clients.python_get(server.port, "site.test", ctx=clients.context(ciphers=servers.EVERYTHING))
    assert got.status == 200, got.error


@pytest.mark.parametrize("bits", [1024, 2048])
def test_a_server_with_a_group_of_its_own_serves_a_lenient_client(bits, world, starts):
    chain, key = world.files("site.test", kind="rsa2048")
    context = servers.server_context(chain, key, most=ssl.TLSVersion.TLSv1_2,
                                     ciphers="DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0")
    context.load_dh_params(world.folder.write(f"dh{bits}.pem", servers.custom_group(bits)))
    server = starts(servers.Origin(context))
    got = clients.python_get(server.port, "site.test", ctx=clients.context(ciphers=servers.EVERYTHING))
    assert got.status == 200 and got.extra["cipher"][0].startswith("DHE-"), got.error


@pytest.mark.parametrize("weakness", servers.WEAK_GNUTLS)
def test_a_weak_gnutls_server_serves_a_lenient_client(weakness, world, starts):
    server = starts(servers.GnutlsServer(*world.files("gnutls.test", kind="rsa2048"),
                                         priority=servers.WEAK_GNUTLS[weakness]))
    got = clients.gnutls_cli(server.port, "gnutls.test", ca=world.trust, priority="NORMAL:+3DES-CBC",
                             say=b"GET / HTTP/1.0\r\n\r\n")
    assert "HTTP/1.0 200 OK" in got.error, got.error
