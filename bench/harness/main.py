"""bench/run: see bench/README.md."""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import programs  # noqa: E402
from certs import Certs  # noqa: E402
from fault import Fault  # noqa: E402
from measures import MOST_ROUNDS, PARTS, verification, warm_up  # noqa: E402
from origin import Origin  # noqa: E402
from peers import ALL, Run  # noqa: E402
from table import Results, limits_table, main_table  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description="Overt and its peers, measured side by side.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"all, or some of: {' '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each part (default 5)")
    parser.add_argument("--peers", default=",".join(ALL), help=f"some of {','.join(ALL)} (default: all)")
    parser.add_argument("--reference", default="haproxy", help="whose figures are 1.00 (default haproxy)")
    parser.add_argument("--build", type=pathlib.Path, default=programs.TOP / "build", help="the build folder")
    parser.add_argument("--no-build", action="store_true", help="take the programs there as they are")
    parser.add_argument("--no-pin", action="store_true", help="let the scheduler choose the CPUs")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="every round's figures")
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS)
    options.peers = options.peers.split(",")
    for word, known, what in [*((p, PARTS, "part") for p in options.parts), *((p, ALL, "peer") for p in options.peers)]:
        if word not in known:
            parser.error(f"no {what} named {word}; there are: {' '.join(known)}")
    if options.rounds < 1:
        parser.error("--rounds begins at 1")
    return options


def say(text):
    print(text, file=sys.stderr, flush=True)


def explain(fault):
    say(f"bench/run: {fault}")
    if fault.log.strip():
        say("its log ends in:\n  " + "\n  ".join(fault.log.strip().splitlines()[-20:]))


def start_first(run, kinds):
    """The first of the kinds that starts and takes a connection. Raises the last one's Fault."""
    for kind in kinds:
        peer = kind(run)
        try:
            peer.start()
            warm_up(peer)
            return peer
        except Fault as fault:
            peer.stop()
            last = fault if fault.log else peer.fault(str(fault))
    raise last


def start_peers(run, wanted):
    """Overt may not be able yet: then it is left out, with its own words. A peer of Debian's has to work."""
    peers = []
    for name in wanted:
        for kinds in ALL[name]:
            try:
                peers.append(start_first(run, kinds))
            except Fault as fault:
                if name != "overt":
                    raise
                words = fault.log.strip().splitlines()
                say(f"skipped {kinds[0].name}: {fault}" + (f" ({words[-1]})" if words else ""))
                continue
            say(f"{peers[-1].name} is ready")
    return peers


def rotated(items, by):
    by %= len(items)
    return items[by:] + items[:by]


def measure(peers, options, results):
    for part in options.parts:
        for number in range(min(options.rounds, MOST_ROUNDS.get(part, options.rounds))):
            # Whoever comes first in a round meets other caches than the last: so everybody is first in turn.
            for peer in rotated(peers, number):
                say(f"{part} {number + 1}/{options.rounds} {peer.name}")
                try:
                    results.add(peer, PARTS[part](peer))
                except Fault as fault:
                    raise fault if fault.log else peer.fault(f"{part}: {fault}") from fault


def remarks(peers, results):
    for peer in peers:
        words = [f"verifies {verification(peer)}", *peer.remarks]
        if peer.leaf == "any":
            words.append("mints RSA leaves")
        if peer.scale != 1:
            words.append(f"{peer.scale:g} × the usual counts")
        share = results.of("resumed share", peer.name)
        if share and min(share) < 0.9:
            words.append(f"leg 2 RESUMED ONLY {min(share):.0%} of the time")
        yield f"  {peer.name}: {'; '.join(words)}"


def cpus(pin):
    """The proxy has the first CPU for itself; client, server and this program share the others."""
    available = sorted(os.sched_getaffinity(0))
    if not pin or len(available) < 2:
        return [], []
    os.sched_setaffinity(0, available[1:])
    return available[:1], available[1:]


def bench(options, folder):
    programs.need_packages("openssl", "util-linux", *(p for n in options.peers for k in ALL[n] for p in k[0].packages))
    if not options.no_build:
        programs.build(options.build, "overt" in options.peers)
    proxy_cpus, load_cpus = cpus(not options.no_pin)
    certs = Certs(folder)
    origin = Origin(options.build / "bench", certs, load_cpus)
    peers = start_peers(Run(folder, options.build, certs, origin, proxy_cpus, load_cpus), options.peers)
    if not peers:
        raise Fault("no peer is left to measure")
    results = Results(peers, options.reference)
    measure(peers, options, results)
    print(f"medians of {options.rounds} rounds; in brackets the ratio to {options.reference}")
    print(main_table(results))
    limits = limits_table(results)
    print(f"\n{limits}\n" if limits else "")
    print("\n".join(remarks(peers, results)))
    if options.json:
        options.json.write_text(json.dumps(results.values, indent=1) + "\n")
    for peer in peers:
        peer.stop()


def main():
    options = arguments()
    programs.setup()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-bench-"))
    folder.chmod(0o755)  # peers that drop root have to reach their files in it
    try:
        bench(options, folder)
    except Fault as fault:
        explain(fault)
        sys.exit(1)
    except KeyboardInterrupt:
        say("bench/run: interrupted; stopping what was started")
        sys.exit(130)
    finally:
        programs.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
