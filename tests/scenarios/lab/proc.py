"""Child processes whose output is read as it comes, so that a test can wait for a line instead of for time."""

import contextlib
import ctypes
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

PATIENCE = 60.0  # seconds within which anything that a test waits for has to happen


PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _end_with_us():
    """Run in the child: it gets SIGTERM when the test run dies without having stopped it."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Output:
    """Lines of one stream, collected by a thread. A line counts once it has ended: of one that is longer than a pipe takes
    at a time, the beginning comes first."""

    def __init__(self, stream):
        self._lines, self._changed, self._done = [], threading.Condition(), False
        self._partial = b""
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream):
        with stream:
            while part := stream.read1(65536):
                with self._changed:
                    *whole, self._partial = (self._partial + part).split(b"\n")
                    self._lines += [line.decode("utf-8", "replace") for line in whole]
                    self._changed.notify_all()
        with self._changed:
            self._lines += [self._partial.decode("utf-8", "replace")] if self._partial else []
            self._partial, self._done = b"", True
            self._changed.notify_all()

    def text(self):
        with self._changed:
            return "\n".join([*self._lines, self._partial.decode("utf-8", "replace")])  # with what has not ended

    def lines(self):
        with self._changed:
            return [*self._lines]

    def wait_end(self, timeout=PATIENCE):
        self._thread.join(timeout)

    def wait(self, pattern, timeout=PATIENCE, after=0):
        """The first match of `pattern` in a line (those before number `after` left out), or a failed test."""
        deadline, seen = time.monotonic() + timeout, after
        with self._changed:
            while True:
                for line in self._lines[seen:]:
                    if found := re.search(pattern, line):
                        return found
                seen = max(after, len(self._lines))
                left = deadline - time.monotonic()
                if self._done or left <= 0:
                    why = "the stream ended" if self._done else f"{timeout:.0f} s passed"
                    raise AssertionError(f"no line matches {pattern!r}: {why}\n" + "\n".join(self._lines[-40:]))
                self._changed.wait(left)


class Process:
    """A child in a process group of its own; `stop` ends it and all that it started."""

    def __init__(self, *command, env=None, stdin=subprocess.DEVNULL, **options):
        self.command = [str(part) for part in command]
        self.popen = subprocess.Popen(self.command, env={**os.environ, **(env or {})}, stdin=stdin,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                                      preexec_fn=_end_with_us, **options)
        self.out, self.err = Output(self.popen.stdout), Output(self.popen.stderr)

    @property
    def pid(self):
        return self.popen.pid

    def write(self, body):
        self.popen.stdin.write(body)
        self.popen.stdin.flush()

    def running(self):
        return self.popen.poll() is None

    def wait(self, timeout=PATIENCE):
        """The exit code, once both streams are read to their end."""
        code = self.popen.wait(timeout)
        self.out.wait_end()
        self.err.wait_end()
        return code

    def terminate(self, number=signal.SIGTERM, timeout=PATIENCE):
        """Sends `number` to the child itself, waits, and sees to it that nothing of its group is left."""
        if self.running():
            self.popen.send_signal(number)
        try:
            code = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        self._end_group()
        if self.popen.stdin:
            self.popen.stdin.close()
        self.out.wait_end()
        self.err.wait_end()
        return code

    def stop(self):
        self.terminate(timeout=5)

    def _end_group(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def eventually(question, what, timeout=PATIENCE):
    """The first true answer of `question`. For things that nothing announces; prefer an event where there is one."""
    deadline = time.monotonic() + timeout
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:.0f} s: {what}")
        time.sleep(0.01)
    return answer


def children(pid):
    """Process ids of the direct children of `pid`."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            found += [int(n) for n in task.read_text().split()]
    return found


def open_descriptors(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def resident(pid):
    """Proportional set size of one process in octets."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)) * 1024
