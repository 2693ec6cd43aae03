"""Transparent intake in network namespaces: a client's, the proxy's in the middle, a server's. The rules are those that
`overt proxy --print-nft` prints, loaded as they are."""

import contextlib
import os
import pathlib
import re
import secrets
import shutil
import subprocess

import pytest
from lab import clients, events, overt, settings
from lab.proc import PATIENCE, Process, eventually

pytestmark = overt.requires("proxy --trust --print-nft --tproxy-source")

CLIENT, INSIDE, OUTSIDE, SERVER = "10.77.1.2", "10.77.1.1", "10.77.2.1", "10.77.2.2"
CLIENT6, INSIDE6, OUTSIDE6, SERVER6 = "fd77:1::2", "fd77:1::1", "fd77:2::1", "fd77:2::2"
PORT = 8443


def _sh(*command, check=True):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=PATIENCE)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr}")
    return done


def _why_not():
    if os.getuid() != 0:
        return "network namespaces of a test need root"
    for program in ("ip", "nft"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            return f"{program} is not installed"
    name = f"overt-try-{secrets.token_hex(3)}"
    done = _sh("ip", "netns", "add", name, check=False)
    if done.returncode:
        return "no network namespaces here: " + done.stderr.strip()
    nft = _sh("ip", "netns", "exec", name, "nft", "-c", "add table inet overt", check=False)
    _sh("ip", "netns", "del", name)
    return None if nft.returncode == 0 else "no nftables here: " + nft.stderr.strip()


class Net:
    """Three namespaces in a row; routing leads the client's packets through the middle one."""

    def __init__(self):
        self._stack = contextlib.ExitStack()
        tag = secrets.token_hex(3)
        self.client, self.middle, self.server = (f"overt-{tag}-{end}" for end in ("client", "proxy", "server"))
        for name in (self.client, self.middle, self.server):
            _sh("ip", "netns", "add", name)
            self._stack.callback(_sh, "ip", "netns", "del", name, check=False)
            self.run(name, "ip", "link", "set", "lo", "up")
        self._pair(self.client, CLIENT, CLIENT6, INSIDE, INSIDE6, "in")
        self._pair(self.server, SERVER, SERVER6, OUTSIDE, OUTSIDE6, "out")
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.run(self.middle, "sysctl", "-qw", f"{name}=1")

    def _pair(self, outer, address, address6, gateway, gateway6, name):
        _sh("ip", "link", "add", "wire", "netns", outer, "type", "veth", "peer", "name", name, "netns", self.middle)
        for where, link, four, six in ((outer, "wire", address, address6), (self.middle, name, gateway, gateway6)):
            self.run(where, "ip", "address", "add", f"{four}/24", "dev", link)
            self.run(where, "ip", "address", "add", f"{six}/64", "dev", link, "nodad")
            self.run(where, "ip", "link", "set", link, "up")
        self.run(outer, "ip", "route", "add", "default", "via", gateway)
        self.run(outer, "ip", "-6", "route", "add", "default", "via", gateway6)

    def run(self, where, *command, check=True):
        return _sh("ip", "netns", "exec", where, *command, check=check)

    def keep(self, thing):
        self._stack.callback(thing.stop)
        return thing

    def stop(self):
        self._stack.close()


@pytest.fixture(scope="module")
def possible():
    why = _why_not()
    if why:
        pytest.skip(why)


@pytest.fixture
def net(possible, starts):
    return starts(Net())


def _nft(*options):
    code, out, err = overt.run("proxy", "--print-nft", *_disclosed(), *options)
    assert code == 0, err
    return out


def _disclosed():
    return [part for key, value in settings.DISCLOSURE.items() for part in (f"--{key}", value)]


class Inside(overt.Proxy):
    """overt proxy in the middle namespace, with the printed rules loaded there. It answers the lab's names for itself."""

    def __init__(self, net, *options, modes=("transparent",), **knobs):
        self.net = net
        listen = [f"{mode}@{where}:{PORT}" for mode in modes for where in ("0.0.0.0", "[::]")]
        super().__init__(*_disclosed(), *options, listen=listen, before=["ip", "netns", "exec", net.middle],
                         rules=knobs.pop("rules", settings.rules()), **knobs)
        text = _nft(*(part for where in listen for part in ("--listen", where)))
        (self.folder / "rules.nft").write_text(text)
        net.run(net.middle, "nft", "-f", self.folder / "rules.nft")
        for command in re.findall(r"(ip (?:-6 )?(?:rule|route) add [^;\n]*)", text):
            net.run(net.middle, *command.split())


@pytest.fixture
def server(net, world):
    """openssl s_server in the server's namespace, on port 443 of both families; its names are the lab's."""
    chain, key = world.files("site.test", "bypass.test")
    made = net.keep(Process("ip", "netns", "exec", net.server, "openssl", "s_server", "-accept", "443", "-www",
                            "-cert", chain, "-cert_chain", chain, "-key", key))
    eventually(lambda: ":443 " in net.run(net.server, "ss", "-ltn").stdout or not made.running(), "the server listens")
    return made


def _get(net, name, address, ca, *options):
    where = f"[{address}]" if ":" in address else address
    command = ["ip", "netns", "exec", net.client, "curl", "-q", "-sS", "--max-time", "20", "--cacert", ca, "-w",
               r"\n%{http_code}\n%{certs}", "--resolve", f"{name}:443:{where}", *options, f"https://{name}/"]
    done = clients.run(*command)
    text = done.stdout.decode("utf-8", "replace")
    status = re.findall(r"^(\d{3})$", text, re.M)
    return clients.Answer(done.returncode, int(status[-1]) if status else 0, error=done.stderr.decode(),
                          body=done.stdout, certificates=clients.certificates(text.rsplit("\n000\n")[-1]))


def _issuer(answer):
    return answer.certificates[-1].issuer.rfc4514_string() if answer.certificates else ""


@pytest.mark.parametrize("address", [SERVER, SERVER6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("mode", ["transparent", "tproxy"])
def test_a_client_that_knows_nothing_of_a_proxy_is_inspected(mode, address, net, server, world, starts):
    made = starts(Inside(net, modes=(mode,), trust=world.trust))
    got = _get(net, "site.test", address, made.ca)
    assert got.status == 200, got.error + made.log()
    opened = made.wait_event(lambda e: events.kind(e) == "open", "the flow")
    assert opened["intake"] == ("redirect" if mode == "transparent" else "tproxy")
    assert opened["client"]["ip"] == (CLIENT if address == SERVER else CLIENT6)
    upstream = made.wait_event(events.is_kind("upstream"), "where it went")
    assert upstream["server"] == {"ip": address, "port": 443}


@pytest.mark.parametrize("address", [SERVER, SERVER6], ids=["ipv4", "ipv6"])
def test_tproxy_can_bear_the_clients_address_to_the_server(address, net, world, starts):
    """The server sees the client's own address; its answers come back through the middle."""
    code = ("import socket,sys\ns=socket.create_server(('::',443),family=socket.AF_INET6,dualstack_ipv6=True)\n"
            "print('ready',flush=True)\nwhile True:\n c,a=s.accept()\n print('from',a[0],flush=True)\n c.sendall(b'hi')\n"
            " c.close()\n")
    peer = net.keep(Process("ip", "netns", "exec", net.server, "/usr/bin/python3", "-c", code))
    peer.out.wait("ready")
    made = starts(Inside(net, "--tproxy-source", "client", modes=("tproxy",), trust=world.trust))
    where = f"[{address}]" if ":" in address else address
    net.run(net.client, "/usr/bin/python3", "-c",
            f"import socket; s=socket.create_connection(('{address}',443),20); s.settimeout(20); print(s.recv(2))")
    client = CLIENT if address == SERVER else CLIENT6
    assert peer.out.wait(r"from (\S+)")[1].replace("::ffff:", "") == client, where


def test_the_proxys_own_address_reaches_the_server_by_default(net, world, starts):
    code = ("import socket\ns=socket.create_server(('10.77.2.2',443))\nprint('ready',flush=True)\n"
            "while True:\n c,a=s.accept()\n print('from',a[0],flush=True)\n c.close()\n")
    peer = net.keep(Process("ip", "netns", "exec", net.server, "/usr/bin/python3", "-c", code))
    peer.out.wait("ready")
    starts(Inside(net, modes=("tproxy",), trust=world.trust))
    net.run(net.client, "/usr/bin/python3", "-c",
            f"import socket; s=socket.create_connection(('{SERVER}',443),20); s.settimeout(20); s.recv(2)")
    assert peer.out.wait(r"from (\S+)")[1] == OUTSIDE


def test_a_bypass_leaves_the_session_to_the_server(net, server, world, starts):
    made = starts(Inside(net, trust=world.trust, rules=settings.rules(
        settings.rule("bypass", settings.BYPASS_UNSEEN, name=["bypass.test"]))))
    got = _get(net, "bypass.test", SERVER, world.trust)
    assert got.status == 200, got.error
    made.wait_event(events.is_verdict("bypass"), "the verdict")


def test_quic_is_refused_at_once(net, starts, world):
    """UDP to port 443 is answered by ICMP, so that a client falls back without waiting."""
    starts(Inside(net, trust=world.trust))
    for family, address in (("AF_INET", SERVER), ("AF_INET6", SERVER6)):
        code = (f"import socket\ns=socket.socket(socket.{family},socket.SOCK_DGRAM)\ns.settimeout(10)\n"
                f"s.connect(('{address}',443))\ns.send(b'x')\n"
                "try:\n s.recv(1)\nexcept ConnectionRefusedError:\n print('refused')\n")
        assert net.run(net.client, "/usr/bin/python3", "-c", code).stdout == "refused\n"


def test_programs_on_the_proxys_own_machine_are_redirected_but_the_proxy_is_not(net, server, world, starts):
    made = starts(Inside(net, trust=world.trust, release=True))
    done = clients.run("ip", "netns", "exec", net.middle, "curl", "-q", "-sS", "--max-time", "20", "--cacert", made.ca,
                       "--resolve", f"site.test:443:{SERVER}", "https://site.test/")
    assert done.returncode == 0, done.stderr.decode() + made.log()
    made.wait_event(events.is_verdict("inspect"), "it was inspected, once")
    assert len([e for e in made.events() if events.kind(e) == "open"]) == 1


@pytest.mark.parametrize("mode", ["transparent", "tproxy"])
def test_a_direct_connection_to_the_listener_is_a_loop_and_refused(mode, net, world, starts):
    made = starts(Inside(net, modes=(mode,), trust=world.trust))
    for address in (INSIDE, INSIDE6):
        code = (f"import socket\ns=socket.create_connection(('{address}',{PORT}),10)\ns.settimeout(10)\n"
                "try:\n print(s.recv(1))\nexcept ConnectionResetError:\n print(b'')\n")
        assert net.run(net.client, "/usr/bin/python3", "-c", code).stdout == "b''\n"
    made.wait_words("no-destination")
    assert len([e for e in made.events() if events.kind(e) == "upstream"]) == 0


def test_what_speaks_no_tls_goes_through(net, world, starts):
    code = ("import socket\ns=socket.create_server(('10.77.2.2',443))\nprint('ready',flush=True)\n"
            "while True:\n c,a=s.accept()\n c.sendall(c.recv(100).upper())\n c.close()\n")
    net.keep(Process("ip", "netns", "exec", net.server, "/usr/bin/python3", "-c", code)).out.wait("ready")
    starts(Inside(net, trust=world.trust))
    talk = (f"import socket\ns=socket.create_connection(('{SERVER}',443),10)\ns.sendall(b'hello')\ns.settimeout(10)\n"
            "print(s.recv(5))\n")
    assert net.run(net.client, "/usr/bin/python3", "-c", talk).stdout == "b'HELLO'\n"


def test_a_server_that_is_down_is_refused_for_the_client_too(net, world, starts):
    made = starts(Inside(net, trust=world.trust))
    assert _get(net, "site.test", SERVER, made.ca).code != 0
    made.wait_words("upstream-unreachable")


# What is printed

def test_the_printed_rules_are_accepted_by_nft_in_every_combination(net):
    for listeners in (["transparent@0.0.0.0:8443"], ["tproxy@0.0.0.0:8443"], ["transparent@[::]:8443"], ["tproxy@[::]:8443"],
                      ["transparent@0.0.0.0:8443", "tproxy@0.0.0.0:8444"]):
        text = _nft(*(part for where in listeners for part in ("--listen", where)), "--user", "daemon")
        pathlib.Path("/tmp").joinpath(f"{net.middle}.nft").write_text(text)
        try:
            net.run(net.middle, "nft", "-c", "-f", f"/tmp/{net.middle}.nft")
        finally:
            os.unlink(f"/tmp/{net.middle}.nft")
        assert '"daemon"' in text or "transparent" not in listeners[0]


def test_without_a_transparent_listener_there_is_nothing_to_print():
    code, out, err = overt.run("proxy", "--print-nft")
    assert code == 2 and out == "" and "transparent" in err


def test_transparent_without_privileges_is_said_in_one_line(possible):
    state = f"/tmp/overt-none-{secrets.token_hex(4)}"  # pytest's own folders are closed to other users
    done = clients.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", overt.binary(), "proxy", "-q",
                       "--listen", "tproxy@127.0.0.1:0", *_disclosed(), "--state", state,
                       env=overt.SANITIZER_OPTIONS)
    shutil.rmtree(state, ignore_errors=True)
    said = done.stderr.decode()
    assert done.returncode == 2 and "CAP_NET_ADMIN" in said.splitlines()[-1], said
