"""The documents say what the program does: options, manual pages, completion, the README's commands, links."""

import fcntl
import functools
import os
import pathlib
import pty
import re
import shlex
import shutil
import struct
import subprocess
import termios
import xml.etree.ElementTree as ET

import pytest
from lab import clients, overt, settings
from lab.servers import needs_program

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
VERBS = ["proxy", "exec", "explain", "watch", "collect", "grant", "get", "local", "accord", "assess", "tour", "ca",
         "check", "log", "refusals", "version"]
PAGES = sorted((TOP / "man").glob("*.1"))
DOCUMENTS = sorted([*TOP.glob("*.md"), *(TOP / "docs").glob("*.md"), *(TOP / "bench").glob("*.md")])
COMPLETION = TOP / "completion" / "overt.bash"
HELP = {"--help", "-h"}


def _name(path):
    return str(path.relative_to(TOP))


@functools.lru_cache(maxsize=None)
def _help(verb=None):
    code, out, err = overt.run(*([verb] if verb else []), "--help")
    assert code == 0, err
    return out


@functools.lru_cache(maxsize=None)
def _options(verb):
    """What `overt VERB --help` prints: each option, and whether it takes a value. With its letter, if it has one."""
    found = {}
    for line in _help(verb).splitlines():
        match = re.match(r"\s+(?:-(\w), )?--([a-z][\w-]*)(?: (\S+))?(?:\s{2,}|\s*$)", line)
        if match:
            letter, name, value = match.groups()
            found["--" + name] = value is not None
            if letter:
                found["-" + letter] = value is not None
    return found


def _verbs_of_help():
    return re.findall(r"^  ([a-z]+) {2,}", _help(), re.M)


def test_the_verbs_of_these_tests_are_those_of_the_program():
    assert sorted(_verbs_of_help()) == sorted([*VERBS, "help"])
    for verb in ("proxy", "exec", "watch", "ca", "check", "refusals"):
        assert len(_options(verb) or {}) >= 1, f"no option found in overt {verb} --help"


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_help_fits_80_columns(verb):
    text = _help(verb)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


# Manual pages

def _manual(verb=None):
    return (TOP / "man" / (f"overt-{verb}.1" if verb else "overt.1")).read_text("utf-8")


def _options_of_manual(text):
    """Options that have an entry: .It Fl Fl long Ar VALUE, .It Fl s , Fl Fl long."""
    found = set()
    for line in re.findall(r"^\.It (Fl .*)$", text, re.M):
        found |= {"--" + name for name in re.findall(r"Fl Fl ([a-z][\w-]*)", line)}
        found |= {"-" + letter for letter in re.findall(r"(?:^|, )Fl (\w)(?= ,|$)", line)}
    return found


def test_every_verb_has_a_manual_page_and_every_page_a_verb():
    assert [_name(p) for p in PAGES] == sorted(["man/overt.1", *(f"man/overt-{verb}.1" for verb in VERBS)])
    for verb in VERBS:
        assert re.search(rf"^\.It Cm {verb}$", _manual(), re.M) and f".Xr overt-{verb} 1" in _manual(), verb


@pytest.mark.parametrize("verb", VERBS)
def test_the_manual_page_has_exactly_the_options_of_the_verb(verb):
    wanted, told = set(_options(verb)) - HELP, _options_of_manual(_manual(verb)) - HELP
    assert wanted - told == set(), f"not in man/overt-{verb}.1"
    assert told - wanted == set(), f"in man/overt-{verb}.1, but not in overt {verb} --help"


@pytest.mark.parametrize("verb", ["proxy", "exec"])
def test_the_manual_page_names_every_default(verb):
    text = re.sub(r"\s+", " ", _manual(verb))
    for name, default in re.findall(r"--([a-z][\w-]*)(?:(?!\n +(?:-\w, )?--)[\s\S])*? \[([^\]\n]+)\]\n", _help(verb)):
        if re.fullmatch(r"[\w.:]+", default):
            entry = re.search(rf"\.It Fl Fl {name} (.*?)(?=\.It Fl|\.El)", text)
            assert entry and f"Default: .Ar {default} ." in entry.group(1), f"--{name}: default {default}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_manual_pages_are_formatted_without_a_warning(page):
    done = clients.run(needs_program("groff"), "-mandoc", "-Tutf8", "-ww", "-z", page)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    if shutil.which("mandoc"):
        done = clients.run("mandoc", "-Tlint", "-Wwarning", page)
        assert done.stdout.decode() == ""


