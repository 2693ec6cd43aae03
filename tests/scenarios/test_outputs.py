"""jsonl, pcapng, key log and terminal: what comes out, in which form, and what does not."""

import json
import re
import signal
import stat
import struct

import pytest
from lab import clients, events, lines, overt, servers, settings
from lab.proc import eventually

pytestmark = overt.requires("proxy --trust --rules --jsonl")


def _tshark(*arguments):
    done = clients.run(servers.needs_program("tshark"), "-n", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8", "replace")


# jsonl

def test_every_line_is_json_with_a_version_of_the_schema(proxy, nginx):
    one = proxy()
    one.curl(f"https://site.test:{nginx.port}/")
    one.wait_event(events.is_close(), "the flow's end")
    for event in one.events():
        assert isinstance(event, dict) and events.kind(event), event
        assert event["v"] == 1 and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}Z", event["time"]), event


def test_a_flow_is_told_from_open_to_close(proxy, nginx):
    one = proxy()
    one.curl(f"https://site.test:{nginx.port}/some/path?q=1")
    close = one.wait_event(events.is_close("done"), "the flow's end")
    told = events.of_flow(one.events(), close["flow"])
    kinds = [events.kind(e) for e in told]
    for wanted in ("open", "hello", "tls", "verdict", "request", "response", "close"):
        assert wanted in kinds, kinds
    assert kinds[0] == "open" and kinds[-1] == "close"
    assert kinds.index("verdict") < kinds.index("request") < kinds.index("response")
    request = next(e for e in told if events.is_request()(e))
    assert (request["method"], request["path"]) == ("GET", "/some/path?q=1")
    response = next(e for e in told if events.is_response()(e))
    assert response["status"] in (200, 404)


def test_both_legs_are_told(proxy, nginx):
    one = proxy()
    one.curl(f"https://site.test:{nginx.port}/")
    close = one.wait_event(events.is_close("done"), "the flow's end")
    legs = {e["leg"]: e for e in events.of_flow(one.events(), close["flow"]) if events.is_kind("tls")(e)}
    assert set(legs) == {1, 2}
    assert legs[2]["certificate"]["issuer"] == "CN=Lab Intermediate" and legs[2]["certificate"]["verification"] == "ok"
    assert legs[1]["certificate"]["issuer"] != "CN=Lab Intermediate"
    for leg in legs.values():
        assert leg["version"] == "TLS 1.3" and leg["suite_name"].startswith("TLS_AES_")


def test_h2_requests_are_told(proxy, nginx_h2):
    one = proxy()
    base = f"https://h2.test:{nginx_h2.port}"
    got = one.curl(f"{base}/?first", "--http2")
    assert got.version == "2"
    request = one.wait_event(events.is_request("/?first"), "the request of h2")
    assert request["method"] == "GET"
    one.wait_event(events.is_response(200), "its response")


def test_a_finished_connection_of_h2_ended_well(proxy, nginx_h2):
    one = proxy()
    for _ in range(5):
        assert one.curl(f"https://h2.test:{nginx_h2.port}/", "--http2").version == "2"
    eventually(lambda: sum(map(events.is_close(), one.events())) == 5, "the flows' ends")
    assert [e["ending"] for e in one.events() if events.is_close()(e)] == ["done"] * 5


def test_bytes_are_counted(proxy, origin):
    server = origin("site.test")
    one = proxy()
    one.curl(f"https://site.test:{server.port}/", "-d", "x" * 5000, "-H", "Expect:")
    close = one.wait_event(events.is_close("done"), "the flow's end")
    assert close["plain_octets"]["up"] == len(server.received()), close
    assert close["wire_octets"]["up"] > close["plain_octets"]["up"] and close["missing_octets"] == {"up": 0, "down": 0}
    end = one.wait_event(events.is_kind("end"), "the exchange's end")
    assert (end["request_octets"], end["response_octets"]) == (5000, len("origin: POST / 5000")), end


