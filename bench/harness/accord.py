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
WAYS = ["plain", "accord"]
# Accord against plain, at most: the proxy's CPU, the client's CPU, the latency.
LIMITS = {"p_us": 1.10, "c_us": 2.2, "p50_us": 1.15}
TITLES = {"p_us": "CPU of the proxy, µs", "c_us": "CPU of the client, µs", "p50_us": "latency, p50, µs",
          "octets_in": "octets to the client"}
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


def serve(whole, key):
    """An unmodified server that issues no tickets: the process and its port."""
    process = programs.start(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", whole, "-cert_chain", whole,
                              "-key", key, "-www", "-num_tickets", "0", "-tls1_3"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if match := re.match(r"ACCEPT 127\.0\.0\.1:(\d+)", line):
            return process, int(match.group(1))
    raise Fault("openssl s_server did not start")


class Proxy:
    """`overt proxy` with one worker and no outputs, in front of that server."""

    def __init__(self, folder, overt, way, root, port):
        state, log = folder / f"state-{way}-{port}", folder / f"log-{way}-{port}"
        rules = folder / "rules.yaml"
        rules.write_text("allow: [loopback]\nsensitive: false\n")
        done = subprocess.run([overt, "accord", "init", "--state", state, "--name", "proxy.bench.test"],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Fault("overt accord init failed", done.stderr)
        self.state, self.port = state, programs.free_port()
        listen = f"reverse:127.0.0.1:{port}@127.0.0.1:{self.port}"
        with log.open("w") as out:
            self.process = programs.start([overt, "proxy", "--state", state, "--rules", rules, "--trust", root, "-q",
                                           "--workers", "1", "--listen", listen,
                                           "--accord", "require" if way == "accord" else "off"],
                                          stdout=out, stderr=out)
        deadline = time.monotonic() + 20
        while "ready" not in log.read_text():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise Fault("overt proxy did not start", log.read_text())
            time.sleep(0.05)

    def files(self, way, root):
        return [self.state / "accord-anchor.pem", root] if way == "accord" else [self.state / "ca.pem"]


def measure(folder, proxy, way, root, count):
    """One round of handshakes: what each cost."""
    before = cpu_s(proxy.process.pid)
    done = subprocess.run([folder / "bench" / "accord_load", way, str(proxy.port), NAME, str(count),
                           *proxy.files(way, root)], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise Fault(f"{way}: {done.stderr.strip()}")
    time.sleep(SETTLE_S)  # what the proxy still does when the client has its last octet belongs to the measure
    figures = json.loads(done.stdout)
    return {"p_us": (cpu_s(proxy.process.pid) - before) * 1e6 / count, "c_us": figures["cpu_us"],
            "p50_us": figures["p50_us"], "octets_in": figures["octets_in"]}


def compare(build, folder, kind, options):
    """Rounds of both ways, in turn; the figures by way, a list of rounds each."""
    root, whole, key = chain(folder, kind)
    server, port = serve(whole, key)
    proxies = {way: Proxy(folder, build / "overt", way, root, port) for way in WAYS}
    for way in WAYS:
        measure(build, proxies[way], way, root, 20)  # warm
    found = {way: [] for way in WAYS}
    for number in range(options.rounds):
        for way in WAYS if number % 2 == 0 else reversed(WAYS):
            found[way].append(measure(build, proxies[way], way, root, options.handshakes))
    for process in (*(p.process for p in proxies.values()), server):
        programs.stop(process)
    return found


def report(kind, found):
    """The table of one kind of chain. False where a limit does not hold."""
    good = True
    print(f"\n{kind}: median of {len(found['plain'])} rounds; ratio within a round, its lowest and highest")
    for key, title in TITLES.items():
        plain, accord = ([one[key] for one in found[way]] for way in WAYS)
        ratios = [b / a for a, b in zip(plain, accord)]
        middle, limit = statistics.median(ratios), LIMITS.get(key)
        holds = limit is None or middle <= limit
        good = good and holds
        told = f" at most {limit:.2f}: {'holds' if holds else 'DOES NOT HOLD'}" if limit else ""
        print(f"  {title:24} plain {statistics.median(plain):9.1f}  accord {statistics.median(accord):9.1f}  "
              f"x{middle:.2f} ({min(ratios):.2f}..{max(ratios):.2f}){told}")
    return good


def main():
    parser = argparse.ArgumentParser(prog="bench/accord", description="What Accord costs beside a plain split.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--handshakes", type=int, default=300, help="in each round and way (default 300)")
    parser.add_argument("--keys", default=",".join(KEYS), help="kinds of chains, with commas between")
    parser.add_argument("--build", type=pathlib.Path, default=programs.TOP / "build", help="the build folder")
    parser.add_argument("--no-build", action="store_true", help="take the programs there as they are")
    options = parser.parse_args()
    programs.setup()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-bench-"))
    try:
        if not options.no_build:
            programs.build(options.build, True, ["bench/accord_load"])
        results = [report(kind, compare(options.build, folder, kind, options)) for kind in options.keys.split(",")]
    except Fault as fault:
        print(f"bench/accord: {fault}\n{fault.log}", file=sys.stderr)
        return 2
    finally:
        programs.stop_all()
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
