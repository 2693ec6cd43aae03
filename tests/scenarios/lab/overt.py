"""The program under test: started with a state folder of its own, watched, stopped by SIGTERM, and only then believed
to have behaved: exit code 0, no sanitizer report, no process left."""

import functools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading

import pytest

from . import clients, events, lines, settings
from .proc import PATIENCE, Process, children, eventually

DRAIN = "3s"  # how long a stop waits for connections that a test left open
SANITIZER = re.compile(r"(ERROR: \w*Sanitizer|SUMMARY: \w*Sanitizer|runtime error:|LeakSanitizer).*")
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=0",
}


def binary(release=False):
    return os.environ["OVERT_RELEASE" if release else "OVERT"]


@functools.lru_cache(maxsize=None)
def _help(verb):
    done = subprocess.run([binary(), *verb.split(), "--help"], capture_output=True, text=True, timeout=PATIENCE,
                          stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr if done.returncode == 0 else None


def knows(verb, *options):
    """Whether `overt VERB --help` succeeds and names each option."""
    text = _help(verb)
    return text is not None and all(re.search(re.escape(option) + r"(?![\w-])", text) for option in options)


def missing(*needs):
    """The first of `needs` ("verb" or "verb --option ...") that the program does not know yet, or None."""
    for need in needs:
        verb, _, options = need.partition(" --")
        if not knows(verb, *(f"--{o}" for o in options.split(" --") if o)):
            return need
    return None


def requires(*needs):
    """A mark for a module or test: skipped while `overt VERB --help` does not know the verb or the option."""
    lacking = missing(*needs)
    return pytest.mark.skipif(lacking is not None, reason=f"overt does not know '{lacking}' yet")


def run(*arguments, release=False, timeout=PATIENCE * 2, stdin=subprocess.DEVNULL, env=None, check_reports=True,
        **options):
    """One run of a verb that ends by itself: (exit code, stdout, stderr) in text."""
    done = subprocess.run([binary(release), *map(str, arguments)], capture_output=True, timeout=timeout, stdin=stdin,
                          env=clients.environment(**SANITIZER_OPTIONS, **(env or {})), **options)
    out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    if check_reports:
        assert not SANITIZER.search(err), err
    return done.returncode, out, err


class Proxy:
    """A running `overt proxy`. `ports` are the ports of its listeners in the order of `listen`."""

    def __init__(self, *options, trust=None, rules=None, config=None, listen=("127.0.0.1:0",), state=None,
                 release=False, jsonl=True, env=None, before=None, start=True):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-run-"))
        self.folder.chmod(0o755)
        self.state = pathlib.Path(state) if state else self.folder / "state"
        self.jsonl = self.folder / "events.jsonl"
        self.rules_file, self.config_file = self.folder / "rules.yaml", self.folder / "overt.yaml"
        self.release, self.env, self.stopped = release, env or {}, False
        command = [binary(release), "proxy", "--state", self.state, "-q"]
        if knows("proxy", "--drain-timeout"):
            command += ["--drain-timeout", DRAIN]
        for where in listen:
            command += ["--listen", where]
        if trust:
            command += ["--trust", trust]
        self.rules_file.write_text(settings.rules() if rules is None else rules)
        command += ["--rules", self.rules_file]
        if config is not None:
            self.config_file.write_text(config)
            command += ["--config", self.config_file]
        if jsonl:
            command += ["--jsonl", self.jsonl]
        self.listeners = len(listen)
        self.command = [*(before or []), *command, *options]
        self.process, self.ports = None, []
        if start:
            self.start()

    def start(self):
        self.process = Process(*self.command, env={**clients.environment(), **SANITIZER_OPTIONS, **self.env})
        self.ports = []
        for number in range(self.listeners):
            self.process.err.wait(r"listening address=")
            eventually(lambda n=number: len(self._listening()) > n or not self.process.running(),
                       f"listener {number + 1} is announced")
        found = self._listening()
        assert len(found) >= self.listeners, self.log()
        self.ports = found
        return self

    def _listening(self):
        said = "\n".join(self.process.err.lines())
        return [int(n) for n in re.findall(r'listening address="?\S+?:(\d+)"?(?:\s|$)', said, re.M)]

    @property
    def port(self):
        return self.ports[0]

    @property
    def ca(self):
        return self.state / "ca.pem"

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.process.err.text()

    def wait_log(self, pattern, timeout=PATIENCE, after=0):
        return self.process.err.wait(pattern, timeout, after)

    def log_lines(self):
        return len(self.process.err.lines())

    # Events

    def events(self):
        """Every whole line of the jsonl so far."""
        return lines.objects(self.jsonl)

    def wait_event(self, wanted, what="an event", timeout=PATIENCE):
        """The first event for which `wanted(event)` is true; `what` names it in the failure."""
        def look():
            return next((e for e in self.events() if wanted(e)), None)
        try:
            return eventually(look, what, timeout)
        except AssertionError as error:
            shown = "\n".join(json.dumps(e) for e in self.events()[-20:])
            raise AssertionError(f"{error}\nevents:\n{shown}\nlog:\n{self.log()[-3000:]}") from None

    def words(self, after=(0, 0)):
        """What events and log say since a mark(), without the host names of the tests."""
        texts = [text for e in self.events()[after[0]:] for text in events.values(e)]
        texts += self.process.err.lines()[after[1]:]
        return re.sub(r"[\w.*-]+\.test\b", "HOST", "\n".join(texts))

    def wait_words(self, pattern, after=(0, 0), timeout=PATIENCE):
        """Returns once words(after) match `pattern`."""
        try:
            eventually(lambda: re.search(pattern, self.words(after), re.I), pattern, timeout)
        except AssertionError:
            raise AssertionError(f"nothing said matches {pattern!r}; said was:\n{self.words(after)}") from None

    def mark(self):
        return len(self.events()), len(self.process.err.lines())

    # Clients through it

    def curl(self, url, *options, **knobs):
        return clients.curl(url, *options, **{"proxy": self.port, "ca": self.ca, **knobs})

    def get(self, port, name, path="/", **knobs):
        return clients.python_get(port, name, path, **{"proxy": self.port, "ca": self.ca, **knobs})

    def tls(self, port, name, **knobs):
        return clients.python_tls(port, name, **{"proxy": self.port, "ca": self.ca, **knobs})

    # Life

    def family(self):
        """Process ids of the supervisor and all below it."""
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue += children(pid)
        return found

    def members(self, role):
        """Process ids of the family whose role ("worker", "keeper", "scribe", "resolver") is this."""
        found = []
        for pid in self.family():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[1:2] == [f"child:{role}".encode()]:
                found.append(pid)
        return found

    def reload(self):
        self.process.popen.send_signal(signal.SIGHUP)

    def kill(self):
        """Ends the whole family by force, for a test that already knows that it is broken."""
        self.stopped = True
        self.process.terminate(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self, expect=0, keep=False):
        """SIGTERM; then everything that a good end means is asserted."""
        if self.stopped or self.process is None:
            return
        self.stopped = True
        popen = self.process.popen
        if popen.poll() is None:
            popen.send_signal(signal.SIGTERM)
        try:
            code = popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = None
        left = self._left()
        self.process.terminate(signal.SIGKILL)
        log = self.log()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        reports = SANITIZER.search(log)
        assert not reports, f"a sanitizer reported:\n{log[-8000:]}"
        assert code is not None, f"overt did not end within {PATIENCE:.0f} s of SIGTERM:\n{log[-4000:]}"
        assert code == expect, f"overt ended with {code}:\n{log[-4000:]}"
        assert not left, f"processes of overt were left running: {left}\n{log[-4000:]}"

    def _left(self):
        """Processes of the group that outlive the supervisor by more than a moment."""
        def group():
            found = []
            for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
                try:
                    fields = path.read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                if int(fields[2]) == self.pid and fields[0] != "Z":
                    found.append(int(path.parent.name))
            return found
        try:
            eventually(lambda: not group(), "the family ends", timeout=10)
        except AssertionError:
            return group()
        return []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop() if kind is None else self.kill()


class Traffic:
    """Keeps asking `get()` in a thread until told to stop; the answers that were not 200 stand in `bad`."""

    def __init__(self, get):
        self.good, self.bad, self._get, self._end = 0, [], get, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._end.is_set():
            answer = self._get()
            if answer.status == 200:
                self.good += 1
            else:
                self.bad.append(answer)

    def stop(self):
        self._end.set()
        self._thread.join(PATIENCE)
        return self.good, self.bad
