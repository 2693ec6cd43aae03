"""`overt tour`: each step happens as it is told, can be repeated, and nothing of it stays."""

import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import time

import pytest
from lab import clients, overt
from lab.proc import PATIENCE, Process, children, eventually

pytestmark = overt.requires("tour --keep --serve")

STEPS = ["drop-out", "split", "share", "accord", "lossy", "audit-log"]
CAPTURES = "capturing needs the right CAP_NET_RAW"


def _environment(folder):
    """No temporary file goes anywhere else, and what the user has set does not matter."""
    return {"TMPDIR": str(folder), "http_proxy": "http://127.0.0.1:1",
            "https_proxy": "http://127.0.0.1:1",
            "SSLKEYLOGFILE": str(folder / "sslkeys")}


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """One tour, as JSON: rows by case, and the folder that its temporary files were in."""
    folder = tmp_path_factory.mktemp("tour")
    code, out, err = overt.run("tour", "--json", env=_environment(folder), timeout=PATIENCE * 4)
    assert code == 0, out + err
    return {row["case"]: row for row in json.loads(out)}, folder


@pytest.fixture
def rows(taken):
    return taken[0]


def test_each_step_happened_as_it_is_told(rows):
    assert list(rows) == STEPS
    assert all(row["as_expected"] for row in rows.values())


def test_two_cases_of_dropping_out_and_six_with_nobody_in_between(rows):
    assert (rows["drop-out"]["cases"], rows["drop-out"]["left"], rows["drop-out"]["ways"]) == (20, 2, 6)


def test_a_programs_request_was_decrypted_in_split(rows):
    row = rows["split"]
    assert row["decrypted"] and row["path"] in row["line"] and "inspect localhost:" in row["line"]
    assert "balance" in row["body"]


def test_and_in_share_or_it_is_said_that_capturing_is_not_permitted(rows):
    row = rows["share"]
    if row.get("permitted") is False:
        assert CAPTURES in overt.run("exec", "--share", "--interface", "lo", "--", "true")[2]
    else:
        assert row["decrypted"] and row["path"] in row["line"] and row["line"].startswith("read localhost:")


