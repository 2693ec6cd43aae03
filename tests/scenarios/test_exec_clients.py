"""`overt exec` with the programs it is for: each finds the proxy and trusts the CA without an option of its own."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest
from lab import clients, events, golang, overt, servers, settings
from lab.proc import Process, eventually

pytestmark = overt.requires("exec --trust --rules --jsonl")


@pytest.fixture
def ran(world, folder):
    """ran(*command): (code, stdout, stderr, events) under overt exec."""
    (folder / "rules.yaml").write_text(settings.rules())
    (folder / "home").mkdir()

    def run(*command, options=(), env=None):
        shown = folder / "shown.jsonl"
        shown.unlink(missing_ok=True)
        code, out, err = overt.run("exec", "--trust", world.trust, "--rules", folder / "rules.yaml", "--jsonl", shown,
                                   *options, "--", *command, env={"HOME": str(folder / "home"), **(env or {})})
        return code, out, err, [json.loads(line) for line in shown.read_text().splitlines()] if shown.exists() else []
    return run


@pytest.fixture(scope="module")
def site(world, starts_module):
    return starts_module(servers.Origin(servers.server_context(*world.files("site.test")), servers.speak_http))


def _url(site, path="/"):
    return f"https://site.test:{site.port}{path}"


def _seen(found, path):
    """The request was read, and its connection inspected."""
    assert any(events.is_request(path)(e) for e in found), f"{path} is not among {[e.get('path') for e in found]}"
    assert any(events.is_verdict("inspect")(e) for e in found)


NODE_GET = """require('https').get(process.argv[2], r => { let t=''; r.on('data', d => t += d);
  r.on('end', () => console.log(r.statusCode, t)); }).on('error', e => { console.error(e.message); process.exit(1); });"""
NODE_POST = """const https = require('https'); const q = https.request(process.argv[2], {method: 'POST'}, r => {
  let t=''; r.on('data', d => t += d); r.on('end', () => console.log(r.statusCode, t)); }); q.end('x'.repeat(5000));
  q.on('error', e => { console.error(e.message); process.exit(1); });"""
NODE_FETCH = """fetch(process.argv[2]).then(async r => console.log(r.status, await r.text()))
  .catch(e => { console.error(e, e.cause); process.exit(1); });"""
JAVA_CLIENT = """
import java.net.*; import java.net.http.*;
public class Client {
    public static void main(String[] a) throws Exception {
        var r = HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create(a[0])).build(),
            HttpResponse.BodyHandlers.ofString());
        System.out.println(r.statusCode() + " " + r.body());
    }
}
"""
# Ruby looks for a proxy by itself, but for no server on loopback, where those of the tests are: it is told here.
RUBY = """require 'net/http'; u = URI(ARGV[0]); p = URI(ENV['https_proxy'])
h = Net::HTTP.new(u.host, u.port, p.host, p.port); h.use_ssl = true; r = h.get(u.path); puts r.code, r.body"""
PERL = "use LWP::UserAgent; my $r = LWP::UserAgent->new->get(shift); print $r->code, ' ', $r->content"

PROGRAMS = {
    "curl": lambda f, u: ["curl", "-q", "-sS", u],
    "wget": lambda f, u: ["wget", "-q", "-O", "-", "--tries=1", u],
    "python-urllib": lambda f, u: ["/usr/bin/python3", clients.script(f, "u.py", clients.PYTHON_FETCH), u],
    "python-requests": lambda f, u: ["/usr/bin/python3", "-c",
                                     "import sys, requests; r = requests.get(sys.argv[1]); print(r.status_code, r.text)", u],
    "node-https": lambda f, u: ["node", clients.script(f, "g.js", NODE_GET), u],
    "node-post": lambda f, u: ["node", clients.script(f, "p.js", NODE_POST), u],
    "node-fetch": lambda f, u: ["node", clients.script(f, "f.js", NODE_FETCH), u],
    "java-urlconnection": lambda f, u: ["java", clients.script(f, "Fetch.java", clients.JAVA_FETCH), u],
    "java-httpclient": lambda f, u: ["java", clients.script(f, "Client.java", JAVA_CLIENT), u],
    "ruby": lambda f, u: ["ruby", "-e", RUBY, u],
    "perl": lambda f, u: ["perl", "-e", PERL, u],
    "go": lambda f, u: [golang.program(), "get", u],
}


def _possible(program, command):
    servers.needs_program(str(command[0]))
    needs = {"python-requests": ["/usr/bin/python3", "-c", "import requests"],
             "perl": ["perl", "-MLWP::UserAgent", "-MLWP::Protocol::https", "-e", "1"],
             "node-fetch": ["node", "-e", "process.exit(typeof fetch === 'function' ? 0 : 1)"],
             "java-urlconnection": ["javac", "-version"], "java-httpclient": ["javac", "-version"]}.get(program)
    if needs and (not shutil.which(needs[0]) or subprocess.run(needs, capture_output=True).returncode):
        pytest.skip(f"{program} is not installed")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_program_is_inspected_and_shown(program, ran, site, folder):
    command = PROGRAMS[program](folder, _url(site, f"/{program}"))
    _possible(program, command)
    code, out, err, found = ran(*command)
    assert code == 0 and f"/{program}" in out and "origin:" in out, out + err
    _seen(found, f"/{program}")


@pytest.mark.parametrize("program", ["curl", "python-urllib", "node-https", "java-urlconnection", "ruby", "go"])
def test_a_server_that_does_not_verify_is_refused(program, ran, world, starts, folder):
    bad = starts(servers.Origin(servers.server_context(*world.files("elsewhere.test"))))
    command = PROGRAMS[program](folder, _url(bad))
    _possible(program, command)
    code, out, err, found = ran(*command)
    assert code != 0 and "origin:" not in out
    assert any(e.get("name") == "wrong-name" for e in found if events.kind(e) == "close"), found
    bad.wait_quiet()
    assert bad.received() == b""


def test_plain_http_of_a_program_is_shown_too(ran, starts):
    plain = starts(servers.Origin(None))
    code, out, err, found = ran("curl", "-q", "-sS", f"http://site.test:{plain.port}/plain")
    assert code == 0 and "/plain" in out, err
    assert any(events.is_request("/plain")(e) for e in found)


def test_openssl_s_client_finds_the_ca_by_the_environment(ran, site):
    code, out, err, found = ran("sh", "-c", "printf 'GET /s HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet "
                                "-verify_return_error -proxy ${https_proxy#http://} -connect " + f"site.test:{site.port}")
    assert "verify return:1" in err and "origin: GET /s" in out, out + err
    _seen(found, "/s")


def test_git_clones_through_it(ran, world, folder, starts):
    servers.needs_program("git")
    served = folder / "served"
    made = clients.run("sh", "-c", f"""set -e; git init -q {folder}/work; cd {folder}/work; echo text > file; git add file
        git -c user.name=a -c user.email=a@site.test commit -qm one; git clone -q --bare {folder}/work {served}/repo.git
        cd {served}/repo.git; git update-server-info""", env={"HOME": str(folder)})
    assert made.returncode == 0, made.stderr
    server = starts(_Files(world, served))
    code, out, err, found = ran("git", "clone", "-q", f"https://site.test:{server.port}/repo.git", folder / "copy")
    assert code == 0 and (folder / "copy" / "file").read_text() == "text\n", out + err
    assert any((e.get("path") or "").startswith("/repo.git/info/refs") for e in found)


class _Files(servers.Origin):
    """GET of files below a folder, and of made-up paths in `more`."""

    def __init__(self, world, root, more=None):
        self.root, self.more = pathlib.Path(root), more or {}
        super().__init__(servers.server_context(*world.files("site.test")), self._files)

    def _files(self, connection):
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                part = connection.recv()
                if not part:
                    return
                pending += part
            head, pending = pending.split(b"\r\n\r\n", 1)
            path = head.split(b" ")[1].decode().split("?")[0]
            body = self.more.get(path)
            if body is None and (self.root / path.lstrip("/")).is_file():
                body = (self.root / path.lstrip("/")).read_bytes()
            connection.send(servers.http_answer(body or b"", "200 OK" if body is not None else "404 Not Found"))


def test_npm_asks_its_registry_through_it(ran, world, folder, starts):
    servers.needs_program("npm")
    about = json.dumps({"name": "tiny", "dist-tags": {"latest": "1.2.3"}, "versions": {
        "1.2.3": {"name": "tiny", "version": "1.2.3", "dist": {"tarball": "https://site.test/x.tgz", "shasum": "0" * 40}}}})
    server = starts(_Files(world, folder, {"/tiny": about.encode()}))
    code, out, err, found = ran("npm", "view", "tiny", "version", "--registry", f"https://site.test:{server.port}/",
                                "--fetch-retries=0", "--cache", folder / "npm")
    assert code == 0 and "1.2.3" in out, out + err
    _seen(found, "/tiny")


def test_apt_updates_through_it(ran, world, folder, starts):
    servers.needs_program("apt-get")
    (folder / "repo").mkdir()
    (folder / "repo" / "Packages").write_text("Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: a\n"
                                              "Filename: ./t.deb\nSize: 1\nSHA256: " + "0" * 64 + "\n")
    server = starts(_Files(world, folder / "repo"))
    root = folder / "apt"
    for name in ("lists/partial", "cache/archives/partial", "etc"):
        (root / name).mkdir(parents=True)
    (root / "sources.list").write_text(f"deb [trusted=yes] https://site.test:{server.port}/ ./\n")
    (root / "status").write_text("")
    code, out, err, found = ran(
        "apt-get", "update", "-o", f"Dir::Etc::SourceList={root}/sources.list", "-o", "Dir::Etc::SourceParts=/none",
        "-o", f"Dir::State::Lists={root}/lists", "-o", f"Dir::State::Status={root}/status", "-o", f"Dir::Cache={root}/cache",
        "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=0")
    assert "certificate" not in (out + err).lower() and code == 0, out + err
    assert any((e.get("path") or "").endswith("Packages") for e in found), found


def test_programs_that_a_program_starts_are_seen_as_well(ran, site):
    code, out, err, found = ran("sh", "-c", f"curl -q -sS {_url(site, '/a')}; sh -c 'curl -q -sS {_url(site, '/b')}'")
    assert code == 0, out + err
    _seen(found, "/a")
    _seen(found, "/b")


def test_the_table_goes_to_standard_error_and_the_programs_output_stays_its_own(ran, site):
    code, out, err, _ = ran("curl", "-q", "-sS", _url(site, "/table"))
    assert out == "origin: GET /table 0"
    assert "site.test" in err and "/table" in err and "200" in err


def test_quiet_shows_nothing(ran, site):
    code, out, err, _ = ran("curl", "-q", "-sS", _url(site, "/quiet"), options=["-q"])
    assert code == 0 and err == "" and out == "origin: GET /quiet 0"


def test_no_proxy_of_the_shell_is_no_hole(ran, site):
    code, out, _, found = ran("curl", "-q", "-sS", _url(site, "/hole"), env={"no_proxy": "*", "NO_PROXY": ".test"})
    assert code == 0
    _seen(found, "/hole")


def test_what_the_user_had_set_for_wget_stays(ran, folder):
    (folder / "home" / ".wgetrc").write_text("user_agent = mine/1\n")
    assert "user_agent = mine/1\n" in ran("sh", "-c", "cat $WGETRC")[1]
    (folder / "rc").write_text("tries = 3\n")
    assert "tries = 3\n" in ran("sh", "-c", "cat $WGETRC", env={"WGETRC": str(folder / "rc")})[1]


def test_what_the_user_had_set_for_node_and_java_stays(ran):
    code, out, err, _ = ran("sh", "-c", "echo $NODE_OPTIONS; echo $JAVA_TOOL_OPTIONS",
                            env={"NODE_OPTIONS": "--max-http-header-size=20000", "JAVA_TOOL_OPTIONS": "-Xss1m"})
    node, java = out.splitlines()[:2]
    assert node.startswith("--max-http-header-size=20000 --require=") and java.startswith("-Xss1m -D")


def test_the_folder_of_the_run_is_private_and_gone_afterwards(ran, folder):
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    code, out, _, _ = ran("sh", "-c", "stat -c %a $(dirname $SSL_CERT_FILE); stat -c %a $(dirname $SSL_CERT_FILE)/*; "
                          "dirname $SSL_CERT_FILE; grep -l PRIVATE $(dirname $SSL_CERT_FILE)/*",
                          env={"XDG_RUNTIME_DIR": str(runtime)})
    lines = out.split()
    assert lines[0] == "700" and set(lines[1:-1]) == {"600"} and lines[-1].startswith(str(runtime))
    assert list(runtime.iterdir()) == []


def test_a_folder_with_a_space_and_a_quote_in_its_path_works(ran, site, folder):
    runtime = folder / 'a "strange" place'
    runtime.mkdir(mode=0o700)
    for program in ("curl", "node-https", "java-urlconnection"):
        command = PROGRAMS[program](folder, _url(site, f"/{program}"))
        if shutil.which(str(command[0])):
            code, out, err, _ = ran(*command, env={"XDG_RUNTIME_DIR": str(runtime)})
            assert code == 0 and "origin:" in out, program + out + err


def test_ctrl_c_ends_the_program_and_overt_after_it(world, folder):
    """SIGINT goes to the whole foreground group, as a terminal sends it."""
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    process = Process(overt.binary(), "exec", "--trust", world.trust, "--", sys.executable, "-c",
                      "import time\ntry:\n print('on', flush=True)\n time.sleep(60)\nexcept KeyboardInterrupt:\n print('int', flush=True)\n raise",
                      env={**clients.environment(), **overt.SANITIZER_OPTIONS, "XDG_RUNTIME_DIR": str(runtime)})
    with process:
        process.out.wait("on")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == 128 + signal.SIGINT
        assert "int" in process.out.text() and list(runtime.iterdir()) == []


def test_a_program_that_ignores_ctrl_c_goes_on(world):
    process = Process(overt.binary(), "exec", "--trust", world.trust, "--", "sh", "-c",
                      "trap '' INT; echo on; read line; echo got $line", stdin=subprocess.PIPE,
                      env={**clients.environment(), **overt.SANITIZER_OPTIONS})
    with process:
        process.out.wait("on")
        os.killpg(process.pid, signal.SIGINT)
        process.write(b"this\n")
        assert process.wait() == 0 and "got this" in process.out.text()


def test_killing_overt_leaves_no_proxy_behind(world, folder):
    process = Process(overt.binary(), "exec", "--trust", world.trust, "--", "sh", "-c", "echo $http_proxy; read line",
                      stdin=subprocess.PIPE, env={**clients.environment(), **overt.SANITIZER_OPTIONS,
                                                 "XDG_RUNTIME_DIR": str(folder)})
    with process:
        port = int(process.out.wait(r"http://127\.0\.0\.1:(\d+)")[1])
        process.popen.kill()
        eventually(lambda: not servers.listening(port), "the port is closed")


@pytest.mark.parametrize("command, code", [(["no-such-command-here"], 127), (["/etc/passwd"], 126), (["sh", "-c", "exit 42"], 42),
                                           (["sh", "-c", "kill -KILL $$"], 137)])
def test_exit_codes_are_those_of_a_shell(command, code, ran):
    assert ran(*command)[0] == code


def test_loopback_targets_need_no_rule_in_exec(world, site):
    code, out, err = overt.run("exec", "--trust", world.trust, "--", "curl", "-q", "-sS", _url(site, "/loop"))
    assert code == 0 and "origin: GET /loop" in out, out + err


def test_an_upstream_proxy_is_used_beneath_it(ran, site, starts):
    parent = starts(servers.Parent())
    code, out, err, _ = ran("curl", "-q", "-sS", _url(site, "/far"), options=["--upstream-proxy",
                                                                             f"http://127.0.0.1:{parent.port}"])
    assert code == 0 and parent.targets == [f"site.test:{site.port}"], out + err


def test_a_browser_profile_or_store_of_the_user_is_not_touched(ran, folder, site):
    ran("curl", "-q", "-sS", _url(site))
    assert [p for p in (folder / "home").rglob("*") if p.is_file()] == []
