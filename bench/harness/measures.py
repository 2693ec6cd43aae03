"""What is measured: each part runs one peer once and returns numbers by row."""

import dataclasses
import itertools
import statistics
import time

from fault import Fault
from origin import Load

SETTLE_S = 0.1  # what the proxy still does when the client has its last byte belongs to the measure
HELD_S = 3  # idle connections are held so long before their memory is read
CLOSED_S = 5  # and the residue is read so long after their end
BULK_BYTES = 256_000_000
HANDSHAKES = 400
REQUESTS = 20_000
IDLE = 2000
IDLE_ROUNDS = 2  # memory repeats well, and a round takes ten seconds
FIRSTS = 100
NAMES = 100  # in each of NAME_PASSES
NAME_PASSES = 4

_names = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table. `limits` are Overt's: (reference, without outputs, with the table); None: absolute."""

    key: str
    title: str
    unit: str
    factor: float  # from the measured value to the unit
    digits: int
    limits: tuple = ()


ROWS = [
    Row("handshake", "CPU per full handshake", "µs", 1e6, 0, (("haproxy", 0.75, 0.85), ("sslsplit", 0.40, None))),
    Row("resumed", "CPU per handshake, leg 2 resumed", "µs", 1e6, 0, (("haproxy", 0.85, 0.95),)),
    Row("bulk1", "CPU per GB, 1 connection", "s", 1, 2, (("nginx", 0.90, 1.00),)),
    Row("bulk16", "CPU per GB, 16 connections", "s", 1, 2, (("nginx", 0.90, 1.00),)),
    Row("request", "CPU per warm request, 32 connections", "µs", 1e6, 1, (("nginx", 1.00, 1.25),)),
    Row("idle", "PSS per idle connection", "KB", 1, 1, (("haproxy", 0.95, 0.95),)),
    Row("residue", f"PSS left per connection {CLOSED_S} s after", "KB", 1, 1, ((None, 2, 2),)),
    Row("first", "first request, p50", "ms", 1e-3, 2, (("haproxy", 1.10, 1.10),)),
    Row("first95", "first request, p95", "ms", 1e-3, 2),
    Row("newname", "CPU of a first-seen name over a repeat", "µs", 1e6, 0, ((None, 100, 100),)),
]


class Meter:
    """CPU time of a peer between two moments."""

    def __init__(self, peer):
        self.peer, self.before = peer, peer.cpu_s()

    def stop(self):
        time.sleep(SETTLE_S)
        return self.peer.cpu_s() - self.before


def load(peer, mode, kind, **options):
    return Load(peer.run.build / "bench", peer.run.load_cpus, mode, peer.address(kind), **options)


def whole(peer, mode, kind, **options):
    """A run without steps."""
    client = load(peer, mode, kind, **options)
    figures = client.result()
    client.release()
    return figures


def churn(peer, kind, count, **options):
    """CPU seconds per connection with one request, and the share of leg-2 handshakes that were resumed."""
    before = peer.run.origin.counts(kind)
    meter = Meter(peer)
    whole(peer, "handshakes", kind, count=count, **options)
    spent = meter.stop()
    after = peer.run.origin.counts(kind)
    made = after["handshakes"] - before["handshakes"]
    if made < count:
        raise Fault(f"{peer.name}: {count} connections, but only {made} handshakes reached the server")
    return spent / count, (after["resumed"] - before["resumed"]) / made


def handshake(peer):
    value, resumed = churn(peer, "full", peer.count(HANDSHAKES))
    if resumed:
        raise Fault(f"{peer.name}: resumed with a server that never resumes")
    return {"handshake": value}


def resumed(peer):
    value, share = churn(peer, "resume", peer.count(HANDSHAKES))
    return {"resumed": value, "resumed share": share}


def steady(peer, mode, **options):
    """CPU seconds of the part that follows when all connections are warm."""
    client = load(peer, mode, "full", gate=True, **options)
    client.ready()
    time.sleep(SETTLE_S)
    meter = Meter(peer)
    client.go()
    figures = client.result()
    spent = meter.stop()
    client.release()
    return spent, figures


def bulk(peer):
    values = {}
    for connections in (1, 16):
        spent, figures = steady(peer, "bulk", concurrency=connections, bytes=peer.count(BULK_BYTES))
        values[f"bulk{connections}"] = spent / (figures["bytes"] / 1e9)
    return values


def requests(peer):
    spent, figures = steady(peer, "requests", concurrency=32, count=peer.count(REQUESTS))
    return {"request": spent / figures["done"]}


def idle(peer):
    """On an instance of its own: memory that an earlier run left behind would be used again, unseen."""
    fresh = type(peer)(peer.run).start()
    try:
        whole(fresh, "handshakes", "full", count=20)
        time.sleep(SETTLE_S)
        before = fresh.pss_kb()
        count = fresh.count(IDLE)
        client = load(fresh, "idle", "full", gate=True, count=count)
        client.result()
        time.sleep(HELD_S)
        held = fresh.pss_kb()
        client.release()
        time.sleep(CLOSED_S)
        after = fresh.pss_kb()
    finally:
        fresh.stop()
    return {"idle": (held - before) / count, "residue": (after - before) / count}


def first(peer):
    latency = whole(peer, "first", "full", count=peer.count(FIRSTS))["latency_us"]
    return {"first": latency["p50"], "first95": latency["p95"]}


def names(peer):
    """Names nobody has asked for yet, each with a certificate of its own, then the same names once more; several times
    over, because a difference of two runs feels whatever else the machine does between them."""
    count, differences = peer.count(NAMES), []
    for _ in range(NAME_PASSES):
        pattern = f"n{next(_names)}-%d.bench.test"
        new, _ = churn(peer, "full", count, sni=pattern)
        again, _ = churn(peer, "full", count, sni=pattern)
        differences.append(new - again)
    return {"newname": statistics.median(differences)}


PARTS = {"handshake": handshake, "resumed": resumed, "bulk": bulk, "requests": requests, "idle": idle, "first": first,
         "names": names}
MOST_ROUNDS = {"idle": IDLE_ROUNDS}


def warm_up(peer):
    for kind in ("full", "resume"):
        whole(peer, "handshakes", kind, count=peer.count(100))
    whole(peer, "requests", "full", concurrency=8, count=peer.count(500))


def accepts(peer, kind):
    """Whether a request through the peer reaches a server whose certificate is wrong."""
    client = load(peer, "handshakes", kind, count=1, deadline_s=5)
    try:
        client.result()
    except Fault:
        return False
    return True


def verification(peer):
    """What the peer checks of the server, found out by trying."""
    if accepts(peer, "untrusted"):
        return "nothing"
    return "the chain only" if accepts(peer, "wrongname") else "chain and name"
