"""What bench/watch measures: each part reads its captures in interleaved rounds and notes figures by row and program."""

import dataclasses
import statistics

from table import columns
from watch_tools import Captures, Cat, Overt, OvertJsonl, OvertTable, OvertTwo, Tshark, aead_gb_s

MIB = 1 << 20
LIMIT = "AEAD limit"

# Row, and what Overt has to reach there: against whom (None: absolute), how much, and whether that is a lower bound.
TARGETS = [
    ("bulk", "overt", None, 1.2, True),
    ("bulk", "overt", "tshark", 50, True),
    ("superframes", "overt", None, 1.2, True),
    ("superframes", "overt", "tshark", 50, True),
    ("short", "overt", None, 50_000, True),
    ("short", "overt", "tshark", 25, True),
    ("peak-short", "overt", None, None, False),
    ("peak-large", "overt", None, None, False),
    ("peak-last", "overt", None, None, False),
    ("peak-index", "overt", None, None, False),
    ("cores-bulk", "overt, 2 workers", "overt", 1.8, True),
    ("cores-short", "overt, 2 workers", "overt", 1.8, True),
    ("bound-bulk", "overt, 2 workers", "overt", 1.8, True),
    ("bound-short", "overt, 2 workers", "overt", 1.8, True),
]
PEAK_MB = 64
AES_128 = "TLS_AES_128_GCM_SHA256"
INDEX_OCTETS = 32  # of a session in the index of keys


@dataclasses.dataclass(frozen=True)
class Suite:
    name: str
    version: str
    suite: str
    cipher: str  # as `openssl speed` calls it; empty: it has no such figure
    record: int = 16384