def test_an_upstream_fault_is_told_in_words_before_the_end(proxy, world, starts):
    bad = starts(servers.Origin(servers.server_context(*world.files("elsewhere.test"))))
    one = proxy()
    one.curl(f"https://site.test:{bad.port}/")
    close = one.wait_event(events.is_close("failed"), "the flow's end")
    assert re.search(r"site\.test|name", json.dumps(close)) and len(close.get("text", "")) > 10, close


def test_jsonl_goes_to_standard_output_when_asked(proxy, nginx):
    one = proxy("--jsonl", "-", jsonl=False)
    one.curl(f"https://site.test:{nginx.port}/to-stdout")
    line = one.process.out.wait(r'^\{.*"/to-stdout".*\}$').group(0)
    assert events.is_request("/to-stdout")(json.loads(line))


SECRETS = {
    "authorization": ["-H", "Authorization: Bearer top-secret-token"],
    "basic": ["-u", "anna:top-secret-password"],
    "cookie": ["-H", "Cookie: session=top-secret-cookie"],
    "proxy-authorization": ["-H", "Proxy-Authorization: Basic dG9wLXNlY3JldA=="],
}


@pytest.mark.parametrize("where", SECRETS)
def test_credentials_are_masked(where, proxy, nginx):
    one = proxy()
    one.curl(f"https://site.test:{nginx.port}/masked", *SECRETS[where])
    one.wait_event(events.is_close("done"), "the flow's end")
    text = one.jsonl.read_text() + one.log()
    assert "/masked" in text
    for secret in ("top-secret", "YW5uYTp0b3A", "dG9wLXNlY3JldA"):
        assert secret not in text


def test_a_rule_shows_the_credentials_of_its_flows_and_of_no_others(proxy, nginx):
    one = proxy(rules=settings.rules(settings.rule("inspect", {"mask": False}, name=["site.test"])))
    for name in ("site.test", "other.test"):
        one.curl(f"https://{name}:{nginx.port}/path?token=secret-of-{name}", "-H", f"Authorization: Bearer secret-of-{name}")
    one.wait_event(lambda e: events.is_request()(e) and e.get("authority", "").startswith("other.test"), "the second")
    eventually(lambda: len([e for e in one.events() if events.is_close("done")(e)]) >= 2, "both ended")
    text = one.jsonl.read_text()
    assert "Bearer secret-of-site.test" in text and "/path?token=secret-of-site.test" in text
    assert "secret-of-other.test" not in text
    shown = {e["flow"]: e.get("unmasked", False) for e in one.events() if events.is_verdict("inspect")(e)}
    assert sorted(shown.values()) == [False, True]


def test_a_bypass_under_such_a_rule_says_nothing_of_credentials_since_nothing_is_read(proxy, starts):
    one = proxy(rules=settings.rules(settings.rule("inspect", {"mask": False}, name=["plain.test"])))
    server = starts(servers.Origin(None))
    assert one.curl(f"http://plain.test:{server.port}/", "--proxytunnel").status == 200
    verdict = one.wait_event(events.is_verdict("bypass"), "the verdict")
    assert verdict["rule"].startswith("rules.yaml") and "unmasked" not in verdict, verdict


def test_set_cookie_is_masked(proxy, origin):
    server = origin("site.test", handler=lambda c: (c.recv_until(b"\r\n\r\n"), c.send(
        servers.http_answer("x", headers="Set-Cookie: id=top-secret-cookie; HttpOnly\r\n"))))
    one = proxy()
    assert one.curl(f"https://site.test:{server.port}/").status == 200
    one.wait_event(events.is_close(), "the flow's end")
    assert "top-secret-cookie" not in one.jsonl.read_text()


@pytest.mark.parametrize("query", ["access_token=top-secret", "a=1&token=top-secret&b=2", "api_key=top-secret",
                                   "password=top-secret"])
def test_tokens_in_urls_are_masked(query, proxy, nginx):
    one = proxy()
    one.curl(f"https://site.test:{nginx.port}/path?{query}")
    one.wait_event(events.is_close("done"), "the flow's end")
    text = one.jsonl.read_text()
    assert "/path" in text and "top-secret" not in text


