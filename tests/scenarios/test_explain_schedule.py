"""`overt explain schedule`: every secret computed here is the one that OpenSSL logged and RFC 8448 prints."""

import html
import json
import subprocess

import pytest
from lab import overt, servers

pytestmark = overt.requires("explain --host")


def _rows(*more):
    code, out, err = overt.run("explain", "schedule", "--json", *more)
    assert code == 0, err
    return {row["case"]: row for row in json.loads(out)}


@pytest.fixture(scope="module")
def rows():
    return _rows()


def test_all_secrets_of_tls13_are_those_in_openssls_key_log(rows):
    wanted = {"client-handshake-traffic", "server-handshake-traffic", "client-traffic-0", "server-traffic-0", "exporter",
              "client-finished", "server-finished"}
    assert wanted <= {case.removeprefix("lab-") for case in rows if case.startswith("lab-")}
    assert all(row["equal"] and row["computed"] == row["logged"] for row in rows.values())


def test_each_key_update_leads_to_the_secret_that_was_logged(rows):
    for side in ("client", "server"):
        first, second = rows[f"lab-{side}-traffic-0"], rows[f"lab-{side}-traffic-1"]
        assert first["computed"] != second["computed"] and second["equal"]


def test_the_master_secret_of_tls12_is_the_one_logged(rows):
    assert len(rows["lab12-master"]["computed"]) == 96
    assert len(rows["lab12-client-finished"]["computed"]) == 24 and rows["lab12-server-finished"]["equal"]


def test_rfc_8448_is_computed_as_printed(rows):
    # The first octets of two secrets, as RFC 8448, 3 has them: the program compares with the whole of them.
    assert rows["rfc8448-early"]["computed"].startswith("33ad0a1c607ec03b09e6cd98")
    assert rows["rfc8448-master"]["computed"].startswith("18df06843d13a08bf2a44984")
    assert len([case for case in rows if case.startswith("rfc8448-")]) == 12


def test_two_connections_have_no_secret_in_common(rows):
    again = _rows()
    assert all(again[case]["computed"] != row["computed"] for case, row in rows.items() if case.startswith("lab"))


def test_the_tree_names_labels_and_messages(tmp_path):
    page = tmp_path / "page.html"
    assert overt.run("explain", "schedule", "--html", page)[0] == 0
    told = html.unescape(page.read_text())
    for label in ("c hs traffic", "s hs traffic", "c ap traffic", "s ap traffic", "exp master", "res master", "traffic upd",
                  "resumption", "extended master secret", "key expansion", "client finished"):
        assert f'"{label}"' in told, label
    for message in ("client_hello", "encrypted_extensions", "certificate_verify", "key_update", "client_key_exchange"):
        assert message in told


@pytest.mark.parametrize("version, cases", [
    ("-tls1_3", {"host-client-handshake-traffic", "host-client-traffic-0", "host-exporter", "host-server-finished"}),
    ("-tls1_2", {"host-client-finished", "host-server-finished"}),
])
def test_a_host_that_is_named_shows_its_schedule(world, starts, version, cases):
    chain, key = world.files("www.example.com")
    server = starts(servers.OpensslServer(chain, key, version))
    assert cases <= set(_rows("--host", f"127.0.0.1:{server.port}"))


def test_bad_hosts_are_told_by_name():
    for host, says in (("127.0.0.1:1", "refused"), ("127.0.0.1:70000", "port"), ("[::1", "bracket"), (":443", "host")):
        code, out, err = overt.run("explain", "schedule", "--host", host)
        assert code == 1 and says in err and out == ""


def test_a_server_that_speaks_no_tls_is_told_apart():
    with subprocess.Popen(["/usr/bin/python3", "-c", "import socket\ns = socket.create_server(('127.0.0.1', 0))\n"
                           "print(s.getsockname()[1], flush=True)\nc, _ = s.accept()\nc.sendall(b'220 hello\\r\\n')\n"
                           "c.recv(9999)\nc.close()"], stdout=subprocess.PIPE, text=True) as server:
        port = server.stdout.readline().strip()
        code, _, err = overt.run("explain", "schedule", "--host", f"127.0.0.1:{port}")
    assert code == 1 and "127.0.0.1" in err
