"""bench/accord: see bench/README.md."""

import argparse
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import programs  # noqa: E402
from certs import AUTHORITY, openssl  # noqa: E402
from family import cpu_s  # noqa: E402
from fault import Fault  # noqa: E402

KEYS = {"P-256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "RSA-2048": ["rsa:2048"], "RSA-4096": ["rsa:4096"]}
# Accord twice: as a process that connects again and again, whose library remembers the chains it has judged, and as the
# first connection of a process to a host, which is every one here.
WAYS = ["plain", "accord", "first"]
# Level 1: any server. Level 2: one that knows Accord and accepts, and one that demands the client's approval.
LEVELS = {"level 1": "an unmodified openssl s_server", "level 2": "an aware server that accepts",
          "approval": "an aware server that demands an approval"}
# Accord against plain at level 1, at most: the proxy's CPU, the client's CPU, the latency.
LIMITS = {"p_us": 1.10, "c_us": 2.2, "p50_us": 1.15}
TITLES = {"p_us": "CPU of the proxy, µs", "c_us": "CPU of the client, µs", "p50_us": "latency, p50, µs",
          "answer_us": "until an answer, p50, µs", "octets_in": "octets to the client",
          "octets_out": "octets from the client"}
SETTLE_S = 0.2
NAME = "bench.test"


def chain(folder, kind):
    """A root, an intermediate and a leaf of one kind of key; the files of root, chain and leaf key."""
    (folder / "empty.cnf").write_text("[req]\ndistinguished_name=dn\n[dn]\n")
    new = ["-newkey", *KEYS[kind], "-nodes", "-config", folder / "empty.cnf"]
    at = {name: folder / f"{kind}-{name}" for name in ("root", "root.key", "middle", "middle.key", "leaf", "leaf.key")}
    extensions = [word for value in AUTHORITY for word in ("-addext", value)]
    openssl("req", "-x509", *new, "-keyout", at["root.key"], "-out", at["root"], "-subj", "/CN=Bench Root", "-days",
            "30", *extensions)
    issue(folder, new, at, "middle", "root", [*AUTHORITY, "authorityKeyIdentifier=keyid"])
    issue(folder, new, at, "leaf", "middle",
          [f"subjectAltName=DNS:{NAME}", "basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature",
           "extendedKeyUsage=serverAuth", "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"])
    whole = folder / f"{kind}-chain"
    whole.write_text(at["leaf"].read_text() + at["middle"].read_text())
    return at["root"], whole, at["leaf.key"]


def issue(folder, new, at, name, issuer, extensions):
    request, wanted = folder / "request", folder / "wanted"
    wanted.write_text("\n".join(extensions) + "\n")
    openssl("req", *new, "-keyout", at[f"{name}.key"], "-out", request, "-subj", f"/CN=Bench {name}")
    openssl("x509", "-req", "-in", request, "-CA", at[issuer], "-CAkey", at[f"{issuer}.key"], "-CAcreateserial",
            "-days", "20", "-extfile", wanted, "-out", at[name])


def started(pattern, *command):
    """A server that prints its port so: the process and its port."""
    process = programs.start(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if match := re.match(pattern, line):
            return process, int(match.group(1))
    raise Fault(f"{command[0]} did not start")


def serve(build, level, files, anchors, approval):
    """The server of a level; none issues tickets."""
    whole, key = files
    if level == "level 1":
        return started(r"ACCEPT 127\.0\.0\.1:(\d+)", "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", whole,
                       "-cert_chain", whole, "-key", key, "-www", "-num_tickets", "0", "-tls1_3")
    demands = [anchors, approval] if level == "approval" else []
    return started(r"listening (\d+)", build / "bench" / "accord_aware", whole, key, *demands)


def make_state(folder, overt):
    """A state folder with an Accord anchor and a certificate below it."""
    state = pathlib.Path(tempfile.mkdtemp(prefix="state-", dir=folder))
    done = subprocess.run([overt, "accord", "init", "--state", state, "--name", "proxy.bench.test"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise Fault("overt accord init failed", done.stderr)
    return state


class Proxy:
    """`overt proxy` with one worker and no outputs, in front of that server."""

    def __init__(self, overt, state, rule, root, port):
        log, rules = state.parent / f"{state.name}.log", state.parent / "rules.yaml"
        rules.write_text("allow: [loopback]\nsensitive: false\n")
        self.state, self.port = state, programs.free_port()
        listen = f"reverse:127.0.0.1:{port}@127.0.0.1:{self.port}"
        with log.open("w") as out:
            self.process = programs.start([overt, "proxy", "--state", state, "--rules", rules, "--trust", root, "-q",
                                           "--workers", "1", "--listen", listen, "--accord", rule,
                                           "--accord-rate", "0"],
                                          stdout=out, stderr=out)
        deadline = time.monotonic() + 20
        while "ready" not in log.read_text():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise Fault("overt proxy did not start", log.read_text())
            time.sleep(0.05)


class Stand:
    """A server, and in front of it a proxy of either kind."""

    def __init__(self, build, folder, level, kind):
        root, *files = chain(folder, kind)
        accord, plain = (make_state(folder, build / "overt") for _ in range(2))
        anchors, approval = accord / "accord-anchor.pem", folder / "approval.pem"
        openssl("genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", approval)
        self.load = build / "bench" / "accord_load"
        self.server, port = serve(build, level, files, anchors, approval)
        of_accord = Proxy(build / "overt", accord, "require", root, port)
        of_plain = Proxy(build / "overt", plain, "off", root, port)
        self.proxies = {"plain": of_plain, "accord": of_accord, "first": of_accord}
        self.files = {"plain": [plain / "ca.pem"], "accord": [anchors, root], "first": [anchors, root]}
        # s_server would read on for the end of a request.
        self.options = [] if level == "level 1" else ["-a", "-k", approval]

    def measure(self, way, count):
        """One round of handshakes: what each cost."""
        proxy = self.proxies[way]
        before = cpu_s(proxy.process.pid)
        done = subprocess.run([self.load, *self.options, way, str(proxy.port), NAME, str(count), *self.files[way]],
                              capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise Fault(f"{way}: {done.stderr.strip()}")
        time.sleep(SETTLE_S)  # what the proxy still does when the client has its last octet belongs to the measure
        figures = json.loads(done.stdout)
        return {**figures, "p_us": (cpu_s(proxy.process.pid) - before) * 1e6 / count, "c_us": figures["cpu_us"]}

    def stop(self):
        for process in (self.proxies["plain"].process, self.proxies["accord"].process, self.server):
            programs.stop(process)


def compare(build, folder, level, kind, options):
    """Rounds of all ways, in turn; the figures by way, a list of rounds each."""
    stand = Stand(build, folder, level, kind)
    for way in WAYS:
        stand.measure(way, 20)  # warm
    found = {way: [] for way in WAYS}
    for number in range(options.rounds):
        for way in WAYS if number % 2 == 0 else reversed(WAYS):
            found[way].append(stand.measure(way, options.handshakes))
    stand.stop()
    return found


def ratio(found, key, way):
    """Way against plain, within each round: the median of these ratios, and as a text with the lowest and highest."""
    ratios = [one[key] / plain[key] for plain, one in zip(found["plain"], found[way])]
    middle = statistics.median(ratios)
    return middle, f"x{middle:.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


def report(level, kind, found):
    """The table of one kind of server and chain. False where a limit does not hold."""
    good = True
    print(f"\n{kind}, {LEVELS[level]}: medians of {len(found['plain'])} rounds; ratios within a round, lowest and highest")
    for key, title in TITLES.items():
        if level == "level 1" and key == "answer_us":
            continue
        plain, accord, first = (statistics.median(one[key] for one in found[way]) for way in WAYS)
        middle, told = ratio(found, key, "accord")
        limit = LIMITS.get(key) if level == "level 1" else None
        holds = limit is None or middle <= limit
        good = good and holds
        word = f" at most {limit:.2f}: {'holds' if holds else 'DOES NOT HOLD'}" if limit else ""
        print(f"  {title:24} plain {plain:8.1f}  accord {accord:8.1f} {told}{word}")
        if not key.startswith("octets"):
            print(f"  {'':24} {'':14}   first {first:8.1f} {ratio(found, key, 'first')[1]}")
    return good


def main():
    parser = argparse.ArgumentParser(prog="bench/accord", description="What Accord costs beside a plain split.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--handshakes", type=int, default=300, help="in each round and way (default 300)")
    parser.add_argument("--keys", default=",".join(KEYS), help="kinds of chains, with commas between")
    parser.add_argument("--levels", default=",".join(LEVELS), help="level 1, level 2 and approval, with commas between")
    parser.add_argument("--build", type=pathlib.Path, default=programs.TOP / "build", help="the build folder")
    parser.add_argument("--no-build", action="store_true", help="take the programs there as they are")
    options = parser.parse_args()
    for named, known in ((options.keys, KEYS), (options.levels, LEVELS)):
        for unknown in set(named.split(",")) - set(known):
            parser.error(f"{unknown}: there are {', '.join(known)}")
    programs.setup()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-bench-"))
    try:
        if not options.no_build:
            programs.build(options.build, True, ["bench/accord_load", "bench/accord_aware"])
        results = [report(level, kind, compare(options.build, folder, level, kind, options))
                   for kind in options.keys.split(",") for level in options.levels.split(",")]
    except Fault as fault:
        print(f"bench/accord: {fault}\n{fault.log}", file=sys.stderr)
        return 2
    finally:
        programs.stop_all()
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
