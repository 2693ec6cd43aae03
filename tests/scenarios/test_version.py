"""The binary answers at all."""

import os
import subprocess


def test_version_is_said():
    out = subprocess.run([os.environ["OVERT"], "version"], capture_output=True, text=True, timeout=30)
    assert out.returncode == 0
    assert out.stdout.startswith("overt ")
