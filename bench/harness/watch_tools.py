"""What bench/watch runs: captures made for the run, and programs that read them."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import time

import programs
from fault import Fault
from terminal import Terminal

SUMMARY = re.compile(r"(\d+) TLS connections?: (\d+) decrypted")
OTHER_LINE = 176  # octets in a key log of a session of TLS 1.2
OTHERS_AT_ONCE = 10_000
SPEED = re.compile(r"^\S+\s+([\d.]+)k\s*$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Capture:
    path: pathlib.Path
    keys: pathlib.Path  # None: inside
    connections: int
    plain: int  # octets of the answers' bodies

    @property
    def octets(self):
        return self.path.stat().st_size


class Captures:
    """Made when they are first asked for, and deleted when the next part begins: together they would be too large."""

    def __init__(self, build, folder):
        self.maker, self.folder, self.made = build / "bench/capture", folder, {}

    def get(self, name, *, octets, connections=1, keys_inside=False, **options):
        if name in self.made:
            return self.made[name]
        path, keys = self.folder / f"{name}.pcap", self.folder / f"{name}.keys"
        need = octets * connections * 1.2 + 4000 * connections
        left = os.statvfs(self.folder)
        if need > left.f_bavail * left.f_frsize * 0.8:
            raise Fault(f"{self.folder}: too little room for a capture of {need / 1e9:.1f} GB; name a folder with --folder")
        words = [self.maker, "--out", path, "--keys", keys, "--octets", octets, "--connections", connections,
                 *(["--keys-inside"] if keys_inside else [])]
        for option, value in options.items():
            words += [f"--{option}", value]
        result = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
        if result.returncode:
            raise Fault(f"cannot make the capture {name}", result.stderr)
        if json.loads(result.stdout)["connections"] != connections:
            raise Fault(f"the capture {name} has another number of connections")
        self.made[name] = Capture(path, None if keys_inside else keys, connections, octets * connections)
        return self.made[name]

    def among_others(self, name, *, sessions, **options):
        """A capture whose key log holds `sessions` sessions, of which its own come last."""
        capture = self.get(name, **options)
        own = capture.keys.read_bytes()
        left = os.statvfs(self.folder)
        if sessions * OTHER_LINE > left.f_bavail * left.f_frsize * 0.8:
            raise Fault(f"{self.folder}: too little room for a key log of {sessions:,} sessions; name a folder with --folder")
        with capture.keys.open("wb") as log:
            for at in range(0, sessions - capture.connections, OTHERS_AT_ONCE):
                count = min(OTHERS_AT_ONCE, sessions - capture.connections - at)
                drawn = os.urandom(80 * count).hex()
                log.write("".join(f"CLIENT_RANDOM {drawn[i:i + 64]} {drawn[i + 64:i + 160]}\n"
                                  for i in range(0, len(drawn), 160)).encode())
            log.write(own)
        return capture

    def clear(self):
        for capture in self.made.values():
            capture.path.unlink(missing_ok=True)
            (self.folder / f"{capture.path.stem}.keys").unlink(missing_ok=True)
        self.made = {}


@dataclasses.dataclass(frozen=True)
class Spent:
    cpu_s: float
    wall_s: float
    peak_kb: int


def timed(folder, command, stdout=subprocess.DEVNULL):
    """Runs to the end. Returns what it spent and said on stderr.

    GNU time stands between, because a child's peak begins at that of the process that forked it."""
    note = folder / "time"
    begun = time.monotonic()
    process = programs.start(["/usr/bin/time", "-q", "-o", note, "-f", "%M", *command], stdout=stdout,
                             stderr=subprocess.PIPE)
    said = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    programs.forget(process)
    if process.returncode:
        raise Fault(f"{pathlib.Path(str(command[0])).name} failed with {process.returncode}", said)
    return Spent(usage.ru_utime + usage.ru_stime, wall, int(note.read_text())), said


class Reader:
    """One way to read a capture."""

    name = ""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder

    def read(self, capture):
        raise NotImplementedError


class Overt(Reader):
    name = "overt"
    outputs = ["-q"]
    workers = 1

    def words(self, capture):
        keys = ["-k", capture.keys] if capture.keys else []
        return [self.build / "overt", "watch", "-j", self.workers, *self.outputs, *keys, capture.path]

    def run(self, capture):
        return timed(self.folder, self.words(capture))

    def read(self, capture):
        spent, said = self.run(capture)
        found = SUMMARY.search(said)
        if not found or int(found.group(1)) != capture.connections or int(found.group(2)) != capture.connections:
            raise Fault(f"overt did not decrypt the {capture.connections} connections of {capture.path.name}", said)
        return spent


class OvertJsonl(Overt):
    name = "overt+jsonl"
    outputs = ["-q", "--jsonl", "/dev/null"]


class OvertTable(Overt):
    name = "overt+table"
    outputs = []

    def run(self, capture):
        terminal = Terminal()
        try:
            return timed(self.folder, self.words(capture), stdout=terminal.writer)
        finally:
            terminal.close()


class OvertTwo(Overt):
    name = "overt, 2 workers"
    workers = 2


class Tshark(Reader):
    """Prints one line per HTTP answer and puts no bodies together: what shows that it decrypted, and little more."""

    name = "tshark"

    def read(self, capture):
        answers = self.folder / "answers"
        with answers.open("wb") as out:
            spent, said = timed(self.folder, ["tshark", "-r", capture.path, "-o", f"tls.keylog_file:{capture.keys}", "-o",
                                              "http.desegment_body:FALSE", "-Y", "http.response", "-T", "fields", "-e",
                                              "tcp.stream"], stdout=out)
        lines = answers.read_bytes().count(b"\n")
        if lines != capture.connections:
            raise Fault(f"tshark found {lines} answers in the {capture.connections} connections of "
                        f"{capture.path.name}", said)
        return spent


class Cat(Reader):
    name = "cat"

    def read(self, capture):
        spent, _ = timed(self.folder, ["cat", capture.path])
        return spent


def aead_gb_s(cipher, octets):
    """What libcrypto opens in a second of CPU time, in records of that size, with one key and nothing around it."""
    words = ["openssl", "speed", "-seconds", "1", "-decrypt", "-bytes", str(octets), "-evp", cipher]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    found = SPEED.search(result.stdout)
    if result.returncode or not found:
        raise Fault(f"openssl speed does not know {cipher}", result.stderr)
    return float(found.group(1)) * 1000 / 1e9
