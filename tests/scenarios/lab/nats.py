"""A bus of real nats-servers on the loopback, set up as `overt collect bus` sets it up, and clients of it: readers and
collectors of Overt, and one that speaks the protocol of NATS by hand, to try what it may not do."""

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import threading
import time

from . import collect, lines, overt, servers, still
from .proc import PATIENCE, Process, eventually


def installed():
    return shutil.which("nats-server", path=os.environ["PATH"] + ":/usr/sbin:/sbin") is not None


_reserved = []


def free_ports(count):
    """Ports that nobody else gets while the tests run, not even while what listens there is stopped and started again."""
    made = [servers.Reserved() for _ in range(count)]
    _reserved.extend(made)
    return [one.port for one in made]


class Node:
    def __init__(self, folder, port, routes):
        self.folder, self.port, self.routes, self.process = folder, port, routes, None
        self.start()

    def start(self):
        self.process = Process(servers.needs_program("nats-server"), "-c", self.folder / "nats.conf")

    def ready(self):
        self.process.err.wait("Server is ready")

    def kill(self):
        self.process.popen.send_signal(signal.SIGKILL)
        self.process.popen.wait()

    def route(self, folder, name):
        """What the node says to one that would be another node with this certificate, up to the answer to a PING."""
        ctx = ssl.create_default_context(cafile=self.folder / "ca.pem")
        ctx.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        with socket.create_connection(("localhost", self.routes), timeout=PATIENCE) as sock:
            try:
                with ctx.wrap_socket(sock, server_hostname="localhost") as link:
                    link.sendall(b'CONNECT {"verbose":false,"tls_required":true,"name":"lab","cluster":"overt"}\r\n'
                                 b'INFO {"server_id":"LAB","server_name":"lab","cluster":"overt","headers":true}\r\n'
                                 b'PING\r\n')
                    said = b""
                    while b"PONG" not in said and b"Violation" not in said and (more := link.recv(65536)):
                        said += more
                    return said
            except OSError as fault:
                return str(fault).encode()

    def hang(self):
        still.stop(self.process.pid)

    def go_on(self):
        self.process.popen.send_signal(signal.SIGCONT)

    def reload(self):
        """Reads its configuration again, and has done so."""
        done = len(self.process.err.lines())
        self.process.popen.send_signal(signal.SIGHUP)
        self.process.err.wait("Reloaded server configuration", after=done)

    def stop(self):
        if self.process.running():
            self.go_on()
        self.process.stop()


class Bus:
    """`count` nodes; collectors {certificate: site}, readers {name: consumers}. The keys of readers are made already."""

    def __init__(self, place, collectors, readers, count=3, **limits):
        self.place, self.readers = place, readers
        ports = free_ports(2 * count)
        self.plan(ports, collectors, readers)
        self.nodes = [Node(place.dir / "bus" / f"n{i + 1}", *ports[2 * i:2 * i + 2]) for i in range(count)]
        self.servers = ",".join(f"nats://localhost:{node.port}" for node in self.nodes)
        try:
            for node in self.nodes:
                node.ready()
            for name, consumers in readers.items():
                self.make_streams(name, consumers, **limits)
        except BaseException:
            self.stop()
            raise

    def plan(self, ports, collectors, readers):
        """Writes the folders of the nodes: two ports for each."""
        words = [("--node", f"n{i // 2 + 1}=localhost:{ports[i]}:{ports[i + 1]}") for i in range(0, len(ports), 2)]
        words += [("--collector", f"{name}={site}") for name, site in collectors.items()]
        words += [("--reader", self._reader(name)) for name in readers]
        self.place.overt("collect", "bus", "nodes", "--dir", self.place.dir, *(word for pair in words for word in pair))

    def make_streams(self, reader, consumers, **limits):
        self.administer("streams", "--reader", self._reader(reader), "--replicas", len(self.nodes),
                        *(word for one in consumers for word in ("--consumer", one)),
                        *(word for key, value in limits.items() for word in (f"--{key}", value)))

    def _reader(self, name):
        return f"{name}={self.place.keys / f'{name}.pub'}"

    def administer(self, action, *more, code=0):
        return self.place.overt("collect", "bus", action, "--dir", self.place.dir, "--bus", self.servers, *more, code=code)

    def rewind(self, reader, consumer):
        self.administer("rewind", "--reader", self._reader(reader), "--consumer", consumer)

    def collecting(self, name, site):
        """The options of a collector; each has a log of its own."""
        return ("--bus", self.servers, "--site", site, "--bus-certificate", self.place.dir / f"{name}.pem",
                "--log", self.place.dir / f"{name}.log")

    def reading(self, reader, consumer, log, certificate=None):
        return ("--bus", self.servers, "--consumer", consumer, "--reader-key", self.place.keys / f"{reader}.key",
                "--certificate", self.place.dir / f"{certificate or reader}.pem", "--log", log)

    def reader_id(self, reader):
        """As it stands in subjects."""
        return collect.Sealer(self.place.keys / f"{reader}.pub").key_id.hex()[:32]

    def stop(self):
        for node in self.nodes:
            node.stop()


