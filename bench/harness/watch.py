"""bench/watch: see bench/README.md."""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import programs  # noqa: E402
from fault import Fault  # noqa: E402
from watch_parts import PARTS, Bench  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(prog="bench/watch", description="How fast captures are read, beside tshark.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"all, or some of: {' '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each part (default 3)")
    parser.add_argument("--scale", type=float, default=1, metavar="X", help="captures of X times the usual size")
    parser.add_argument("--no-tshark", action="store_true", help="without the peer")
    parser.add_argument("--folder", type=pathlib.Path, help="for captures, up to 5 GB (default: /dev/shm, else $TMPDIR)")
    parser.add_argument("--build", type=pathlib.Path, default=programs.TOP / "build", help="the build folder")
    parser.add_argument("--no-build", action="store_true", help="take the programs there as they are")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="every round's figures")
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS)
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"no part named {part}; there are: {' '.join(PARTS)}")
    if options.rounds < 1 or options.scale <= 0:
        parser.error("--rounds begins at 1, --scale above 0")
    return options


def say(text):
    print(text, file=sys.stderr, flush=True)


def explain(fault):
    say(f"bench/watch: {fault}")
    if fault.log.strip():
        say("it said:\n  " + "\n  ".join(fault.log.strip().splitlines()[-20:]))


def run(options, folder):
    programs.need_packages("openssl", "time", *([] if options.no_tshark else ["tshark"]))
    if not options.no_build:
        programs.build(options.build, True, ["bench/capture"])
    bench = Bench(options, folder, say)
    for part in options.parts:
        PARTS[part](bench)
        bench.captures.clear()
    print(f"medians of {options.rounds} rounds, in CPU time of one core where nothing else is said\n")
    print(bench.report())
    if options.json:
        options.json.write_text(json.dumps(bench.values, indent=1) + "\n")


def main():
    options = arguments()
    programs.setup()
    room = options.folder or (pathlib.Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-bench-", dir=room))
    try:
        run(options, folder)
    except Fault as fault:
        explain(fault)
        sys.exit(1)
    except KeyboardInterrupt:
        say("bench/watch: interrupted; stopping what was started")
        sys.exit(130)
    finally:
        programs.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
