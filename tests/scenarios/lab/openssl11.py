"""Unmodified programs on OpenSSL 1.1.1: Debian 11's, which tools/openssl11.sh fetches once and keeps outside the tree."""

import functools
import os
import pathlib
import subprocess

import pytest

from .servers import needs_program

TOP = pathlib.Path(__file__).parents[3]
KEPT = pathlib.Path(f"/var/tmp/overt-openssl11-{os.getuid()}")
SECONDS = 300  # to fetch some 10 MB
ABSENT = 77


@functools.cache
def folder():
    """Where they are. Skips the test where they cannot be had. For fixtures: it may take a while."""
    if KEPT.exists() and KEPT.stat().st_uid != os.getuid():
        pytest.skip(f"{KEPT} is somebody else's")
    done = subprocess.run(["bash", TOP / "tools" / "openssl11.sh", KEPT], capture_output=True, text=True, timeout=SECONDS)
    if done.returncode == ABSENT:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return KEPT


def env():
    """What makes a program find these libraries. Not for programs of this system, which would find them, too."""
    return {"LD_LIBRARY_PATH": str(folder() / "lib"), "OPENSSL_CONF": str(folder() / "etc/ssl/openssl.cnf"),
            "PYTHONHOME": str(folder() / "usr")}


def under():
    """The same as words in front of a command."""
    return ["env", *(f"{name}={value}" for name, value in env().items())]


def program(path):
    """usr/bin/openssl, usr/bin/curl, usr/bin/python3.9, usr/sbin/nginx."""
    return folder() / path


def command(path, *words):
    return [*under(), program(path), *words]


def compiled(where, name, text, *, static=False):
    """A program in C, built with its headers and linked with its libraries, or with both inside."""
    compiler = needs_program("cc")
    source = where / f"{name}.c"
    source.write_text(text)
    lib = folder() / "usr/lib/x86_64-linux-gnu"
    linked = [lib / "libssl.a", lib / "libcrypto.a"] if static else [lib / "libssl.so.1.1", lib / "libcrypto.so.1.1"]
    done = subprocess.run([compiler, "-o", where / name, source, "-isystem", folder() / "usr/include", "-isystem",
                           folder() / "usr/include/x86_64-linux-gnu", *(["-static"] if static else []), *linked, "-lpthread",
                           "-ldl"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return where / name
