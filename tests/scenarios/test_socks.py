"""SOCKS5 (RFC 1928, 1929) and SOCKS4a on the explicit port, and who may use it."""

import ipaddress
import socket
import struct

import pytest
from lab import clients, events, overt, servers, wire

pytestmark = overt.requires("proxy --trust --rules --proxy-auth")


def _ask(port, *parts, answers):
    """Sends each part and reads each answer's length in turn; returns the last answer."""
    sock = wire.connect(port)
    got = b""
    for part, length in zip(parts, answers):
        sock.sendall(part)
        got = wire.recv_exactly(sock, length)
    return sock, got


def _socks5(port, address, target, command=1):
    return _ask(port, b"\x05\x01\x00", bytes([5, command, 0]) + address + struct.pack("!H", target), answers=[2, 10])


def test_a_name_through_socks5h_is_inspected(shared, nginx):
    got = clients.curl(f"https://site.test:{nginx.port}/", via=f"socks5h://127.0.0.1:{shared.port}", ca=shared.ca)
    assert got.status == 200 and "site.test" in got.names(), got.error
    shared.wait_event(lambda e: events.kind(e) == "open" and e.get("intake") == "socks5", "the flow says how it came")


def test_an_address_through_socks5_is_inspected_by_its_sni(shared, nginx):
    got = clients.curl(f"https://site.test:{nginx.port}/", "--resolve", f"site.test:{nginx.port}:127.0.0.1",
                       via=f"socks5://127.0.0.1:{shared.port}", ca=shared.ca)
    assert got.status == 200 and "site.test" in got.names(), got.error


def test_socks4a_carries_a_name(shared, nginx):
    got = clients.curl(f"https://site.test:{nginx.port}/", via=f"socks4a://127.0.0.1:{shared.port}", ca=shared.ca)
    assert got.status == 200 and "site.test" in got.names(), got.error


def test_plain_octets_go_through_unread(shared, starts):
    server = starts(servers.Origin(None, lambda c: c.send(c.recv_until(b"\n").upper())))
    sock, answer = _socks5(shared.port, b"\x01\x7f\x00\x00\x01", server.port)
    with sock:
        assert answer[1] == 0
        sock.sendall(b"hello\n")
        assert wire.recv_exactly(sock, 6) == b"HELLO\n"


def test_a_port_where_nobody_listens_is_refused_with_a_reply(shared):
    port, holder = servers.silent_port()
    try:
        sock, answer = _socks5(shared.port, b"\x01\x7f\x00\x00\x01", port)
        with sock:
            assert answer[1] in (4, 5)
            assert wire.recv_to_end(sock) == b""
    finally:
        holder.close()


def test_a_name_that_does_not_exist_is_refused_with_a_reply(shared):
    sock, answer = _socks5(shared.port, b"\x03\x0cnowhere.test", 443)
    with sock:
        assert answer[1] == 4
    assert clients.curl("https://nowhere.test/", via=f"socks5h://127.0.0.1:{shared.port}").code != 0


@pytest.mark.parametrize("command", [2, 3, 0, 255])
def test_commands_other_than_connect_are_refused(command, shared):
    sock, answer = _socks5(shared.port, b"\x01\x7f\x00\x00\x01", 443, command)
    with sock:
        assert answer[1] == 7


def test_a_target_that_a_rule_does_not_allow_is_refused_as_such(proxy):
    made = proxy(rules="default: inspect\n")
    sock, answer = _socks5(made.port, b"\x01" + ipaddress.ip_address("169.254.169.254").packed, 80)
    with sock:
        assert answer[1] == 2


@pytest.mark.parametrize("sent", [b"\x05", b"\x05\x00", b"\x05\x01\x01", b"\x05\x01\x00\x05\x01\x00\x09", b"\x04\x01\x00",
                                  b"\x04\x01\x00\x50\x00\x00\x00\x01" + b"u" * 5000,
                                  b"\x05\x01\x00\x05\x01\x00\x03\x05a\x00b\x00c\x01\xbb", b"\x05\xff" + b"\x07" * 255,
                                  b"\x05\x01\x00\x05\x01\x00\x03\x00\x01\xbb", b"\x04\x01\x00\x00\x00\x00\x00\x00\x00"])
def test_nonsense_ends_and_nothing_else_is_disturbed(sent, shared, nginx):
    with wire.connect(shared.port) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        try:
            wire.recv_to_end(sock)
        except ConnectionResetError:
            pass
    assert shared.curl(f"https://site.test:{nginx.port}/").status == 200