# Completion

def _bash(script):
    done = clients.run("bash", "--norc", "--noprofile", "-c", f". {shlex.quote(str(COMPLETION))}; {script}", cwd=TOP)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    return done.stdout.decode()


def _complete(*words):
    """What is offered for the last of `words`."""
    line = " ".join(shlex.quote(word) for word in words)
    script = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _overt; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return _bash(script).split()


@pytest.mark.parametrize("verb", VERBS)
def test_completion_has_exactly_the_options_of_the_verb(verb):
    flags, values = (set(line.split()) for line in _bash(
        f"flags= values=; _overt_options {verb}; echo $flags; echo $values").split("\n")[:2])
    wanted = {name: takes for name, takes in _options(verb).items() if name not in HELP}
    assert flags - HELP == {name for name, takes in wanted.items() if not takes}
    assert values == {name for name, takes in wanted.items() if takes}


def test_completion_offers_verbs_actions_words_and_files():
    assert set(_verbs_of_help()) <= set(_complete("overt", ""))
    assert _complete("overt", "refu") == ["refusals"]
    assert set(_complete("overt", "ca", "")) == set(re.findall(r"overt ca (\w+)", _help("ca")))
    assert _complete("overt", "proxy", "--audit-failure", "") == ["block", "bypass"]
    assert _complete("overt", "proxy", "--audit-failure", "=", "by") == ["bypass"]
    assert _complete("overt", "proxy", "--rules", "READ") == ["README.md"]
    assert _complete("overt", "check", "READ") == ["README.md"]
    assert _complete("overt", "exec", "--jso") == ["--jsonl"]


def test_completion_leaves_the_command_of_exec_to_that_command():
    assert "bash" in _complete("overt", "exec", "--", "bas")
    assert "bash" in _complete("overt", "exec", "--connections", "2", "-q", "bas")
    assert _complete("overt", "exec", "bash", "--jso") == []


def test_completion_has_no_findings_of_shellcheck():
    done = clients.run(needs_program("shellcheck"), "-s", "bash", COMPLETION)
    assert done.returncode == 0, done.stdout.decode()


# Texts

