"""Packages, builds, and processes that end when the benchmark does."""

import atexit
import contextlib
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import time

from family import family
from fault import Fault

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
# Packages whose installation starts a service on an ordinary system.
SERVICES = {"haproxy": "haproxy", "nginx-light": "nginx", "libnginx-mod-stream": "nginx", "squid-openssl": "squid"}

_running = []


def installed(package):
    result = subprocess.run(["dpkg-query", "-W", "-f=${db:Status-Status}", package], capture_output=True, text=True,
                            check=False)
    return result.stdout == "installed"


def service_active(service):
    return shutil.which("systemctl") is not None and subprocess.run(
        ["systemctl", "is-active", "--quiet", service], stderr=subprocess.DEVNULL, check=False).returncode == 0


def need_packages(*packages):
    """Installs what is missing and stops again the services that this, and nobody else, started."""
    missing = [p for p in packages if not installed(p)]
    if not missing:
        return
    asleep = {SERVICES[p] for p in missing if p in SERVICES and not service_active(SERVICES[p])}
    script = '. "$0"/tools/packages.sh && need_packages "$@"'
    if subprocess.run(["bash", "-c", script, TOP, *missing], stdout=subprocess.DEVNULL, check=False).returncode:
        raise Fault(f"cannot install {' '.join(missing)}")
    for service in asleep:
        if service_active(service):
            subprocess.run([*([] if os.getuid() == 0 else ["sudo"]), "systemctl", "stop", service], check=False)


def build(folder, overt, tools=("bench/load", "bench/server")):
    """Builds the release programs, Overt among them if asked for. Raises Fault with what the compiler said."""
    targets = [*tools, *(["overt"] if overt else [])]
    if not (folder / "build.ninja").exists():
        subprocess.run(["meson", "setup", "-Dtests=false", "-Db_lto=true", folder, TOP], stdout=subprocess.DEVNULL, check=True)
    result = subprocess.run(["ninja", "-C", folder, *targets], capture_output=True, text=True, check=False)
    if result.returncode:
        raise Fault(f"cannot build {' '.join(targets)} in {folder}", result.stdout)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def on_cpus(cpus, command):
    """The command, bound to those CPUs; taskset execs it, so the process stays the one started."""
    return [*(["taskset", "-c", ",".join(map(str, cpus))] if cpus else []), *map(str, command)]


def start(command, **options):
    """Starts a process in a session of its own, so that Ctrl-C reaches only the benchmark, which then stops it."""
    process = subprocess.Popen(list(map(str, command)), start_new_session=True, **options)
    _running.append(process)
    return process


def forget(process):
    """It has ended, and somebody else has waited for it."""
    _running.remove(process)


def stop(process, patience_s=5):
    """SIGTERM to the process, then SIGKILL to whatever is left of its family."""
    if process in _running:
        _running.remove(process)
    pids = family(process.pid)
    for stream in (process.stdin, process.stdout):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # Its children have init as their parent now; their start times tell them from others that got the same number.
    deadline = time.monotonic() + 2
    while (left := [p for p in pids if p.alive()]) and time.monotonic() < deadline:
        time.sleep(0.02)
    for member in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member.pid, signal.SIGKILL)


@atexit.register
def stop_all():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C shall not leave something running
    for process in list(_running):
        stop(process, 2)


def setup():
    """Descriptors for 2,000 connections on each side; SIGTERM and SIGHUP end the run as Ctrl-C does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def interrupted(*_):
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
