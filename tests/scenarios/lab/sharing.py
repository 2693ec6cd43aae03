"""`overt exec --share` around programs: the words that stand before one, what was seen of its connections here, its keys on
their way to a collector; and the programs that several files try it with."""

import dataclasses
import re
import shutil
import subprocess

import pytest

from . import clients, lines, overt
from .proc import PATIENCE
from .servers import needs_program

needs_capture = pytest.mark.usefixtures("may_capture")
both_versions = pytest.mark.parametrize("server", ["TLS 1.3", "TLS 1.2"], indirect=True)


# What is seen here

@dataclasses.dataclass
class Seen:
    code: int
    out: str
    err: str
    events: list

    def of(self, kind, **fields):
        return [e for e in self.events if e["type"] == kind and all(e.get(k) == v for k, v in fields.items())]

    @property
    def paths(self):
        return [e["path"] for e in self.of("request")]

    @property
    def statuses(self):
        return [e["status"] for e in self.of("response")]

    @property
    def verdicts(self):
        found = re.search(r"^overt exec: \d+ TLS connections?: (\d+) decrypted, (\d+) partly, (\d+) not", self.err, re.M)
        return tuple(map(int, found.groups())) if found else None

    def whole(self, *paths, status=200, connections=None):
        """Every connection (of so many) was read to its end, and these were asked for and answered."""
        assert sorted(self.paths) == sorted(paths), self.err
        assert self.statuses == [status] * len(paths), self.err
        assert self.verdicts[1:] == (0, 0) and connections in (None, self.verdicts[0]), self.err


def run(folder, *command, options=(), **knobs):
    """The command under `overt exec --share` to its end; `knobs` of overt.run."""
    written = folder / "share.jsonl"
    written.unlink(missing_ok=True)
    code, out, err = overt.run("exec", "--share", "--interface", "lo", "--jsonl", written, *options, "--", *command,
                               **{**knobs, "env": {"HOME": str(folder), **(knobs.get("env") or {})}})
    return Seen(code, out, err, lines.objects(written))


class Server:
    """A server under `overt exec --share`: `make` gets the words that stand before its command."""

    def __init__(self, folder, make, *options):
        self.written = folder / "server.jsonl"
        self.server = make([overt.binary(), "exec", "--share", "--interface", "lo", "--jsonl", self.written, *options, "--"])
        self.port = self.server.port

    @property
    def process(self):
        return self.server.process

    def end(self):
        """What was seen, once it has ended in good order."""
        code = self.process.terminate()
        err = self.process.err.text()
        assert not overt.SANITIZER.search(err), err
        return Seen(code, self.process.out.text(), err, lines.objects(self.written))

    def stop(self):
        self.server.stop()


# On the way to a collector

def sending(place, collector, folder, *options, log="release.log"):
    """The words that stand before "--" and a program on host web1."""
    return [overt.binary(), "exec", "--share", "--collector", collector.address, "--certificate", place.dir / "web1.pem",
            "--grants", place.dir / "grants", "--signer", place.dir / "signers", "--audit", folder / log, *options]


def send(place, collector, folder, *command, env=None):
    """The command to its end, its keys under way to the collector: what subprocess.run says of it, as text."""
    done = subprocess.run([str(word) for word in (*sending(place, collector, folder), "--", *command)], capture_output=True,
                          text=True, timeout=PATIENCE * 2, check=False,
                          env=clients.environment(**overt.SANITIZER_OPTIONS, **(env or {})))
    assert not overt.SANITIZER.search(done.stderr), done.stderr
    return done


class Host:
    """A machine with grants and a log of its own."""

    def __init__(self, place, collector, folder, certificate, *options):
        self.place, self.collector = place, collector
        self.folder = folder / certificate
        self.log = self.folder / "release.log"
        (self.folder / "grants").mkdir(parents=True)
        self.words = [overt.binary(), "exec", "--share", "--collector", collector.address, "--certificate",
                      place.dir / f"{certificate}.pem", "--grants", self.folder / "grants", "--signer",
                      place.dir / "signers", "--audit", self.log, *options]

    def has(self, *grants):
        for grant in grants:
            shutil.copy(self.place.dir / "grants" / f"{grant}.grant", self.folder / "grants")
        return self

    def runs(self, *command):
        done = subprocess.run([*map(str, self.words), "--", *map(str, command)], capture_output=True, text=True,
                              timeout=PATIENCE * 2, env=clients.environment(**overt.SANITIZER_OPTIONS), check=False)
        assert not overt.SANITIZER.search(done.stderr), done.stderr
        return done

    def entries(self, kind):
        return lines.objects(self.log, kind)

    def releases(self):
        """What left it: of which direction, by whose consent, bound by what."""
        return sorted((e["direction"], e["consent"], e.get("bound"), e["mode"]) for e in self.entries("release"))

    def refusals(self):
        return [(e["side"], e["why"]) for e in self.entries("refusal") if e["side"] in ("client", "server")]


# Programs

def url(server, path="/"):
    return f"https://site.test:{server.port}{path}"


def curl(world, server, *options, path="/"):
    return ["curl", "-q", "-sS", "--max-time", "20", "--cacert", world.trust, *options, url(server, path)]


URLLIB = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
print(urllib.request.urlopen(sys.argv[2], context=context).read().decode())
"""
ASYNCIO = """
import asyncio, ssl, sys
async def main():
    context = ssl.create_default_context(cafile=sys.argv[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]), ssl=context, server_hostname="site.test")
    writer.write(b"GET / HTTP/1.1\\r\\nHost: site.test\\r\\nConnection: close\\r\\n\\r\\n")
    print((await reader.read()).decode())
    writer.close()
asyncio.run(main())
"""
ASK = r"printf 'GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n' | "
# Each asks for "/" once, with an OpenSSL or GnuTLS of the system: (world, server, folder) -> its command.
CLIENTS = {
    "curl": lambda world, server, folder: curl(world, server),
    "wget": lambda world, server, folder: ["wget", "-q", "-O", "-", "--ca-certificate", world.trust, url(server)],
    "python urllib": lambda world, server, folder: ["/usr/bin/python3", clients.script(folder, "f.py", URLLIB), world.trust,
                                                    url(server)],
    "python asyncio": lambda world, server, folder: ["/usr/bin/python3", clients.script(folder, "f.py", ASYNCIO),
                                                     world.trust, server.port],
    "openssl s_client": lambda world, server, folder: [
        "sh", "-c", f"{ASK} openssl s_client -quiet -connect 127.0.0.1:{server.port}"],
}


def compiled(folder, name, text, *options):
    """A program of one file of C."""
    compiler = needs_program("cc")
    source = clients.script(folder, name + ".c", text)
    subprocess.run([compiler, "-o", folder / name, source, *options], check=True, timeout=PATIENCE)
    return folder / name
