"""Runs the parts of ./test and closes with one line: N passed, N failed[, N skipped]."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

TOP = pathlib.Path(__file__).resolve().parent.parent
PARTS = ["architecture", "lint", "formal", "unit", "fuzz", "scenarios"]
LONG_PARTS = ["debian12", "debian13"]
FUZZ_SECONDS = 5
TRIED_AGAIN = 3  # scenarios; where more fail, the fault is not in one of them


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def check(self, name, ok, output=""):
        self.passed += ok
        self.failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {name}", flush=True)
        if not ok and output:
            print(output, flush=True)

    def junit(self, path):
        """Adds what a JUnit file counts; a missing file is one failure."""
        if not path.exists():
            return self.check(f"{path.name} was written", False)
        for suite in ET.parse(path).getroot().iter("testsuite"):
            total = int(suite.get("tests", 0))
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            self.passed += total - bad - skipped
            self.failed += bad
            self.skipped += skipped


def by_outcome(path):
    """From pytest's JUnit file, by the names that pytest takes: those that passed, and those that failed."""
    cases = list(ET.parse(path).getroot().iter("testcase")) if path.exists() else []
    names = [f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}" for case in cases]
    bad = [any(case.find(what) is not None for what in ("failure", "error")) for case in cases]
    failed = list(dict.fromkeys(name for name, is_bad in zip(names, bad) if is_bad))
    skipped = {name for name, case in zip(names, cases) if case.find("skipped") is not None}
    return {name for name in names if name not in failed and name not in skipped}, failed


def sh(*command, env=None, quiet=False):
    result = subprocess.run([str(c) for c in command], cwd=TOP, env={**os.environ, **(env or {})},
                            stdout=subprocess.PIPE if quiet else None,
                            stderr=subprocess.STDOUT if quiet else None, text=True)
    return result.returncode == 0, result.stdout or ""


def build(folder, *options, compiler="gcc", targets=()):
    """Sets up the build folder once and builds; ends the run when it cannot."""
    path = TOP / folder
    if not (path / "build.ninja").exists():
        ok, _ = sh("meson", "setup", path, *options, env={"CC": compiler})
        if not ok:
            sys.exit(1)
    ok, _ = sh("ninja", "-C", path, *targets)
    if not ok:
        sys.exit(1)
    return path


def build_asan():
    return build("build-asan", "-Dbuildtype=debugoptimized", "-Db_sanitize=address,undefined", "-Db_lundef=false")


def build_release():
    return build("build", "-Dtests=false", targets=["overt"])


def sources(*patterns):
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], cwd=TOP,
                            capture_output=True, text=True, check=True).stdout.split()
    return [f for f in listed if (TOP / f).exists()]


def architecture(tally):
    ok, output = sh(sys.executable, "tests/architecture/check.py", quiet=True)
    tally.check("lower floors include no upper ones", ok, output)


def lint(tally):
    files = sources("*.c", "*.h")
    ok, output = sh("clang-format", "--dry-run", "-Werror", *files, quiet=True)
    tally.check("clang-format has nothing to change", ok, output)
    path = build_asan()
    # Probes are compiled for the kernel, by rules of their own.
    code = [f for f in files if f.startswith("src/") and f.endswith(".c") and not f.endswith(".bpf.c")]
    tidy = f"printf '%s\\n' {' '.join(code)} | xargs -P {os.cpu_count()} -n 4 clang-tidy --quiet -p {path}"
    ok, output = sh("bash", "-c", "set -o pipefail; " + tidy, quiet=True)
    tally.check("clang-tidy has no findings", ok, output)


def formal(tally):
    _, output = sh(sys.executable, "formal/check.py", quiet=True)
    counted = tally.passed + tally.failed
    for line in output.splitlines():
        if line.startswith(("ok ", "FAIL ")):
            tally.check(line[5:], line.startswith("ok "))
        else:
            print(line, flush=True)
    if tally.passed + tally.failed == counted:
        tally.check("the models were run", False, output)


