"""Two endpoints in processes of their own, unmodified programs of OpenSSL, and the path between them, which is the test's:
it sees records, passes them on, holds them, drops them, and puts in its own."""

import json
import select
import socket
import struct
import subprocess

from . import clients
from .proc import PATIENCE, Process, eventually
from .shipper import HANDSHAKE, Shipper

PYTHON = ("/usr/bin/python3",)  # the words of one, with the OpenSSL that is to be tried
HANDSHAKES = {("client", HANDSHAKE, 0), ("server", HANDSHAKE, 0)}

ENDPOINT = """
import json, socket, ssl, sys
role, trust, cert, key = sys.argv[1:]
if role == "server":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.num_tickets = 0
else:
    context = ssl.create_default_context(cafile=trust)
context.minimum_version = ssl.TLSVersion.TLSv1_3
tls = held = None
def do(word, value=""):
    global tls, held
    if word == "connect":
        sock = socket.create_connection(("127.0.0.1", int(value)))
        sock.setblocking(False)
        tls = context.wrap_socket(sock, server_side=role == "server", do_handshake_on_connect=False,
                                  server_hostname=None if role == "server" else "site.test")
    elif word == "handshake":
        tls.do_handshake()
    elif word == "write":
        return tls.write(value.encode())
    elif word == "read":
        return tls.read(65536).decode()
    elif word == "close":
        tls.unwrap()
    elif word == "free":
        # What is read through the socket afterwards is no TLS any more.
        held = socket.socket(fileno=tls.detach())
        tls = None
for line in sys.stdin:
    try:
        print(json.dumps(["ok", do(*json.loads(line))]), flush=True)
    except ssl.SSLWantReadError:
        print(json.dumps(["wait", None]), flush=True)
    except Exception as fault:
        print(json.dumps(["fault", str(fault)]), flush=True)
"""


class Endpoint:
    def __init__(self, role, world, folder, env, python=PYTHON):
        cert, key = world.files("site.test")
        self.role = role
        self.process = Process(*python, clients.script(folder, f"{role}.py", ENDPOINT), role, world.trust, cert, key,
                               env=env, stdin=subprocess.PIPE)
        self._answers = 0

    def do(self, *words):
        """("ok" | "wait" | "fault", what)."""
        self.process.popen.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.popen.stdin.flush()
        found = self.process.out.wait(r"^\[.*\]$", PATIENCE, after=self._answers)
        self._answers += 1
        return tuple(json.loads(found[0]))

    def ok(self, *words):
        how, what = self.do(*words)
        assert how == "ok", (self.role, words, how, what)
        return what

    def until(self, *words):
        """The same, once it has not to wait any more."""
        return eventually(lambda: (answer := self.do(*words))[0] != "wait" and answer, words)

    def hear(self, text):
        how, what = self.until("read")
        assert (how, what) == ("ok", text), self.role

    def stop(self):
        self.process.stop()


def _records(octets):
    """Whole records from the front, and what is left."""
    found = []
    while len(octets) >= 5 and len(octets) >= 5 + struct.unpack(">H", octets[3:5])[0]:
        size = 5 + struct.unpack(">H", octets[3:5])[0]
        found.append(octets[:size])
        octets = octets[size:]
    return found, octets


class Path:
    """One connection between two endpoints. Whatever is not passed on stays in `waiting`."""

    def __init__(self, client, server):
        self.ends = {"client": client, "server": server}
        self.socks, self.rest = {}, {}
        self.waiting, self.passed = {"client": [], "server": []}, {"client": [], "server": []}
        for role, end in self.ends.items():
            with socket.create_server(("127.0.0.1", 0)) as door:
                end.ok("connect", str(door.getsockname()[1]))
                self.socks[role], _ = door.accept()
            self.socks[role].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.rest[role] = b""
        self._handshake()

    def pull(self, role, least=0):
        """What this end has written is added to what waits: so many records, at least."""
        while True:
            try:
                while part := self.socks[role].recv(1 << 20, socket.MSG_DONTWAIT):
                    self.rest[role] += part
            except (BlockingIOError, ConnectionResetError):
                pass
            found, self.rest[role] = _records(self.rest[role])
            self.waiting[role] += found
            if len(self.waiting[role]) >= least:
                return self.waiting[role]
            assert select.select([self.socks[role]], [], [], PATIENCE)[0], f"nothing from the {role}"

    def push(self, role, *records):
        """To this end."""
        self.socks[role].sendall(b"".join(records))

    def forward(self, role, least=1):
        """What this end has written goes to the other one."""
        self.pull(role, least)
        sent, self.waiting[role] = self.waiting[role], []
        self.push("server" if role == "client" else "client", *sent)
        self.passed[role] += sent
        return sent

    def drop(self, role, least=1):
        self.pull(role, least)
        gone, self.waiting[role] = self.waiting[role], []
        return gone

    def _handshake(self):
        done = {"client": False, "server": False}
        while True:
            for role, end in self.ends.items():
                done[role] = done[role] or end.do("handshake")[0] == "ok"
                for record in self.forward(role, 0):
                    if role == "client" and record[0] == 22 and record[5] == 1:
                        self.random = record[11:43]
            if all(done.values()):
                return

    def next_number(self, key):
        """Of the record that would follow those of this key that the other end has got."""
        number = 0
        for record in self.passed["client" if key.from_client else "server"]:
            if record[0] == 23 and key.open(number, record):
                number += 1
        return number

    def say(self, role, text):
        """One end says something, and the other hears it."""
        self.ends[role].ok("write", text)
        other = self.ends["server" if role == "client" else "client"]

        def heard():
            self.forward(role, 0)
            answer = other.do("read")
            return answer[0] != "wait" and answer
        assert eventually(heard, text) == ("ok", text), role

    def close(self):
        for sock in self.socks.values():
            sock.close()


class Ends:
    """Both programs, whose agents hand their keys to one shipper."""

    def __init__(self, world, folder, *, client=PYTHON, server=PYTHON, **settings):
        self.shipper = Shipper()
        env = self.shipper.env(**settings)
        self.client, self.server = (Endpoint(role, world, folder, env, python)
                                    for role, python in (("client", client), ("server", server)))
        self.paths = []

    def connect(self):
        self.paths.append(Path(self.client, self.server))
        return self.paths[-1]

    def released(self, path, *names):
        self.shipper.wait(path.random, *HANDSHAKES, *names)

    def stop(self):
        for path in self.paths:
            path.close()
        self.client.stop()
        self.server.stop()
        self.shipper.stop()