def test_a_byte_at_a_time_is_as_good(shared, starts):
    server = starts(servers.Origin(None, lambda c: c.send(b"hi\n")))
    with wire.connect(shared.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in wire.each_octet(b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + struct.pack("!H", server.port)):
            sock.sendall(octet)
        assert wire.recv_exactly(sock, 15) == b"\x05\x00\x05\x00\x00\x01" + bytes(6) + b"hi\n"


# Who may use it

@pytest.fixture
def guarded(proxy, folder):
    (folder / "users").write_text("# staff\nann:correct horse\nbob:p:a:s:s\nbearer s3cr3t-t0ken\n")
    (folder / "users").chmod(0o600)
    return proxy("--proxy-auth", folder / "users")


def _status(proxy, nginx, *headers):
    options = [option for header in headers for option in ("--proxy-header", header)]
    got = proxy.curl(f"https://site.test:{nginx.port}/", *options)
    return got.status, got.extra["connect"]


def test_basic_credentials_open_the_proxy(guarded, nginx):
    assert guarded.curl(f"https://site.test:{nginx.port}/", "--proxy-user", "ann:correct horse").status == 200
    assert guarded.curl(f"https://site.test:{nginx.port}/", "--proxy-user", "bob:p:a:s:s").status == 200


def test_a_bearer_token_opens_the_proxy(guarded, nginx):
    assert _status(guarded, nginx, "Proxy-Authorization: Bearer s3cr3t-t0ken")[0] == 200


@pytest.mark.parametrize("header", ["", "Proxy-Authorization: Basic YW5uOndyb25n", "Proxy-Authorization: Bearer wrong",
                                    "Proxy-Authorization: Basic !!!", "Proxy-Authorization: Bearer",
                                    "Proxy-Authorization: Digest username=ann", "Proxy-Authorization: Bearer s3cr3t-t0ke"])
def test_everybody_else_gets_407_and_a_challenge(header, guarded, nginx):
    assert _status(guarded, nginx, *([header] if header else []))[1] == 407
    with wire.connect(guarded.port) as sock:
        sock.sendall(b"CONNECT site.test:443 HTTP/1.1\r\nHost: site.test:443\r\n\r\n")
        answer = wire.recv_to_end(sock)
    assert answer.startswith(b"HTTP/1.1 407 ") and b"\r\nProxy-Authenticate: Basic" in answer


def test_plain_requests_are_guarded_too_and_credentials_stay_here(guarded, starts):
    server = starts(servers.Origin(None))
    assert guarded.curl(f"http://site.test:{server.port}/").status == 407
    assert guarded.curl(f"http://site.test:{server.port}/", "--proxy-user", "ann:correct horse").status == 200
    assert b"roxy-" not in server.received() and b"horse" not in server.received()


def test_socks_takes_the_same_names_and_passwords(guarded, nginx, starts):
    server = starts(servers.Origin(None, lambda c: c.send(b"in\n")))
    sock, _ = clients.socks(guarded.port, "site.test", server.port, "ann", "correct horse")
    with sock:
        assert wire.recv_exactly(sock, 3) == b"in\n"
    assert clients.socks(guarded.port, "site.test", server.port, "ann", "wrong") == (None, 0xFE)
    assert clients.socks(guarded.port, "site.test", server.port, "", "") == (None, 0xFE)


def test_socks_without_credentials_is_refused_where_they_are_asked_for(guarded):
    sock, answer = _ask(guarded.port, b"\x05\x01\x00", answers=[2])
    with sock:
        assert answer == b"\x05\xff" and wire.recv_to_end(sock) == b""
    with wire.connect(guarded.port) as sock:
        sock.sendall(b"\x04\x01\x01\xbb\x7f\x00\x00\x01\x00")
        assert wire.recv_to_end(sock)[:2] in (b"\x00\x5b", b"\x00\x5c", b"\x00\x5d")


def test_credentials_never_stand_in_the_log_or_the_events(guarded, nginx):
    guarded.curl(f"https://site.test:{nginx.port}/", "--proxy-user", "ann:correct horse")
    guarded.curl(f"https://site.test:{nginx.port}/", "--proxy-user", "ann:wrong mule")
    text = guarded.log() + str(guarded.events())
    assert "horse" not in text and "mule" not in text and "YW5u" not in text


def test_the_users_are_read_again_on_sighup(guarded, nginx, folder):
    (folder / "users").write_text("carl:new\n")
    guarded.reload()
    guarded.wait_log("reloaded")
    overt.eventually(lambda: guarded.curl(f"https://site.test:{nginx.port}/", "--proxy-user", "carl:new").status == 200,
                     "the new user gets in")
    overt.eventually(lambda: guarded.curl(f"https://site.test:{nginx.port}/", "--proxy-user",
                                          "ann:correct horse").extra["connect"] == 407, "the old one does not")


def test_a_faulty_file_of_users_names_the_line_and_no_secret(folder):
    (folder / "users").write_text("ann:fine\nnocolon-secret\n")
    code, _, err = overt.run("proxy", "--listen", "127.0.0.1:0", "--state", folder / "s", "--proxy-auth", folder / "users")
    assert code == 2 and "users:2" in err and "nocolon" not in err, err