@overt.requires("proxy --show-secrets")
def test_secrets_are_shown_when_asked_for_by_name(proxy, nginx):
    one = proxy("--show-secrets")
    one.curl(f"https://site.test:{nginx.port}/", *SECRETS["authorization"])
    one.wait_event(events.is_close("done"), "the flow's end")
    assert "top-secret-token" in one.jsonl.read_text()


def test_trailers_are_told_with_the_end_and_masked_like_headers(proxy, origin):
    def handler(connection):
        connection.recv_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\n"
                        b"X-Sum: 42\r\nSet-Cookie: sid=very-secret\r\n\r\n")

    one = proxy()
    server = origin("site.test", handler=handler)
    assert one.curl(f"https://site.test:{server.port}/").body == b"ok"
    end = one.wait_event(events.is_kind("end"), "the exchange's end")
    assert end["response_trailers"][0] == ["X-Sum", "42"] and "request_trailers" not in end
    assert end["response_trailers"][1][0] == "Set-Cookie" and "very-secret" not in json.dumps(end)


def test_bodies_are_not_in_the_jsonl(proxy, origin):
    server = origin("site.test", handler=lambda c: (c.recv_until(b"\r\n\r\n"), c.send(
        servers.http_answer("the body itself"))))
    one = proxy()
    assert one.curl(f"https://site.test:{server.port}/", "-d", "the upload itself").status == 200
    one.wait_event(events.is_close(), "the flow's end")
    assert "the body itself" not in one.jsonl.read_text() and "the upload itself" not in one.jsonl.read_text()


# pcapng

@pytest.fixture
def recorded(proxy, folder):
    one = proxy("--pcapng", folder / "out.pcapng")
    return one, folder / "out.pcapng"


@overt.requires("proxy --pcapng")
class TestPcapng:
    def test_tshark_dissects_http_1(self, recorded, nginx):
        one, path = recorded
        one.curl(f"https://site.test:{nginx.port}/in-the-capture")
        one.wait_event(events.is_close("done"), "the flow's end")
        one.stop(keep=True)
        text = _tshark("-r", path, "-Y", "http", "-T", "fields", "-e", "http.request.uri", "-e",
                       "http.response.code", "-d", f"tcp.port=={nginx.port},http")
        assert "/in-the-capture" in text and re.search(r"\b(200|404)\b", text), text

    def test_tshark_dissects_h2(self, recorded, nginx_h2):
        one, path = recorded
        one.curl(f"https://h2.test:{nginx_h2.port}/?h2-capture", "--http2")
        one.wait_event(events.is_close(), "the flow's end")
        one.stop(keep=True)
        text = _tshark("-r", path, "-d", f"tcp.port=={nginx_h2.port},http2", "-Y", "http2.headers.path", "-T", "fields",
                       "-e", "http2.headers.path")
        assert "/?h2-capture" in text, text

    def test_the_streams_have_no_gaps_and_bodies_are_whole(self, recorded, nginx):
        one, path = recorded
        body = bytes(range(256)) * 4000
        nginx.file("whole", body)
        one.curl(f"https://site.test:{nginx.port}/files/whole")
        one.wait_event(events.is_close("done"), "the flow's end")
        one.stop(keep=True)
        assert _tshark("-r", path, "-Y", "tcp.analysis.flags").strip() == ""
        text = _tshark("-r", path, "-d", f"tcp.port=={nginx.port},http", "-Y", "http.response", "-T", "fields", "-e",
                       "http.file_data", "-e", "http.content_length")
        assert str(len(body)) in text

    def test_it_can_be_read_while_it_is_written(self, recorded, nginx):
        one, path = recorded
        one.curl(f"https://site.test:{nginx.port}/first")
        one.wait_event(events.is_close("done"), "the flow's end")
        eventually(lambda: "/first" in _tshark("-r", path, "-d", f"tcp.port=={nginx.port},http", "-Y", "http"),
                   "tshark reads the first request")

    def test_it_can_be_read_after_a_sigkill(self, world, nginx, folder):
        path = folder / "killed.pcapng"
        one = overt.Proxy("--pcapng", path, trust=world.trust)
        one.curl(f"https://site.test:{nginx.port}/before-the-kill")
        one.wait_event(events.is_close("done"), "the flow's end")
        eventually(lambda: b"/before-the-kill" in path.read_bytes(), "the request is written")
        one.kill()
        assert "/before-the-kill" in _tshark("-r", path, "-d", f"tcp.port=={nginx.port},http", "-Y", "http")

    def test_the_file_is_for_its_owner_alone(self, recorded):
        assert stat.S_IMODE(recorded[1].stat().st_mode) & 0o077 == 0

    def test_what_is_bypassed_is_not_in_it(self, proxy, folder, nginx, world):
        path = folder / "bypass.pcapng"
        one = proxy("--pcapng", path, rules=settings.rules(default="bypass"))
        assert one.curl(f"https://site.test:{nginx.port}/not-recorded", ca=world.trust).code == 0
        one.wait_event(events.is_close("done"), "the flow's end")
        one.stop()
        assert b"not-recorded" not in path.read_bytes()