def _headings(text):
    """Anchors as the usual viewers make them."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", plain, re.M)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(path):
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        to = (path.parent / file) if file else path
        assert to.exists(), f"{target}: there is no such file"
        if anchor:
            assert anchor in _headings(to.read_text("utf-8")), f"{target}: there is no such heading"


@pytest.mark.parametrize("path", [*DOCUMENTS, *PAGES, COMPLETION], ids=_name)
def test_texts_are_finished(path):
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        assert not re.search(r"\b(TODO|FIXME|XXX|TBD)\b|@[A-Z]+@", line), f"{_name(path)}:{number}: {line}"


def _code(text):
    """Lines of code: fenced, indented, and between backticks. Continued lines are one."""
    found, plain = [], []
    for part in re.split(r"(^```.*?^```)", text, flags=re.M | re.S):
        (found if part.startswith("```") else plain).append(part)
    for part in plain:
        found += re.findall(r"^ {4,}(.*)$", part, re.M) + re.findall(r"`([^`\n]+)`", part)
    return [line for part in found for line in part.replace("\\\n", " ").splitlines()]


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if p.parent.name != "bench"], ids=_name)
def test_commands_in_texts_use_verbs_and_options_that_there_are(path):
    for line in _code(path.read_text("utf-8")):
        for verb, rest in re.findall(r"(?:^|[ /$(])(?:overt|\./run) ([a-z]+)(?!\S)((?: [^|;&#]*)?)", line):
            if line.startswith("overt ") and ": " in line.split(" -")[0]:
                continue  # a message of the program
            assert verb in [*VERBS, "help"], line
            words = rest.split(" -- ")[0].split() if verb == "exec" else rest.split()
            for word in words:
                name = word.strip("[]\"'`,.").partition("=")[0]
                if re.fullmatch(r"--?[a-z][\w-]*", name) and name not in HELP:
                    assert name in _options(verb) or "--" + name[5:] in _options(verb), f"{name} in: {line}"


def test_the_figure_can_be_read_in_light_and_dark():
    for path in (TOP / "docs" / "figures").glob("*.svg"):
        root = ET.parse(path).getroot()
        text = path.read_text("utf-8")
        for wanted in ("prefers-color-scheme: dark", "<title", "<desc"):
            assert root.get("viewBox") and wanted in text, f"{path}: {wanted}"


# Architecture and dependencies

def test_files_and_rooms_that_the_architecture_names_exist():
    text = (TOP / "docs" / "architecture.md").read_text("utf-8")
    for name in re.findall(r"`([\w/]+\*?\.[chy]+)`", text):
        assert any(list(folder.glob(name)) for folder in (TOP / "src", TOP / "src" / "proxy", TOP)), name
    for room in sorted(p.name for p in (TOP / "src").iterdir() if p.is_dir()):
        assert re.search(rf"^(?:floor \d)? +{room}  +\w", text, re.M), f"the room {room} has no line"
    roles = re.search(r"names\[\] = \{([^}]*)\}", (TOP / "src" / "proxy" / "family.h").read_text("utf-8")).group(1)
    for role in re.findall(r'"(\w+)"', roles):
        assert f"\n| {role} |" in text, f"the process {role} is not described"


LIBRARIES = {"openssl": "OpenSSL", "libsodium": "libsodium", "threads": "threads", "yaml-0.1": "libyaml",
             "sqlite3": "SQLite", "libseccomp": "libseccomp", "libsystemd": "libsystemd", "libnghttp2": "nghttp2",
             "libllhttp": "llhttp", "cmocka": "cmocka", "jansson": "jansson",
             "zlib": "zlib", "libzstd": "zstd", "libpcap": "libpcap", "libbrotlidec": "brotli", "libbrotlienc": "brotli",
             "libnats": "libnats", "libbpf": "libbpf"}


def test_every_library_of_the_build_and_no_other_is_explained():
    text = (TOP / "docs" / "dependencies.md").read_text("utf-8")
    used = set()
    for path in [TOP / "meson.build", *TOP.glob("src/*/meson.build"), *TOP.glob("tests/unit/**/meson.build")]:
        used |= set(re.findall(r"\bdependency\('([^']+)'", path.read_text("utf-8")))
    assert used - set(LIBRARIES) == set(), "docs/dependencies.md does not explain these"
    table = re.findall(r"^\| (\w+)[^|]*\| (?:lib|zlib|of the|python3)", text, re.M)
    assert set(table) == {LIBRARIES[name] for name in used} | {"pytest"}


# README

def _tries():
    """Blocks of README.md that are marked to be tried: name to (code, the output block right below or None)."""
    text = (TOP / "README.md").read_text("utf-8")
    found = re.findall(r"^<!-- try: (\w+) -->\n```\w*\n(.*?)^```\n(?:\n```\n(.*?)^```\n)?", text, re.M | re.S)
    return {name: (code.strip("\n"), output or None) for name, code, output in found}


@pytest.fixture
def home(folder, world):
    """The environment of a new user whose system trusts the lab."""
    (folder / "bin").mkdir()
    for place in (folder / "bin" / "overt", folder / "run"):
        place.symlink_to(overt.binary())
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return {**overt.SANITIZER_OPTIONS, "HOME": str(folder), "XDG_DATA_HOME": "", "SSL_CERT_FILE": str(world.trust),
            "CURL_CA_BUNDLE": "", "SSL_CERT_DIR": "", "PATH": path}


def _type(block, folder, home, **swaps):
    """Types a block into a shell, with the lab's server and port in place of those in the text."""
    code = _tries()[block][0]
    for old, new in swaps.values():
        assert old in code, f"{old} is not in the block {block}"
        code = code.replace(old, new)
    done = clients.run("bash", "--norc", "-ec", code, cwd=folder, env=home)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def _site(nginx):
    return "https://example.org/", f"https://site.test:{nginx.port}/"


