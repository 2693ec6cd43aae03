"""Processes that stand still. The signal that stops one reaches its threads one after the other, when they are next on a
CPU: until the last has it, the program goes on with its work."""

import os
import pathlib
import signal

from .proc import eventually


def _stopped(pid):
    try:
        states = [(task / "status").read_text() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    except OSError:  # a thread that has just ended
        return False
    return all("\nState:\tT" in state for state in states)


def stop(pid):
    """Returns once no thread of the process runs."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: _stopped(pid), f"{pid} stands still")


def go_on(pid):
    os.kill(pid, signal.SIGCONT)