# key log

def _keys(path):
    return [line for line in lines.whole(path) if line and not line.startswith("#")]


@overt.requires("proxy --keylog")
class TestKeylog:
    @pytest.mark.parametrize("most", ["1.2", "1.3"])
    def test_it_holds_both_legs_and_decrypts(self, most, proxy, nginx, folder):
        path = folder / "keys.log"
        one = proxy("--keylog", path)
        assert one.curl(f"https://site.test:{nginx.port}/decrypted", "--tls-max", most).code == 0
        one.wait_event(events.is_close("done"), "the flow's end")
        eventually(lambda: len(_keys(path)) >= (2 if most == "1.2" else 8), "the keys")
        assert len({line.split()[1] for line in _keys(path)}) == 2
        labels = {line.split()[0] for line in _keys(path)}
        assert labels == {"CLIENT_RANDOM"} if most == "1.2" else "CLIENT_TRAFFIC_SECRET_0" in labels

    def test_the_clients_randoms_are_in_it(self, proxy, origin, folder):
        path = folder / "keys.log"
        one = proxy("--keylog", path)
        server = origin("site.test")
        one.get(server.port, "site.test")
        random = server.hello().random.hex()
        eventually(lambda: path.exists() and random in path.read_text(), "the upstream leg's random is logged")

    def test_a_capture_is_decrypted_with_it(self, proxy, nginx, folder):
        """tshark, with the key log, reads the request out of the encrypted bytes of the client's leg."""
        path, capture = folder / "keys.log", folder / "wire.pcap"
        one = proxy("--keylog", path)
        recorder = _Recorder(one.port)
        try:
            got = clients.curl(f"https://site.test:{nginx.port}/read-with-keys", proxy=recorder.port, ca=one.ca)
            assert got.code == 0, got.error
            one.wait_event(events.is_close("done"), "the flow's end")
        finally:
            recorder.stop()
        recorder.write(capture)
        eventually(lambda: sum("_TRAFFIC_SECRET_0" in line for line in _keys(path)) == 4, "the keys of both legs")
        text = _tshark("-r", capture, "-o", f"tls.keylog_file:{path}", "-d", "tcp.port==443,tls", "-Y", "http", "-T",
                       "fields", "-e", "http.request.uri")
        assert "/read-with-keys" in text, text

    def test_it_is_for_its_owner_alone_and_warned_of(self, proxy, folder):
        path = folder / "keys.log"
        one = proxy("--keylog", path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        one.wait_log("(?i)(WARN|keylog|key log)")


class _Recorder:
    """A relay before the proxy that keeps what passes after CONNECT, and writes it as TCP segments in a pcap file."""

    def __init__(self, port):
        self.segments = []
        self._middle = servers.Middle(port, self._note)
        self.port = self._middle.port

    def _note(self, way, data):
        if not (data.startswith(b"CONNECT ") or data.startswith(b"HTTP/1.1 200")):
            self.segments.append((way, data))
        return data

    def stop(self):
        self._middle.stop()

    def write(self, path):

        out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)]
        at = {"up": 1000, "down": 5000}
        ports = {"up": (40000, 443), "down": (443, 40000)}
        addresses = {"up": (b"\x7f\0\0\1", b"\x7f\0\0\2"), "down": (b"\x7f\0\0\2", b"\x7f\0\0\1")}
        pieces = [("up", b"", 2), ("down", b"", 18), ("up", b"", 16)]
        pieces += [(way, data[i:i + 1400], 24) for way, data in self.segments for i in range(0, len(data), 1400)]
        for number, (way, body, flags) in enumerate(pieces):
            other = "down" if way == "up" else "up"
            seen = at[other] if flags != 2 else 0
            tcp = struct.pack("!HHIIBBHHH", *ports[way], at[way], seen, 80, flags, 65535, 0, 0)
            at[way] += len(body) + (1 if flags & 2 else 0)
            ip = struct.pack("!BBHHHBBH", 69, 0, 40 + len(body), number, 0, 64, 6, 0) + b"".join(addresses[way])
            packet = ip + tcp + body
            out.append(struct.pack("<IIII", 1000, number * 1000, len(packet), len(packet)) + packet)
        path.write_bytes(b"".join(out))


