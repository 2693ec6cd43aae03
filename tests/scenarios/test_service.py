"""The units among the examples: what systemd and overt say to them."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest
from lab import overt

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
UNIT = EXAMPLES / "overt.service"
UNITS = [UNIT, EXAMPLES / "overt-share.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_no_fault_in_the_unit(unit, folder):
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    copy = folder / unit.name
    copy.write_text(unit.read_text().replace("/usr/bin/overt", overt.binary()))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
    assert done.returncode == 0 and not re.search(rf"{unit.name}:\d+:", done.stderr), done.stderr


def test_systemd_finds_no_fault_in_what_is_added_to_the_unit_of_nginx(folder):
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    unit, added = folder / "nginx.service", folder / "nginx.service.d" / "overt-share.conf"
    added.parent.mkdir()
    unit.write_text("[Unit]\nDescription=nginx\n[Service]\nExecStart=/bin/true\n")
    added.write_text((EXAMPLES / "nginx-share.conf").read_text())
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True,
                          env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"})
    assert done.returncode == 0 and not re.search(rf"{added.name}:\d+:", done.stderr), done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_overt_knows_every_option_of_the_unit(unit):
    line = re.search(r"^ExecStart=\S+ (\w+) (.*)$", unit.read_text(), re.M)
    assert line and overt.knows(line[1], *re.findall(r"--[\w-]+", line[2]))


def test_the_shipper_and_the_service_that_shares_meet_at_one_door():
    shipper, service = UNITS[1].read_text(), (EXAMPLES / "nginx-share.conf").read_text()
    said = dict(re.findall(r"^Environment=(OVERT_SHARE\w*)=(.*)$", service, re.M))
    assert re.search(r" --door (\S+) --readers (\S+) ", shipper).groups() == (said["OVERT_SHARE"], said["OVERT_SHARE_READERS"])


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
