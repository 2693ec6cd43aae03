"""The TLS server at the end, and the load client at the beginning."""

import contextlib
import json
import subprocess

import programs
from fault import Fault

KINDS = ["full", "resume", "wrongname", "untrusted"]
# The server's certificate for `wrongname` and `untrusted` is wrong; only its first two ports are for measuring.


class Origin:
    def __init__(self, folder, certs, cpus):
        command = [folder / "server", certs.intermediate, certs.intermediate_key]
        self.process = programs.start(programs.on_cpus(cpus, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True)
        line = self.process.stdout.readline()
        if not line:
            raise Fault("bench/server did not start")
        self.ports = json.loads(line)

    def counts(self, kind):
        """Handshakes, resumed ones and requests so far on that port."""
        self.process.stdin.write("counts\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())[kind]


class Load:
    """One run of the load client, in steps: ready(), go(), result(), release()."""

    def __init__(self, folder, cpus, mode, address, *, gate=False, deadline_s=120, **options):
        words = [folder / "load", mode, *address, "--deadline", f"{deadline_s}s", *(["--gate"] if gate else [])]
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", value]
        self.process = programs.start(programs.on_cpus(cpus, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)
        self.early = None

    def _line(self):
        line = self.process.stdout.readline()
        if not line:
            raise Fault(f"bench/load said nothing: {self.process.stderr.read().strip()}")
        return line

    def ready(self):
        """Waits until all connections are warm; what follows is what is measured."""
        line = self._line()
        if line.strip() != "ready":
            self.early = line

    def go(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def result(self):
        """The counts. Raises Fault when there was any error."""
        figures = json.loads(self.early or self._line())
        if figures["errors"]:
            raise Fault(f"{figures['errors']} errors, the first: {figures['first_error']}")
        return figures

    def release(self):
        """Lets it close its connections, and waits for its end."""
        self.go()
        if self.process.wait(30):
            raise Fault(f"bench/load failed: {self.process.stderr.read().strip()}")
        programs.stop(self.process)
