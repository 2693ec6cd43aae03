"""bench/keys: see bench/README.md."""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import programs  # noqa: E402
from certs import Certs  # noqa: E402
from fault import Fault  # noqa: E402
from keys_parts import Applications, Collecting, Place, serve  # noqa: E402

# nginx without the agent, and under it. Each with one core for nginx and the other for everything else.
WAYS = {"without": None,
        "ack host": ["--ack", "host"],
        "after rotation": ["--ack", "host", "--mode", "after-rotation"],
        "ack collector": ["--ack", "collector"]}
RATE = {"ack host": 0.95, "after rotation": 0.90}  # handshakes a second over those without the agent, at least
HOST_P50_US = 25
COLLECTED = 100_000  # keys a second of one core
SATURATED = 0.95  # of the core, busy or blocked
PARTS = ["nginx", "collector", "applications"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def cpus():
    """nginx has the first CPU for itself; client, shipper, collector and this program share the others."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise Fault("two CPUs are needed: one for nginx alone")
    os.sched_setaffinity(0, available[1:])
    return available[:1], available[1:]


class Limits:
    """What has to hold, and whether it did."""

    def __init__(self):
        self.good = True

    def judge(self, holds):
        self.good = self.good and holds
        return "holds" if holds else "DOES NOT HOLD"


def spread(values):
    return f"{statistics.median(values):8.2f} ({min(values):.2f}..{max(values):.2f})"


class Rounds:
    """What was measured of every way, round by round."""

    def __init__(self, servers):
        self.servers, self.found = servers, {way: [] for way in servers}

    def add(self, way, figures):
        self.found[way].append(figures)

    def of(self, way, key):
        return [one[key] for one in self.found[way]]

    def blocked_us(self, way):
        """Per wait, of which there is one in a handshake; from the agent's own counts over all rounds."""
        waits = self.servers[way].waits
        return waits["mean_us"] if waits else 0.0

    def busy(self, way):
        """The share of its core that nginx has used or could not leave to others."""
        return statistics.median((one["cpu_us"] + self.blocked_us(way)) / one["each_us"] for one in self.found[way])

    def saturated(self, way):
        return min(self.busy("without"), self.busy(way)) >= SATURATED

    def ratios(self, way):
        """Handshakes a second over those without, within each round; what the core's time allows where the load left
        some of it."""
        if self.saturated(way):
            return [one["each_us"] / other["each_us"] for one, other in zip(self.found["without"], self.found[way])]
        return [one["cpu_us"] / (other["cpu_us"] + self.blocked_us(way))
                for one, other in zip(self.found["without"], self.found[way])]


def measure(servers, options):
    rounds = Rounds(servers)
    names = list(servers)
    for server in servers.values():
        server.load(min(200, options.handshakes), options.concurrency)  # warm
    for number in range(options.rounds):
        turn = names[number % len(names):] + names[:number % len(names)]
        for way in turn:
            say(f"nginx {number + 1}/{options.rounds} {way}")
            rounds.add(way, servers[way].load(options.handshakes, options.concurrency))
    return rounds


def tell_rates(rounds, way, limits):
    ratios = rounds.ratios(way)
    middle = statistics.median(ratios)
    how = "measured" if rounds.saturated(way) else "as nginx's core allows"
    limit = RATE.get(way)
    word = f" at least {limit:.2f}: {limits.judge(middle >= limit)}" if limit else ""
    print(f"  {'handshakes/s, ' + how:38} x{middle:.3f} ({min(ratios):.3f}..{max(ratios):.3f}){word}")


def tell_nginx(rounds, limits):
    count = len(rounds.found["without"])
    print(f"nginx on one core, full handshakes of TLS 1.3, P-256: medians of {count} rounds; ratios within a round, lowest "
          "and highest")
    for way in rounds.found:
        server = rounds.servers[way]
        print(f"\n{way}")
        print(f"  {'handshakes/s':38} {1e6 / statistics.median(rounds.of(way, 'each_us')):8.0f}, "
              f"nginx {rounds.busy(way):.0%} of its core")
        print(f"  {'CPU of nginx, us/handshake':38} {spread(rounds.of(way, 'cpu_us'))}")
        if way == "without":
            continue
        more = [b - a for a, b in zip(rounds.of("without", "cpu_us"), rounds.of(way, "cpu_us"))]
        print(f"  {'of it the agent, us/handshake':38} {spread(more)}")
        print(f"  {'CPU of the shipper, us/handshake':38} {spread(rounds.of(way, 'shipper_us'))}")
        waits = server.waits
        if not waits or waits["count"] == 0:
            print("  no handshake waits")
        else:
            print(f"  {'blocked until taken, us/handshake':38} {waits['mean_us']:8.2f}")
            limit = way == "ack host"
            word = f" at most {HOST_P50_US}: {limits.judge(waits['p50_us'] <= HOST_P50_US)}" if limit else ""
            print(f"  {'acknowledgement p50, us':38} {waits['p50_us']:8.1f}{word}")
            print(f"  {'acknowledgement p99, us':38} {waits['p99_us']:8.1f}")
        tell_rates(rounds, way, limits)
        if server.missed:
            print(f"  {server.missed} times a key was not taken in time: {limits.judge(False)}")


def run_nginx(options, folder, certs, limits):
    nginx_cpus, other_cpus = cpus()
    place = Place(options.build, folder / "nginx", other_cpus)
    ways = [w for w in WAYS if w in options.ways or w == "without"]
    servers = {way: serve(place, certs, nginx_cpus, other_cpus, WAYS[way], way) for way in ways}
    rounds = measure(servers, options)
    for server in servers.values():
        server.stop()
    place.stop()
    tell_nginx(rounds, limits)
    return {way: {"rounds": rounds.found[way], "waits": servers[way].waits} for way in servers}


def run_collector(options, folder, limits):
    collecting = Collecting(options.build, folder / "collector", options.keys)
    found = [collecting.measure() for _ in range(options.rounds)]
    collecting.stop()
    rate = statistics.median(one["core_keys_s"] for one in found)
    print(f"\ncollector, {options.keys} keys a round in batches of 100, {len(found)} rounds")
    print(f"  {'keys/s of one core':38} {rate:8.0f} at least {COLLECTED}: {limits.judge(rate >= COLLECTED)}")
    print(f"  {'keys/s by the clock':38} {statistics.median(one['keys_s'] for one in found):8.0f}")
    print(f"  {'sealing, us/key':38} {statistics.median(one['seal_us'] for one in found):8.2f}")
    print(f"  {'batch acknowledged, p50, p99, ms':38} {statistics.median(one['p50_ms'] for one in found):8.2f} "
          f"{statistics.median(one['p99_ms'] for one in found):8.2f}")
    return found


def run_applications(options, folder, certs, limits):
    found = Applications(options.build, folder / "applications", certs, options.applications).measure()
    wanted = options.applications
    print(f"\n{wanted} applications at once, each a process with a ring and a connection of its own")
    print(f"  {'answered':38} {found['answered']:8d} of {wanted}: {limits.judge(found['answered'] == wanted)}")
    print(f"  {'keys at the collector':38} {found['taken']:8d} of {2 * wanted}: {limits.judge(found['taken'] == 2 * wanted)}")
    print(f"  {'not taken in time':38} {found['missed']:8d} none: {limits.judge(found['missed'] == 0)}")
    print(f"  {'until all were answered, s':38} {found['wall_s']:8.2f}")
    print(f"  {'PSS of the shipper, KiB/application':38} {found['pss_kb'] / wanted:8.1f}")
    print(f"  {'CPU of the shipper, us/application':38} {found['cpu_us'] / wanted:8.1f}")
    return found


def arguments():
    parser = argparse.ArgumentParser(prog="bench/keys", description="What sharing keys costs, and what a collector takes.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"all, or some of: {' '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--handshakes", type=int, default=10000, help="in each round and way (default 10000)")
    parser.add_argument("--concurrency", type=int, default=32, help="connections at a time (default 32)")
    parser.add_argument("--keys", type=int, default=300000, help="for the collector, in each round (default 300000)")
    parser.add_argument("--applications", type=int, default=1000, help="at once (default 1000)")
    parser.add_argument("--ways", default=",".join(w for w in WAYS if w != "without"), help="with commas between")
    parser.add_argument("--quick", action="store_true", help="a little of everything, to see that it works: no limits")
    parser.add_argument("--build", type=pathlib.Path, default=programs.TOP / "build", help="the build folder")
    parser.add_argument("--no-build", action="store_true", help="take the programs there as they are")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="every round's figures")
    options = parser.parse_args()
    options.parts, options.ways = options.parts or PARTS, options.ways.split(",")
    for named, known in ((options.parts, PARTS), (options.ways, WAYS)):
        for unknown in set(named) - set(known):
            parser.error(f"{unknown}: there are {', '.join(known)}")
    if options.quick:
        options.rounds, options.handshakes, options.keys, options.applications = 1, 100, 2000, 20
    return options


def bench(options, folder, limits):
    programs.need_packages("openssl", "util-linux", "nginx-light")
    if not options.no_build:
        programs.build(options.build, True, ["bench/keys_client", "bench/keys_load", "bench/keys_apps"])
    certs = Certs(folder)
    found = {}
    # First what does not bind this program to some of the CPUs.
    if "collector" in options.parts:
        found["collector"] = run_collector(options, folder, limits)
    if "applications" in options.parts:
        found["applications"] = run_applications(options, folder, certs, limits)
    if "nginx" in options.parts:
        found["nginx"] = run_nginx(options, folder, certs, limits)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def main():
    options = arguments()
    programs.setup()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-bench-"))
    folder.chmod(0o755)
    limits = Limits()
    try:
        bench(options, folder, limits)
    except Fault as fault:
        print(f"bench/keys: {fault}\n{fault.log}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        say("bench/keys: interrupted; stopping what was started")
        return 130
    finally:
        programs.stop_all()
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if limits.good or options.quick else 1


if __name__ == "__main__":
    sys.exit(main())
