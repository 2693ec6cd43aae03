"""The family of processes: who may do what (CHECKLIST 17 and 19, and docs on processes)."""

import os
import pathlib
import re
import subprocess

import pytest
from lab import overt
from lab.servers import needs_program

pytestmark = overt.requires("proxy --trust --rules --jsonl")


def _status(pid, field):
    return re.search(rf"^{field}:\s+(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1)


@pytest.fixture
def family(proxy, nginx):
    """{role: [process ids]} of a release build that has served a request."""
    one = proxy("--workers", "2", release=True)
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200
    found = {role: one.members(role) for role in ("worker", "keeper", "scribe", "resolver")}
    assert {one.pid, *sum(found.values(), [])} == set(one.family())
    return {"supervisor": [one.pid], **found}


def test_there_are_two_workers_and_one_of_each_other(family):
    assert {role: len(pids) for role, pids in family.items()} == {
        "supervisor": 1, "worker": 2, "keeper": 1, "scribe": 1, "resolver": 1}


def test_workers_run_under_a_filter_of_system_calls_and_without_privileges(family):
    for pid in family["worker"]:
        assert _status(pid, "Seccomp") == "2" and _status(pid, "NoNewPrivs") == "1"
        assert _status(pid, "CapEff") == "0000000000000000"
        if os.getuid() == 0:
            assert _status(pid, "Uid").split()[0] != "0"


@pytest.mark.parametrize("role", ["keeper", "scribe", "resolver"])
def test_the_others_are_filtered_too(role, family):
    assert all(_status(pid, "Seccomp") == "2" for pid in family[role])


def test_the_keeper_has_no_internet_socket(family):
    for pid in family["keeper"]:
        inodes = set()
        for name in ("tcp", "tcp6", "udp", "udp6"):
            with open(f"/proc/{pid}/net/{name}") as table:
                inodes |= {line.split()[9] for line in table.readlines()[1:]}
        held = {os.readlink(link.path) for link in os.scandir(f"/proc/{pid}/fd")}
        assert not held & {f"socket:[{inode}]" for inode in inodes}


def test_no_process_leaves_a_core(family):
    for role, pids in family.items():
        for pid in pids:
            limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"^Max core file size\s+0\s+0", limits, re.M) or role == "scribe", (role, limits)


def test_no_process_has_another_ones_files_open(family):
    """A worker holds no file of the state folder and no output; only the scribe writes outputs."""
    for role in ("worker", "resolver"):
        for pid in family[role]:
            held = [os.readlink(link.path) for link in os.scandir(f"/proc/{pid}/fd")]
            assert not [path for path in held if "overt-run-" in path], held


def test_secrets_are_in_no_command_line_or_environment(family):
    for pids in family.values():
        for pid in pids:
            for shown in ("cmdline", "environ"):
                assert b"PRIVATE KEY" not in pathlib.Path(f"/proc/{pid}/{shown}").read_bytes()


def test_every_function_is_bound_before_the_program_runs():
    """One that is bound when it is first called leaves its caller's registers on the stack."""
    shown = subprocess.run([needs_program("readelf"), "-d", overt.binary()], capture_output=True, text=True, check=True).stdout
    assert re.search(r"\(FLAGS_1\).*\bNOW\b", shown), shown
