"""The binary answers at all."""

import os
import subprocess


def test_version_is_said():
    out = subprocess.run([os.environ["OVERT"], "version"], capture_output=True, text=True, timeout=30)
    assert out.returncode == 0
    assert out.stdout.startswith("overt ")


def test_version_takes_nothing_more():
    for words in (["version", "extra"], ["--version", "extra"], ["version", "--bogus"]):
        out = subprocess.run([os.environ["OVERT"], *words], capture_output=True, text=True, timeout=30)
        assert (out.returncode, out.stdout) == (2, ""), words
        assert words[1] in out.stderr
