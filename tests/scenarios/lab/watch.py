"""`overt watch`, run over a capture: its JSON lines, its plaintext and its summary, taken apart."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from . import clients, overt, servers
from .proc import PATIENCE, Process, eventually

NAME = re.compile(r"(?P<flow>\d+\.\d+)_(?P<client>.+)-(?P<port>\d+)_(?P<server>.+)-(?P<to>\d+)\."
                  r"(?P<direction>up|down)$")


@dataclasses.dataclass
class Summary:
    """The line on standard error. `causes` maps a name to (connections, size in words)."""
    text: str
    connections: int
    decrypted: int
    partly: int
    not_: int
    without_data: int
    causes: dict

    @staticmethod
    def read(err):
        found = re.search(r"^overt watch: (\d+) TLS connections?: (\d+) decrypted, (\d+) partly, (\d+) not"
                          r"(?:, (\d+) without data)?(?: \(([^)]*)\))?(.*)$", err, re.M)
        if not found:
            return None
        causes = {name: (int(number), size) for name, number, size
                  in re.findall(r"([\w-]+): (\d+) connections?, ([\d.]+ \w+)", found[6] or "")}
        return Summary(found[0], *(int(found[n] or 0) for n in range(1, 6)), causes)

    @property
    def verdicts(self):
        return self.decrypted, self.partly, self.not_


@dataclasses.dataclass
class Seen:
    code: int
    events: list
    plain: dict  # (client port, "up" or "down") -> octets; of several flows with one port, joined in order of flows
    err: str

    @property
    def summary(self):
        found = Summary.read(self.err)
        assert found, self.err
        return found

    def of(self, kind, **fields):
        return [e for e in self.events if e["type"] == kind and all(e.get(k) == v for k, v in fields.items())]

    def only(self, direction):
        """The plaintext of the one connection there is."""
        found = [octets for (_, way), octets in self.plain.items() if way == direction]
        assert len(found) <= 1, self.plain.keys()
        return found[0] if found else b""

    def paths(self):
        return [e["path"] for e in self.of("request")]

    def missing(self, direction):
        """(offset, octets) of the gaps of a direction, in order."""
        return [(e["offset"], e["octets"]) for e in self.of("gap", direction=direction)]


def plaintext(folder):
    found = {}
    paths = [(NAME.match(p.name), p) for p in pathlib.Path(folder).iterdir()]
    assert all(name for name, _ in paths), [str(p) for _, p in paths]
    for name, path in sorted(paths, key=lambda pair: [int(n) for n in pair[0]["flow"].split(".")]):
        key = int(name["port"]), name["direction"]
        found[key] = found.get(key, b"") + path.read_bytes()
    return found


def events(text):
    return [json.loads(line) for line in text.splitlines()]


def run(*arguments, stdin=None, timeout=PATIENCE * 2, code=0, **options):
    """`overt watch` with JSON lines and plaintext to its end. `stdin`: octets. The exit code must be `code`."""
    folder = tempfile.mkdtemp(prefix="overt-plain-")
    try:
        done = subprocess.run([overt.binary(), "watch", "--jsonl", "-", "--plaintext", folder, "--show-secrets",
                               *map(str, arguments)], capture_output=True, timeout=timeout,
                              env=clients.environment(**overt.SANITIZER_OPTIONS),
                              **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}), **options)
        err = done.stderr.decode("utf-8", "replace")
        assert not overt.SANITIZER.search(err), err
        assert done.returncode == code, f"exit code {done.returncode}: {err}"
        return Seen(done.returncode, events(done.stdout.decode()), plaintext(folder), err)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def of_bytes(folder, capture, *arguments, keys=None, name="capture", **options):
    """run() on a capture and a key log given as octets and text."""
    path = pathlib.Path(folder) / name
    path.write_bytes(capture)
    if keys is not None:
        log = pathlib.Path(folder) / "keys.log"
        log.write_bytes(keys if isinstance(keys, bytes) else keys.encode())
        arguments = ("-k", log, *arguments)
    return run(*arguments, path, **options)


class Running:
    """An `overt watch` that goes on: JSON lines on its standard output, plaintext in `folder`."""

    def __init__(self, *arguments, before=(), binary=None, **options):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-plain-"))
        self.process = Process(*before, binary or overt.binary(), "watch", "--jsonl", "-", "--plaintext", self.folder,
                               "--show-secrets", *arguments,
                               env={**clients.environment(), **overt.SANITIZER_OPTIONS}, **options)

    def wait(self, pattern, timeout=PATIENCE):
        """Waits for a JSON line that matches."""
        return json.loads(self.process.out.wait(pattern, timeout).string)

    def _captures(self):
        held = f"/proc/{self.process.pid}/fd"
        try:
            with open(f"/proc/{self.process.pid}/net/packet", encoding="ascii") as rows:
                taken = {f"socket:[{row.split()[8]}]" for row in rows.read().splitlines()[1:] if row.split()[5] == "1"}
            return any(os.readlink(f"{held}/{fd}") in taken for fd in os.listdir(held))
        except OSError:
            return False

    def captures(self):
        """Waits until it captures. False when it may not."""
        eventually(lambda: self._captures() or not self.process.running(), "it captures")
        return self.process.running() or "permi" not in self.process.err.text().lower()

    def events(self):
        return events("\n".join(self.process.out.lines()))

    def end(self, number=None, code=0):
        """Sends a signal (or none), waits for the end, and returns what was Seen."""
        if number is not None:
            self.process.popen.send_signal(number)
        found = self.process.wait()
        err = self.process.err.text()
        assert not overt.SANITIZER.search(err), err
        assert found == code, f"exit code {found}: {err}"
        return Seen(found, self.events(), plaintext(self.folder), err)

    def stop(self):
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def tshark(capture, *options, keys=None):
    """The standard output of tshark, which reads no configuration of the user's."""
    program = servers.needs_program("tshark")
    more = ["-o", f"tls.keylog_file:{keys}"] if keys else []
    home = tempfile.mkdtemp(prefix="overt-home-")
    try:
        done = clients.run(program, "-n", "-r", capture, *more, *options, env={"HOME": home})
    finally:
        shutil.rmtree(home, ignore_errors=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8", "replace")


def tshark_plaintext(capture, keys=None, *, ports=(40000,), server=443):
    """What tshark decrypts, in the form of Seen.plain. `ports` are the clients' in the order of their first packets:
    tshark names one side alone."""
    asked = [part for n in range(len(ports)) for part in ("-z", f"follow,tls,raw,{n}")]
    found = {}
    for text in tshark(capture, "-q", *asked, keys=keys).split("=" * 67):
        number = re.search(r"^Filter: tcp\.stream eq (\d+)$", text, re.M)
        if not number:
            continue
        _, rest = text.split("\nNode 1", 1)
        served_first = f":{server}\n" in text[:-len(rest)]
        for line in rest.splitlines()[1:]:
            key = ports[int(number[1])], "up" if line.startswith("\t") == served_first else "down"
            found[key] = found.get(key, b"") + bytes.fromhex(line)
    return found


def live(port, *options):
    """A Running that captures this port of the loopback already: what is said from now on, it sees."""
    running = Running("-i", "lo", "-f", f"tcp port {port}", "-j", "1", *map(str, options))
    allowed = running.captures()
    if running.process.running():
        return running
    said = running.process.err.text()
    running.stop()
    if not allowed:
        pytest.skip("no right to capture packets here")
    raise AssertionError(said)