def unit(tally):
    path = build_asan()
    sh("meson", "test", "-C", path, "--no-rebuild", "--print-errorlogs", "--timeout-multiplier", "4")
    log = path / "meson-logs" / "testlog.junit.xml"
    tally.junit(log)


def fuzz(tally):
    path = build("build-fuzz", "-Dfuzz=true", "-Dtests=false", "-Dbuildtype=debugoptimized",
                 "-Db_sanitize=address,undefined", "-Db_lundef=false", compiler="clang")
    targets = [t for t in sorted((path / "fuzz").glob("fuzz_*")) if t.is_file() and os.access(t, os.X_OK)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for target, (ok, output) in zip(targets, pool.map(lambda t: fuzz_one(path, t), targets)):
            name = target.name.removeprefix("fuzz_")
            tally.check(f"fuzz {name}: {FUZZ_SECONDS} s without a finding", ok, output[-4000:])


def fuzz_one(path, target):
    name = target.name.removeprefix("fuzz_")
    corpus = path / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = TOP / "fuzz" / "seeds" / name
    return sh(target, corpus, *([seeds] if seeds.is_dir() else []), f"-max_total_time={FUZZ_SECONDS}",
              "-timeout=5", "-rss_limit_mb=2048", f"-artifact_prefix={path}/{name}-", quiet=True)


def pytest(report, asan, release, *what):
    report.unlink(missing_ok=True)
    sh("/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *what,
       env={"OVERT": str(asan / "overt"), "OVERT_RELEASE": str(release / "overt")})


def scenarios(tally, *args):
    """A few that fail are tried once more, alone. What passes then is named: it is unsteady, which is a fault, too."""
    asan, release = build_asan(), build_release()
    report, second = asan / "scenarios.xml", asan / "scenarios-again.xml"
    pytest(report, asan, release, "tests/scenarios", *args)
    _, failed = by_outcome(report)
    again = set()
    if 0 < len(failed) <= TRIED_AGAIN:
        print(f"once more: {' '.join(failed)}", flush=True)
        pytest(second, asan, release, *failed)
        again, _ = by_outcome(second)
    tally.junit(report)
    for name in again.intersection(failed):
        print(f"unsteady: {name} failed, and passed when tried again", flush=True)
        tally.failed -= 1
        tally.passed += 1


def chroot(suite):
    """Counts the steps of tests/chroot/run.sh: a line each, "ok TEXT" or "not ok TEXT"."""
    def part(tally):
        failed = tally.failed
        # Whoever ends this program ends that one too, which then cleans up.
        process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "bash", "tests/chroot/run.sh", suite], cwd=TOP,
                                   stdout=subprocess.PIPE, text=True, errors="replace")
        for line in process.stdout:
            if line.startswith("ok "):
                tally.check(f"{suite}: {line[3:].rstrip()}", True)
            elif line.startswith("not ok "):
                tally.check(f"{suite}: {line[7:].rstrip()}", False)
            else:
                print(line, end="", flush=True)
        if process.wait() != 0 and tally.failed == failed:
            tally.check(f"{suite}: every step was taken", False)
    return part


def main():
    named = sys.argv[1:] or PARTS
    known = {"architecture": architecture, "lint": lint, "formal": formal, "unit": unit, "fuzz": fuzz, "scenarios": scenarios,
             "debian12": chroot("debian12"), "debian13": chroot("debian13")}
    unknown = [n for n in named if n not in known]
    if unknown:
        sys.exit(f"./test: no part named {unknown[0]}; there are: {' '.join(PARTS + LONG_PARTS)}")
    tally, start = Tally(), time.monotonic()
    for name in named:
        print(f"== {name}", flush=True)
        known[name](tally)
    print(f"took {time.monotonic() - start:.0f} s")
    print(f"{tally.passed} passed, {tally.failed} failed" + (f", {tally.skipped} skipped" if tally.skipped else ""))
    sys.exit(1 if tally.failed or not tally.passed else 0)


if __name__ == "__main__":
    main()
