"""bench/instructions: see bench/README.md."""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import measures  # noqa: E402
import peers  # noqa: E402
import programs  # noqa: E402
from certs import Certs  # noqa: E402
from fault import Fault  # noqa: E402
from main import explain, say  # noqa: E402
from origin import Origin  # noqa: E402

# Those whose one process does all the work.
KINDS = {"overt": [peers.Overt, peers.OvertConnect], "haproxy": [peers.Haproxy], "nginx": [peers.Nginx]}
LINE = re.compile(r"^\s*([\d,]+) \(\s*[\d.]+%\)\s+(?:\S*?:)?(\S+)(?: \[(.*)\])?$")
WARM = 20


def arguments():
    parser = argparse.ArgumentParser(prog="bench/instructions", description="Instructions per handshake, by callgrind.")
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"all, or some of: {' '.join(KINDS)}")
    parser.add_argument("-n", type=int, default=100, help="handshakes of the short run; the long one has twice as many")
    parser.add_argument("--resumed", action="store_true", help="leg 2 resumes; leg 1 is always full")
    parser.add_argument("--top", type=int, default=20, help="functions to show (default 20)")
    parser.add_argument("--build", type=pathlib.Path, default=programs.TOP / "build", help="the build folder")
    parser.add_argument("--no-build", action="store_true", help="take the programs there as they are")
    options = parser.parse_args()
    options.peers = options.peers or list(KINDS)
    for name in options.peers:
        if name not in KINDS:
            parser.error(f"no peer named {name}; there are: {' '.join(KINDS)}")
    return options


def traced(kind):
    class Traced(kind):
        single = True
        patience_s = 120

        def command(self):
            self.profile = self.folder / "callgrind.out"
            return ["/usr/bin/valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={self.profile}",
                    *super().command()]

        def stop(self):
            if self.process:
                # Writing the profile takes its time.
                programs.stop(self.process, 60)
                self.process = None

    return Traced


def annotated(profile, inclusive):
    """Instructions by function."""
    words = ["callgrind_annotate", "--threshold=100", f"--inclusive={'yes' if inclusive else 'no'}", profile]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = {}
    for line in text.splitlines():
        match = LINE.match(line)
        if match and match.group(2) != "TOTALS":
            key = (match.group(2), pathlib.Path(match.group(3) or "").name)
            found[key] = found.get(key, 0) + int(match.group(1).replace(",", ""))
    return found


def total(profile):
    match = re.search(r"^totals: (\d+)", profile.read_text(errors="replace"), re.MULTILINE)
    if not match:
        raise Fault(f"{profile}: callgrind wrote no totals")
    return int(match.group(1))


def profile_of(run, kind, options, count):
    """Starts the peer anew, warms it up, drives `count` handshakes one after the other, and returns the profile."""
    peer = traced(kind)(run)
    port = "resume" if options.resumed else "full"
    try:
        peer.start()
        measures.whole(peer, "handshakes", port, count=WARM, concurrency=1, deadline_s=300)
        measures.whole(peer, "handshakes", port, count=count, concurrency=1, deadline_s=600)
    except Fault as fault:
        raise fault if fault.log else peer.fault(str(fault)) from fault
    finally:
        peer.stop()
    if not peer.profile.exists():
        raise peer.fault("left no profile")
    return peer.profile


def top(title, short, long, count, most):
    """The functions whose counts grew most with the handshakes; what starting up cost stands in both and cancels out."""
    grown = {key: (value - short.get(key, 0)) / count for key, value in long.items()}
    print(f"\n{title}")
    for (function, where), value in sorted(grown.items(), key=lambda item: -item[1])[:most]:
        print(f"{value:14,.0f}  {function}" + (f"  [{where}]" if where else ""))


def report(run, name, options):
    for kind in KINDS[name]:
        try:
            short = profile_of(run, kind, options, options.n)
            break
        except Fault as fault:
            last = fault
    else:
        raise last
    long = profile_of(run, kind, options, 2 * options.n)
    each = (total(long) - total(short)) / options.n
    print(f"\n== {name}: {each:,.0f} instructions per handshake, {'leg 2 resumed' if options.resumed else 'full'}")
    for title, inclusive in (("self", False), ("inclusive", True)):
        top(title, annotated(short, inclusive), annotated(long, inclusive), options.n, options.top)
    sys.stdout.flush()


def main():
    options = arguments()
    programs.setup()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-bench-"))
    folder.chmod(0o755)
    status = 0
    try:
        programs.need_packages("openssl", "valgrind", *(p for n in options.peers for p in KINDS[n][0].packages))
        if not options.no_build:
            programs.build(options.build, "overt" in options.peers)
        certs = Certs(folder)
        run = peers.Run(folder, options.build, certs, Origin(options.build / "bench", certs, []), [], [])
        for name in options.peers:
            try:
                report(run, name, options)
            except Fault as fault:
                explain(fault)
                status = 1
    except Fault as fault:
        explain(fault)
        status = 1
    except KeyboardInterrupt:
        say("bench/instructions: interrupted; stopping what was started")
        status = 130
    finally:
        programs.stop_all()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