# terminal

def test_without_a_terminal_there_is_a_plain_line_per_request(world, nginx, starts):
    one = overt.Proxy(trust=world.trust, jsonl=False, start=False)
    one.command.remove("-q")
    starts(one.start())
    one.curl(f"https://site.test:{nginx.port}/shown-in-lines")
    line = one.process.out.wait("/shown-in-lines").string
    assert "site.test" in line and "GET" in line and re.search(r"\b(200|404)\b", line), line
    assert "\x1b" not in one.process.out.text()


def test_the_terminal_masks_credentials_and_cleans_what_strangers_send(world, origin, starts):
    server = origin("site.test")
    one = overt.Proxy(trust=world.trust, jsonl=False, start=False)
    one.command.remove("-q")
    starts(one.start())
    with one.tls(server.port, "site.test") as tls:
        tls.send(b"GET /\x1b[31mred?token=top-secret HTTP/1.1\r\nHost: site.test\r\n"
                 b"Authorization: Bearer top-secret\r\n\r\nGET /second HTTP/1.1\r\nHost: site.test\r\n\r\n")
        try:
            tls.recv()
        except OSError:
            pass
    one.curl(f"https://site.test:{server.port}/last")
    one.process.out.wait("/last")
    assert "\x1b" not in one.process.out.text() and "top-secret" not in one.process.out.text()


def test_a_file_that_cannot_be_opened_stops_the_start(folder):
    for option in ("--jsonl", "--pcapng", "--keylog"):
        if not overt.knows("proxy", option):
            continue
        code, _, err = overt.run("proxy", "--state", folder / "state", "--listen", "127.0.0.1:0", "-q", option,
                                 folder / "no-such-folder" / "file")
        assert code == 2 and "no-such-folder" in err, err


def test_a_sighup_reopens_the_jsonl(proxy, nginx):
    one = proxy()
    one.curl(f"https://site.test:{nginx.port}/?before")
    one.wait_event(events.is_request("/?before"), "the first request")
    moved = one.jsonl.with_suffix(".1")
    one.jsonl.rename(moved)
    one.process.popen.send_signal(signal.SIGHUP)
    eventually(one.jsonl.exists, "the file is opened anew")
    one.curl(f"https://site.test:{nginx.port}/?after")
    one.wait_event(events.is_request("/?after"), "the second request")
    assert "/?before" in moved.read_text() and "/?after" not in moved.read_text()