def test_without_the_right_to_capture_the_tour_goes_on_and_says_so(tmp_path):
    if os.getuid() != 0:
        pytest.skip("the right is to be taken away, which takes root")
    done = clients.run("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", overt.binary(), "tour", "--json",
                       env={**overt.SANITIZER_OPTIONS, **_environment(tmp_path)})
    rows = {row["case"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0 and list(rows) == STEPS, done.stderr
    assert rows["share"]["permitted"] is False and "CAP_NET_RAW" in rows["share"]["why"]


def test_the_proof_passed_and_the_altered_byte_was_caught(rows):
    assert rows["accord"]["fetched"] and rows["accord"]["passed"]
    row = rows["audit-log"]
    assert row["whole_passes"] and row["caught"] and f"line {row['line']} " in row["said"]


def test_the_capture_with_holes_is_read_to_the_octet_and_beats_tshark(rows):
    row = rows["lossy"]
    assert row["lost_segments"] > 3 and row["exact"] and row["read"] == row["whole"] > 300
    if shutil.which("tshark"):
        assert isinstance(row["tshark"], int) and row["tshark"] * 2 < row["read"]
    else:
        assert "not installed" in row["tshark"]


def test_nothing_stays(taken):
    assert list(taken[1].iterdir()) == []


def test_the_text_is_calm_and_fits_a_terminal_of_80_columns(tmp_path):
    page = tmp_path / "tour.html"
    code, out, err = overt.run("tour", "--html", page, env=_environment(tmp_path), timeout=PATIENCE * 4)
    assert code == 0 and not err, out + err
    assert max(map(len, out.splitlines())) <= 80 and "\033" not in out
    assert "All of this happened just now, as it is told." in out and "Nothing of it stays" in out
    for command in ("explain dropout", "exec --trust", "exec --share", "accord init", "proxy --single", "get -q",
                    "accord verify", "watch -q", "log verify --state altered"):
        assert f"$ overt {command}" in out, command
    words = " ".join(re.sub(r"[|│]", " ", out).split())
    assert "leads to a root in ca.pem, the file you gave" in words and "none of them added" not in words
    assert re.search(r"its SHA-256 +[0-9a-f]{32}\n *[|│] +[0-9a-f]{32}\n", out)
    assert len(re.findall(r"\b[0-9a-f]{32}$", out, re.M)) > 5
    assert not re.search(r"^ *[|│]? +[0-9a-f]{1,7}$", out, re.M)
    assert not re.search(r"https?://(?!localhost)|<script|<link|<img|url\(", page.read_text("utf-8"))


def _commands(out):
    """Each command that was shown, put together again where it was folded."""
    found, lines = [], iter(out.splitlines())
    for line in lines:
        if not line.startswith("    $ "):
            continue
        command = line[6:]
        while command.endswith("\\"):
            command = command[:-1] + next(lines).strip()
        found.append(command)
    return found


def test_the_commands_can_be_repeated_from_what_was_kept(tmp_path, starts):
    kept = tmp_path / "kept"
    code, out, err = overt.run("tour", "--keep", kept, env=_environment(tmp_path), timeout=PATIENCE * 4)
    assert code == 0, out + err
    assert list(tmp_path.iterdir()) == [kept]
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept.iterdir())
    starts(Process(overt.binary(), "tour", "--serve", kept, env=overt.SANITIZER_OPTIONS)).err.wait("until Ctrl-C")
    proxy = None
    for command in _commands(out):
        words = [overt.binary() if word == "overt" else word for word in shlex.split(command)]
        if words[1] in ("explain",) or "--share" in words:
            continue  # the story needs no files, and share has rights of its own
        if words[1:3] == ["accord", "init"]:
            continue  # the anchor is kept
        if words[1] == "proxy":
            proxy = starts(Process("env", "-C", kept, *words, env=overt.SANITIZER_OPTIONS))
            proxy.err.wait("listening address=")
            continue
        done = clients.run(*words, cwd=kept, env=overt.SANITIZER_OPTIONS)
        said = (done.stdout + done.stderr).decode()
        assert done.returncode == (1 if "altered" in words else 0), command + said
        wanted = {"exec": "balance", "get": "balance", "accord": "all passed", "watch": "1 partly",
                  "log": "altered" if "altered" in words else "none altered or missing"}[words[1]]
        assert wanted in said, command + said
    assert proxy is not None


def test_what_is_kept_needs_a_folder_of_its_own(tmp_path):
    (tmp_path / "there").write_text("mine")
    code, out, err = overt.run("tour", "--keep", tmp_path)
    assert code == 1 and "new or empty" in err and [p.name for p in tmp_path.iterdir()] == ["there"]
    code, out, err = overt.run("tour", "--serve", tmp_path)
    assert code == 1 and "server.pem" in err or "port" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_nothing_stays(number, tmp_path):
    process = Process(overt.binary(), "tour", env={**overt.SANITIZER_OPTIONS, **_environment(tmp_path)})
    process.out.wait("1 of 6")
    folder, = tmp_path.iterdir()
    family = children(process.pid)
    assert process.terminate(number) == 1
    assert "left out" in process.out.text() or "stopped" in process.out.text()
    assert not folder.exists() and list(tmp_path.iterdir()) == []
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in family), "its server is gone")
    assert not overt.SANITIZER.search(process.err.text())


class Terminal:
    """The program with a terminal for its reader."""

    def __init__(self, *words, folder):
        self.text, (self.master, slave) = "", pty.openpty()
        self.process = subprocess.Popen([overt.binary(), *words], stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True,
                                        env=clients.environment(TERM="xterm", **overt.SANITIZER_OPTIONS,
                                                                **_environment(folder)))
        os.close(slave)

    def wait(self, pattern):
        deadline = time.monotonic() + PATIENCE * 2
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, self.text
            if select.select([self.master], [], [], 1)[0]:
                try:
                    self.text += os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        assert re.search(pattern, self.text), self.text

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        code = self.process.wait(PATIENCE)
        os.close(self.master)
        return code


def test_on_a_terminal_enter_goes_on_and_q_quits(tmp_path):
    terminal = Terminal("tour", folder=tmp_path)
    terminal.wait("Enter goes on, q quits: $")
    assert "1 of 6" not in terminal.text
    terminal.type("\n")
    terminal.wait(r"1 of 6[\s\S]*Enter goes on, q quits: $")
    assert "\033[" in terminal.text and "2 of 6" not in terminal.text
    terminal.type("q\n")
    terminal.wait("The rest of the tour was left out")
    assert terminal.end() == 1 and list(tmp_path.iterdir()) == []


def test_misuse_is_told():
    for words in (["now"], ["--keep"], ["--steps", "2"]):
        code, out, err = overt.run("tour", *words)
        assert code == 2 and "overt tour:" in err and out == ""
