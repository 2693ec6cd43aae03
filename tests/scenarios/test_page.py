"""http://overt.internal/: who reads here, the verdict for a name, the CA to trust."""

import html

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from lab import clients, overt, servers, settings, wire

pytestmark = overt.requires("proxy --trust --operator --contact --purpose --retention")

PAGE = "http://overt.internal"
WORDS = {"operator": "Example <b>University</b> & Sons", "contact": 'privacy@"example".edu', "purpose": "finding 'malware'"}


@pytest.fixture
def disclosed(proxy):
    said = [part for key, text in WORDS.items() for part in (f"--{key}", text)]
    return proxy(*said, "--retention", "14d")


def _body(answer):
    assert answer.status == 200, answer.error
    return answer.body.decode()


def test_the_page_answers_through_the_proxy_and_names_everything(disclosed):
    text = _body(disclosed.curl(f"{PAGE}/"))
    for words in WORDS.values():
        assert words in html.unescape(text)
    assert "14 days" in text and "ca.pem" in text and "ca.crt" in text
    assert text.lower().startswith("<!doctype html>")


@pytest.mark.parametrize("given, shown", [("90m", "90 minutes"), ("1d", "1 day"), ("100h", "100 hours"), ("48h", "2 days")])
def test_the_page_says_exactly_how_long_names_stay_readable(given, shown, proxy):
    said = [part for key, text in WORDS.items() for part in (f"--{key}", text)]
    text = _body(proxy(*said, "--retention", given).curl(f"{PAGE}/"))
    assert f"How long names and addresses stay readable in the audit log</dt><dd>{shown}</dd>" in text


def test_what_the_configuration_says_is_text_and_no_markup(disclosed):
    text = _body(disclosed.curl(f"{PAGE}/"))
    assert "<b>University</b>" not in text and "&lt;b&gt;University" in text and "&amp; Sons" in text


def test_the_page_answers_at_the_port_itself(disclosed):
    answer = clients.curl(f"http://127.0.0.1:{disclosed.port}/")
    assert answer.status == 200 and b"ca.pem" in answer.body
    assert clients.curl(f"http://127.0.0.1:{disclosed.port}/ca.pem").body == disclosed.ca.read_bytes()


def test_the_ca_is_had_as_pem_and_as_der(disclosed):
    pem = disclosed.curl(f"{PAGE}/ca.pem").body
    der = disclosed.curl(f"{PAGE}/ca.crt").body
    one = x509.load_pem_x509_certificate(pem)
    assert one.public_bytes(serialization.Encoding.DER) == der
    assert pem == disclosed.ca.read_bytes() and b"PRIVATE" not in pem


def _headers(disclosed, path):
    with wire.connect(disclosed.port) as sock:
        sock.sendall(f"GET {PAGE}{path} HTTP/1.1\r\nHost: overt.internal\r\n\r\n".encode())
        return wire.recv_to_end(sock).split(b"\r\n\r\n")[0].decode().lower()


def test_browsers_are_told_what_they_get(disclosed):
    assert "content-type: text/html; charset=utf-8" in _headers(disclosed, "/")
    assert "content-type: application/x-x509-ca-cert" in _headers(disclosed, "/ca.crt")
    for path in ("/", "/ca.pem", "/verdict?name=a.test", "/none"):
        head = _headers(disclosed, path)
        assert "x-content-type-options: nosniff" in head and "cache-control: no-store" in head, head


RULES = settings.rules(settings.rule("block", name=["block.test"]),
                       settings.rule("bypass", settings.BYPASS_UNSEEN, name=["bypass.test"]),
                       settings.rule("inspect", client=["192.0.2.0/24"], name=["depends.test"]))


def test_the_verdict_for_a_name_is_the_one_that_is_carried_out(proxy, nginx, world):
    made = proxy(rules=RULES)
    words = {"block.test": "blocked", "bypass.test": "unread", "site.test": "inspected"}
    for name, word in words.items():
        text = _body(made.curl(f"{PAGE}/verdict?name={name}"))
        assert f"<b>{word}</b>" in text and name in text, text
    assert made.curl(f"https://block.test:{nginx.port}/").status != 200
    assert "overt" not in made.curl(f"https://bypass.test:{nginx.port}/", ca=world.trust).issuer().lower()
    assert "depends" in _body(made.curl(f"{PAGE}/verdict?name=depends.test"))


@pytest.mark.parametrize("asked", ["%3Cscript%3Ealert(1)%3C/script%3E", "<script>alert(1)</script>", "a%22onload=x", "a'b",
                                   "%00", "%", "%zz", "a" * 3000, "a.test&name=b.test", "&amp;"])
def test_a_strangers_name_is_never_markup(asked, shared):
    with wire.connect(shared.port) as sock:
        sock.sendall(f"GET {PAGE}/verdict?name={asked} HTTP/1.1\r\nHost: overt.internal\r\n\r\n".encode())
        answer = wire.recv_to_end(sock).decode("utf-8", "replace")
    assert answer.startswith("HTTP/1.1 ")
    assert "<script" not in answer and 'onload=x"' not in answer and "a'b" not in answer


def test_a_form_of_a_browser_is_understood(proxy):
    made = proxy(rules=RULES)
    assert "<b>blocked</b>" in _body(made.curl(f"{PAGE}/verdict?name=BLOCK.test"))
    assert "<b>blocked</b>" in _body(made.curl(f"{PAGE}/verdict?name=block.test."))
    assert "<b>blocked</b>" in _body(made.curl(f"{PAGE}/verdict?name=+block.test"))


def test_head_has_no_body_and_other_methods_are_refused(disclosed):
    answer = disclosed.curl(f"{PAGE}/", "-I")
    assert answer.status == 200
    assert disclosed.curl(f"{PAGE}/", "-X", "POST", "-d", "x").status == 405
    assert disclosed.curl(f"{PAGE}/nothing").status == 404


def test_the_page_needs_no_credentials(proxy, folder):
    (folder / "users").write_text("ann:secret\n")
    made = proxy("--proxy-auth", folder / "users")
    assert made.curl(f"{PAGE}/").status == 200


def test_another_disclosure_url_is_linked(proxy):
    made = proxy("--disclosure-url", "https://it.site.test/inspection?a=1&b=2")
    assert "https://it.site.test/inspection?a=1&amp;b=2" in _body(made.curl(f"{PAGE}/"))


def test_the_page_of_a_proxy_for_this_machine_only_says_so(shared):
    assert "this machine" in _body(shared.curl(f"{PAGE}/"))


def test_the_leafs_policy_leads_to_the_page(shared, nginx):
    cert = shared.curl(f"https://site.test:{nginx.port}/").cert
    policies = cert.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert any("overt.internal" in str(q) for p in policies for q in p.policy_qualifiers or []), policies


def test_chromium_renders_it_light_and_dark(disclosed, folder):
    program = servers.needs_program("chromium")
    for scheme in ("light", "dark"):
        picture = folder / f"{scheme}.png"
        options = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
        clients.run(program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
                    "--disable-background-networking", "--window-size=900,900", f"--screenshot={picture}", *options,
                    f"--user-data-dir={folder}/{scheme}", f"http://127.0.0.1:{disclosed.port}/",
                    env={"HOME": str(folder)})
        assert picture.read_bytes().startswith(b"\x89PNG")
