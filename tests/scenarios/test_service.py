"""examples/overt.service: what systemd and overt say to it."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest
from lab import overt

UNIT = pathlib.Path(__file__).resolve().parents[2] / "examples" / "overt.service"


def test_systemd_finds_no_fault_in_the_unit(folder):
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    copy = folder / "overt.service"
    copy.write_text(UNIT.read_text().replace("/usr/bin/overt", overt.binary()))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
    assert done.returncode == 0 and not re.search(r"overt\.service:\d+:", done.stderr), done.stderr


def test_overt_knows_every_option_of_the_unit():
    line = re.search(r"^ExecStart=\S+ (\w+) (.*)$", UNIT.read_text(), re.M)
    assert line and overt.knows(line[1], *re.findall(r"--[\w-]+", line[2]))


def test_the_rights_that_the_unit_leaves_are_enough(proxy, nginx):
    """The capability bounds of the unit, without systemd: users are changed, and requests inspected."""
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv")
    names = re.search(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.M)[1].lower().replace("cap_", "").split()
    made = proxy(before=["setpriv", "--no-new-privs", "--bounding-set=-all," + ",".join(f"+{n}" for n in names)],
                 release=True)
    assert made.curl(f"https://site.test:{nginx.port}/").status == 200
    for pid in made.members("worker"):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert not re.search(r"^Uid:\s+0", status, re.M) and re.search(r"^CapEff:\s+0+$", status, re.M)