def test_readme_exec_shows_the_first_decrypted_request(folder, home, nginx):
    code, out, err = _type("exec", folder, home, site=_site(nginx))
    assert (code, out) == (0, "nginx says hello over HTTP/1.1\n"), err
    assert re.search(r"inspect +site\.test:?\d* +GET +/ +200 ", err), err


def test_readme_table_of_exec_is_what_a_terminal_shows(folder, home, nginx):
    shown = _tries()["exec"][1].splitlines()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, len(shown[1]), 0, 0))
    done = subprocess.run(["bash", "-c", _tries()["exec"][0].replace(*_site(nginx))], cwd=folder, stderr=theirs,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60,
                          env=clients.environment(**home, NO_COLOR="1", LC_ALL="C.UTF-8", COLUMNS=""))
    os.close(theirs)
    told = os.read(ours, 65536).decode().splitlines()
    os.close(ours)
    assert done.returncode == 0 and told[0] == shown[1], told
    form = re.compile(r"\d\d:\d\d:\d\d 127\.0\.0\.1 +inspect GET +200 \S+ +\w+ +[\d.]+[KM]? +[\d.]+[um]?s")
    assert form.fullmatch(shown[2]) and form.fullmatch(told[1]), told


def test_readme_outputs_are_written(folder, home, nginx):
    code, out, err = _type("outputs", folder, home, site=_site(nginx))
    assert (code, out, err) == (0, "", "")
    assert '"type":"request"' in (folder / "flows.jsonl").read_text("utf-8")
    assert (folder / "plain.pcapng").read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    assert b"nginx says hello" in (folder / "page.html").read_bytes()


def test_readme_proxy_serves_the_client_of_the_next_block(folder, home, nginx, proxy):
    assert _tries()["proxy"][0] == "overt proxy"
    one = proxy(state=folder / ".local/share/overt", jsonl=False)
    code, out, err = _type("client", folder, home, site=_site(nginx), port=(":8080", f":{one.port}"))
    assert (code, out) == (0, "nginx says hello over HTTP/1.1\n"), err


def test_readme_rules_are_right_and_decide_as_shown(folder, home):
    (folder / "rules.yaml").write_text(_tries()["rules"][0] + "\n")
    assert overt.run("check", folder / "rules.yaml")[0] == 0
    code, out, err = _type("check", folder, home)
    assert (code, out) == (0, _tries()["check"][1]), err


def test_readme_says_how_to_trust_and_untrust_for_every_client():
    table = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", (TOP / "README.md").read_text("utf-8"), re.M)
    trust = (TOP / "docs" / "trust.md").read_text("utf-8")
    for client in ("Debian", "Firefox", "Chromium", "curl", "Node", "Python", "Java"):
        assert any(client in row[0] and row[1].strip() and row[2].strip() for row in table), client
        assert re.search(rf"^### .*{client}", trust, re.M), client


def test_readme_names_what_is_planned_and_does_not_use_it():
    text = (TOP / "README.md").read_text("utf-8")
    planned = re.search(r"^\| planned \|(.*)$", text, re.M).group(1)
    names = re.findall(r"\*\*(\w+)\*\*", planned)
    assert names
    for name in names:
        assert not re.search(rf"overt {name.lower()}\b", text), name
        assert name not in VERBS


# What docs/configuration.md shows

def _examples(mark):
    text = (TOP / "docs" / "configuration.md").read_text("utf-8")
    return re.findall(rf"^```yaml\n# {mark}\n(.*?)^```", text, re.M | re.S)


def test_example_rules_without_files_are_accepted(folder):
    tried = 0
    for number, example in enumerate(_examples("rules")):
        if "list:" in example or "cert:" in example:
            continue  # names files that only their owner has
        (folder / f"{number}.yaml").write_text(example)
        code, _, err = overt.run("check", folder / f"{number}.yaml")
        assert code == 0, err
        tried += 1
    assert tried > 0


def test_a_proxy_for_others_needs_what_the_privacy_page_says(folder):
    code, _, err = overt.run("proxy", "--listen", "0.0.0.0:0", "--state", folder / "state", "-q")
    assert code == 2
    for word in settings.DISCLOSURE:
        assert word in err, err