class Client:
    """Speaks NATS by hand with the certificate of this name."""

    def __init__(self, bus, name, node=0, tls=True):
        self.sock = socket.create_connection(("localhost", bus.nodes[node].port), timeout=PATIENCE)
        self.held = b""
        self.info = json.loads(self.line()[len(b"INFO "):])
        if tls:
            ctx = bus.place.context(name)
            self.sock = ctx.wrap_socket(self.sock, server_hostname="localhost")
        self.send('CONNECT {"verbose":false,"pedantic":false,"tls_required":true,"headers":true,"lang":"lab",'
                  '"version":"1","protocol":1}')

    def send(self, line, body=None):
        self.sock.sendall(line.encode() + b"\r\n" + (body + b"\r\n" if body is not None else b""))

    def line(self):
        """The next one; b"" at the end."""
        while b"\r\n" not in self.held:
            more = self.sock.recv(65536)
            if not more:
                return b""
            self.held += more
        one, _, self.held = self.held.partition(b"\r\n")
        return one

    def answers(self):
        """What is said up to the answer to a PING: errors, messages. Ends early when the connection does."""
        self.send("PING")
        said = []
        while (line := self.line()) not in (b"PONG", b""):
            said.append(line.decode("utf-8", "replace"))
        return said

    def publish(self, subject, body=b"x", reply=""):
        self.send(f"PUB {subject} {reply} {len(body)}".replace("  ", " "), body)
        return self.answers()

    def subscribe(self, subject):
        self.send(f"SUB {subject} 1")
        return self.answers()

    def stop(self):
        with contextlib.suppress(OSError):
            self.sock.close()


class Line:
    """A line of a key log as a release of grade raw: what can be found again in a reader's key log."""
    from_client, epoch = False, 0

    def __init__(self, random):
        self.random = random
        self.text = b"CLIENT_TRAFFIC_SECRET_0 %s %s" % (random.hex().encode(), b"ab" * 32)

    def written(self):
        return self.random + struct.pack(">H", len(self.text)) + self.text


class Sender(threading.Thread):
    """Sends lines, sealed to each of `grants` {reader: grant}, in batches, until each batch was answered: to one collector
    of several, and to the next whenever one is lost or sends it away. `taken`: the randoms that were acknowledged."""

    def __init__(self, bus, collectors, grants, name, batches, turn, each=20):
        super().__init__(daemon=True)
        self.place, self.ports, self.certificate = bus.place, [one.port for one in collectors], name
        self.sealers = [(collect.Sealer(bus.place.keys / f"{reader}.pub"), grant) for reader, grant in grants.items()]
        self.batches, self.each, self.turn = batches, each, turn
        self.taken, self.offered, self.connections, self.fault, self.frames = set(), set(), 0, None, None

    def run(self):
        try:
            for number in range(self.batches):
                lines = [Line(os.urandom(32)) for _ in range(self.each)]
                self.offered |= {line.random.hex() for line in lines}
                sealed = [sealer.seal(grant, line, name=b"", consent=collect.UNILATERAL, grade=collect.RAW)
                          for line in lines for sealer, grant in self.sealers]
                self._deliver(number, sealed)
                self.taken |= {line.random.hex() for line in lines}
        except Exception as fault:  # told by who waits for this thread
            self.fault = fault
        if self.frames:
            self.frames.close()

    def _deliver(self, number, sealed):
        deadline = time.monotonic() + 3 * PATIENCE
        while True:
            try:
                if self._answered(number, sealed):
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, "no collector takes it"
            if self.frames:
                self.frames.close()
            self.frames, self.turn = None, self.turn + 1
            time.sleep(0.05)

    def _answered(self, number, sealed):
        if not self.frames:
            ctx = self.place.context(self.certificate, "overt-keys/1")
            sock = socket.create_connection(("127.0.0.1", self.ports[self.turn % len(self.ports)]), timeout=PATIENCE)
            self.frames = collect.Frames(ctx.wrap_socket(sock, server_hostname="127.0.0.1"))
            self.connections += 1
        body = struct.pack(">Q", number) + b"".join(struct.pack(">H", len(one)) + one for one in sealed)
        self.frames.send(collect.PUT, body)
        frame = self.frames.take()
        if frame is None or frame[0] == collect.SORRY:
            return False
        assert frame[0] == collect.TAKEN, frame
        batch, fresh, known, _, refused, why = struct.unpack(">QIIIIB", frame[1])
        assert (batch, refused) == (number, 0), (batch, refused, why)
        assert fresh + known == len(sealed)
        return True

    def finish(self):
        self.join(4 * PATIENCE)
        assert not self.is_alive() and self.fault is None, self.fault

    def stop(self):
        self.batches = 0


class Reader:
    """`overt collect fetch --bus --follow` with a key log."""

    def __init__(self, bus, reader, consumer, folder, *more):
        self.log, self.audit = folder / f"{reader}-{consumer}.keys", folder / f"{reader}-{consumer}.audit"
        self.process = Process(overt.binary(), "collect", "fetch", *map(str, bus.reading(reader, consumer, self.audit)),
                               "--keylog", str(self.log), "--follow", "-v", *map(str, more),
                               env=overt.SANITIZER_OPTIONS)

    def keys(self):
        """The randoms of what has come, with what came twice once."""
        return {line.split()[1] for line in lines.whole(self.log)}

    def entries(self, kind="read"):
        return lines.objects(self.audit, kind)

    def end(self, code=0):
        """What it says at its end."""
        self.process.terminate()
        assert self.process.wait() == code, self.process.err.text()
        text = self.process.err.text()
        assert "ERROR: " not in text and "runtime error" not in text, text
        return text

    def stop(self):
        self.process.stop()


def eventually_has(reader, wanted, what, timeout=PATIENCE):
    with contextlib.suppress(AssertionError):
        eventually(lambda: wanted <= reader.keys() or not reader.process.running(), what, timeout)
    missing = wanted - reader.keys()
    assert not missing, f"{len(missing)} of {len(wanted)} keys have not come: {what}\n{reader.process.err.text()[-3000:]}"