SUITES = [
    Suite("AES-128-GCM", "1.3", "TLS_AES_128_GCM_SHA256", "aes-128-gcm"),
    Suite("AES-128-GCM, records of 4096", "1.3", "TLS_AES_128_GCM_SHA256", "aes-128-gcm", 4096),
    Suite("AES-128-GCM, records of 1400", "1.3", "TLS_AES_128_GCM_SHA256", "aes-128-gcm", 1400),
    Suite("AES-256-GCM", "1.3", "TLS_AES_256_GCM_SHA384", "aes-256-gcm"),
    Suite("ChaCha20-Poly1305", "1.3", "TLS_CHACHA20_POLY1305_SHA256", "chacha20-poly1305"),
    Suite("TLS 1.2 AES-128-GCM", "1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "aes-128-gcm"),
    Suite("TLS 1.2 AES-128-CBC-SHA", "1.2", "ECDHE-ECDSA-AES128-SHA", ""),
]


class Bench:
    def __init__(self, options, folder, say):
        self.options, self.folder, self.say = options, folder, say
        self.captures = Captures(options.build, folder)
        self.titles, self.values, self.peaks = {}, {}, {}

    def scaled(self, count):
        return max(1, int(count * self.options.scale))

    def reader(self, kind):
        return kind(self.options.build, self.folder)

    def tshark(self):
        return [] if self.options.no_tshark else [Tshark]

    def note(self, row, title, name, value):
        self.titles[row] = title
        self.values.setdefault(row, {}).setdefault(name, []).append(value)

    def rounds(self, row):
        for number in range(self.options.rounds):
            self.say(f"{row} {number + 1}/{self.options.rounds}")
            yield number

    def speed(self, row, title, plan, limit=None):
        """plan: (reader, capture, how much is in it) each; `limit`: what is noted beside them."""
        for number in self.rounds(row):
            by = number % len(plan)
            for kind, capture, amount in plan[by:] + plan[:by]:
                spent = self.reader(kind).read(capture)
                self.note(row, title, kind.name, amount / spent.cpu_s)
                # Not shown: on a machine that does other things as well, this says more about them.
                self.note(f"wall-{row}", f"{title}, by the clock", kind.name, amount / spent.wall_s)
            if limit:
                self.note(row, title, LIMIT, limit())

    def peak(self, row, title, capture, allowed_mb, rounds=1):
        for _ in range(rounds):
            spent = self.reader(Overt).read(capture)
            self.note(row, title, Overt.name, spent.peak_kb * 1024 / 1e6)
        self.peaks[row] = allowed_mb

    def ratios(self, row, name, reference):
        mine, theirs = self.values.get(row, {}).get(name, []), self.values.get(row, {}).get(reference, [])
        return [a / b for a, b in zip(mine, theirs)]

    def report(self):
        names = [k.name for k in (Overt, OvertJsonl, OvertTable, OvertTwo, Tshark, Cat)] + [LIMIT]
        names = [n for n in names if any(n in by for by in self.values.values())]
        rows = [["", *names]]
        for row, by in self.values.items():
            if row.startswith("wall-"):
                continue
            rows.append([self.titles[row], *(figure(by.get(name)) for name in names)])
        return columns(rows) + "\n\n" + self.targets()

    def targets(self):
        rows = [["", "to reach", "is", "rounds", ""]]
        for row, name, reference, bound, lower in TARGETS:
            values = self.ratios(row, name, reference) if reference else self.values.get(row, {}).get(name, [])
            if not values:
                continue
            bound = self.peaks[row] if bound is None else bound
            middle = statistics.median(values)
            holds = middle >= bound if lower else middle <= bound
            rows.append([self.titles[row], f"{'≥' if lower else '≤'} {number(bound)}{f' × {reference}' if reference else ''}",
                         number(middle), f"{number(min(values))} to {number(max(values))}", "holds" if holds else "MISSED"])
        return columns(rows)


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def figure(values):
    return number(statistics.median(values)) if values else "-"


def stream(bench, row, title, mss):
    large = bench.captures.get(row, octets=bench.scaled(1024) * MIB, mss=mss, suite=AES_128)
    small = bench.captures.get(f"{row}-small", octets=bench.scaled(128) * MIB, mss=mss, suite=AES_128)
    plan = [(kind, large, large.plain / 1e9) for kind in (Overt, OvertJsonl, OvertTable, Cat)]
    plan += [(kind, small, small.plain / 1e9) for kind in bench.tshark()]
    bench.speed(row, title, plan, lambda: aead_gb_s("aes-128-gcm", 16384))
    bench.captures.clear()


def bulk(bench):
    stream(bench, "bulk", "one stream, segments of 1448, GB/s", 1448)
    stream(bench, "superframes", "one stream, segments of 65000, GB/s", 65000)


def many(bench):
    return bench.captures.get("short", octets=1000, connections=bench.scaled(500_000),
                              distinct=bench.scaled(20_000), suite=AES_128)


def short(bench):
    large = many(bench)
    small = bench.captures.get("short-small", octets=1000, connections=bench.scaled(20_000), suite=AES_128)
    plan = [(kind, large, large.connections) for kind in (Overt, OvertJsonl, OvertTable)]
    plan += [(kind, small, small.connections) for kind in bench.tshark()]
    bench.speed("short", "short connections a second", plan)
    index_mb = large.connections * INDEX_OCTETS / 1e6
    bench.peak("peak-short", "peak with as many short connections, MB", large, PEAK_MB + index_mb)


def suites(bench):
    for i, suite in enumerate(SUITES):
        capture = bench.captures.get(f"suite-{i}", octets=bench.scaled(256) * MIB, version=suite.version,
                                     suite=suite.suite, record=suite.record)
        limit = (lambda s=suite: aead_gb_s(s.cipher, s.record)) if suite.cipher else None
        bench.speed(f"suite-{i}", f"{suite.name}, GB/s", [(Overt, capture, capture.plain / 1e9)], limit)
        bench.captures.clear()


def memory(bench):
    large = bench.captures.get("large", octets=bench.scaled(4096) * MIB, mss=65000)
    bench.peak("peak-large", "peak with a file of 4 GiB, MB", large, PEAK_MB)
    bench.captures.clear()
    last = bench.captures.get("last", octets=bench.scaled(1024) * MIB, keys_inside=True)
    bench.peak("peak-last", "peak with 1 GiB whose keys come last, MB", last, PEAK_MB)


def index(bench):
    sessions = bench.scaled(10_000_000)
    found = bench.captures.among_others("index", sessions=sessions, octets=1000, connections=1000, suite=AES_128)
    bench.peak("peak-index", f"peak with a key log of {sessions:,} sessions, MB", found,
               PEAK_MB + sessions * INDEX_OCTETS / 1e6)


def cores(bench):
    """By the clock, and what the CPU time spent would allow on two cores that do nothing else."""
    flows = bench.captures.get("flows", octets=bench.scaled(2 * MIB), connections=400, distinct=20, suite=AES_128)
    few = bench.captures.get("short-few", octets=1000, connections=bench.scaled(100_000),
                             distinct=bench.scaled(20_000), suite=AES_128)
    for row, title, capture, amount in (("bulk", "400 streams, GB/s", flows, flows.plain / 1e9),
                                        ("short", "100,000 connections a second", few, few.connections)):
        for _ in bench.rounds(f"cores-{row}"):
            for kind in (Overt, OvertTwo):
                spent = bench.reader(kind).read(capture)
                bench.note(f"cores-{row}", f"{title}, by the clock", kind.name, amount / spent.wall_s)
                bench.note(f"bound-{row}", f"{title}, as its CPU time allows", kind.name,
                           amount / spent.cpu_s * kind.workers)


PARTS = {"bulk": bulk, "short": short, "suites": suites, "memory": memory, "index": index, "cores": cores}
