"""CPU time and memory of a process and all its descendants."""

import dataclasses
import os
import pathlib
import time

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Member:
    pid: int
    parent: int
    born: int  # in ticks since boot: tells two processes with one number apart
    reaped_s: float  # CPU time of children that have ended and were waited for

    def alive(self):
        now = read_member(self.pid)
        return now is not None and now.born == self.born


def read_member(pid):
    """None when there is no such process, or when it has ended and only waits to be reaped."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in brackets may itself hold brackets and blanks.
    fields = text[text.rindex(")") + 2:].split()
    if fields[0] in "ZX":
        return None
    return Member(pid, int(fields[1]), int(fields[19]), (int(fields[13]) + int(fields[14])) * TICK_S)


def family(root):
    """The process and its descendants, as they are now."""
    everyone = [m for m in (read_member(int(p)) for p in os.listdir("/proc") if p.isdigit()) if m]
    known, found = {root}, [m for m in everyone if m.pid == root]
    grew = True
    while grew:
        more = [m for m in everyone if m.parent in known and m.pid not in known]
        known |= {m.pid for m in more}
        found += more
        grew = bool(more)
    return found


def process_cpu_s(pid):
    """The same as utime + stime in /proc/PID/stat, in nanoseconds instead of ticks (clock_getcpuclockid(3))."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2) / 1e9
    except OSError:
        return 0.0


def cpu_s(root):
    """CPU seconds of the family so far, those of its dead included."""
    return sum(process_cpu_s(m.pid) + m.reaped_s for m in family(root))


def process_pss_kb(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def pss_kb(root):
    """Proportional set size of the family, in KiB."""
    return sum(process_pss_kb(m.pid) for m in family(root))
