"""overt exec: one command, its HTTPS seen, nothing left behind."""

import os
import re
import signal

import pytest
from lab import clients, overt, servers, settings
from lab.proc import Process

pytestmark = overt.requires("exec --trust --rules")


@pytest.fixture
def run(world, folder):
    """run(*command, options=[...]): (code, stdout, stderr) under overt exec that trusts the lab's root."""
    (folder / "rules.yaml").write_text(settings.rules())

    def start(*command, options=(), env=None):
        return overt.run("exec", "--trust", world.trust, "--rules", folder / "rules.yaml", *options, "--", *command,
                         env={"XDG_DATA_HOME": str(folder / "data"), "HOME": str(folder), **(env or {})})
    return start


def _url(nginx, path="/"):
    return f"https://site.test:{nginx.port}{path}"


COMMANDS = {
    "curl": lambda url, folder: ["curl", "-q", "-sS", url],
    "wget": lambda url, folder: ["wget", "-q", "-O", "-", "--tries=1", url],
    "python": lambda url, folder: ["/usr/bin/python3", clients.script(folder, "f.py", clients.PYTHON_FETCH), url],
    "node": lambda url, folder: ["node", clients.script(folder, "f.js", clients.NODE_FETCH), url],
    "java": lambda url, folder: ["java", clients.script(folder, "Fetch.java", clients.JAVA_FETCH), url],
    "openssl": lambda url, folder: ["sh", "-c", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet "
                                    "-verify_return_error -proxy ${HTTPS_PROXY#http://} -connect " + url[8:-1]],
}


@pytest.mark.parametrize("program", COMMANDS)
def test_a_program_trusts_and_is_seen(program, run, nginx, folder):
    url = _url(nginx)
    command = COMMANDS[program](url, folder)
    servers.needs_program(command[0].split("/")[-1])
    code, out, err = run(*command)
    assert code == 0 and "nginx says hello" in out, out + err
    assert "site.test" in err + out and re.search(r"\b200\b", err + out), err + out


def test_git_trusts_and_is_seen(run, nginx):
    code, out, err = run("git", "ls-remote", _url(nginx, "/none.git"))
    assert code != 0 and "404" in out + err and "certificate" not in out + err, out + err


def test_npm_trusts_the_ca(run, nginx):
    servers.needs_program("npm")
    code, out, err = run("npm", "view", "some-package", "--registry", _url(nginx, "/files/"), "--fetch-retries=0")
    assert code != 0 and "E404" in out + err and "CERT" not in (out + err).upper().replace("CERTAINLY", ""), out + err


def test_apt_sees_the_proxy_and_the_ca_in_its_environment(run):
    code, out, _ = run("sh", "-c", "apt-config dump | grep -iE 'cainfo|proxy' || env | grep -i apt_config")
    assert code == 0 and out.strip()


@pytest.mark.parametrize("code", [0, 1, 7, 126])
def test_the_exit_code_is_the_commands(code, run):
    assert run("sh", "-c", f"exit {code}")[0] == code


def test_a_command_that_does_not_exist_is_127(run):
    code, _, err = run("no-such-command-here")
    assert code == 127 and "no-such-command-here" in err


def test_a_command_killed_by_a_signal_ends_as_a_shell_says_it(run):
    assert run("sh", "-c", "kill -TERM $$")[0] == 128 + signal.SIGTERM


def test_arguments_and_standard_input_arrive_as_they_are(run, world, folder):
    code, out, _ = run("printf", "%s|", "a b", "", "--state", "*", "$HOME")
    assert code == 0 and "a b||--state|*|$HOME|" in out


def test_no_command_is_an_error_of_use(run, world):
    code, _, err = overt.run("exec", "--trust", world.trust)
    assert code == 2 and re.search("command|usage", err, re.I), err


def test_nothing_is_left_on_disk_or_in_the_environment(run, folder):
    before = {p for p in folder.rglob("*")}
    code, out, _ = run("env")
    assert code == 0
    assert re.search(r"(?i)^https_proxy=http://127\.0\.0\.1:\d+", out, re.M)
    for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        path = re.search(rf"^{name}=(.*)$", out, re.M)
        assert path, f"{name} is not set"
        assert not os.path.exists(path.group(1)), f"{path.group(1)} is still there"
    assert not [p for p in folder.rglob("*.pem") if p not in before]
    assert "HTTPS_PROXY" not in os.environ


def test_the_ca_is_another_one_in_each_run(run):
    cas = {run("sh", "-c", "cat $CURL_CA_BUNDLE")[1] for _ in range(2)}
    assert len(cas) == 2


def test_the_systems_roots_stay_trusted_beside_the_ca(run, world):
    code, out, _ = run("sh", "-c", "grep -c BEGIN.CERTIFICATE $CURL_CA_BUNDLE")
    assert code == 0 and int(re.findall(r"^\d+$", out, re.M)[0]) >= 1


def test_a_signal_to_overt_reaches_the_command(world, folder):
    (folder / "rules.yaml").write_text(settings.rules())
    with Process(overt.binary(), "exec", "--trust", world.trust, "--rules", folder / "rules.yaml", "--", "sh", "-c",
                 "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done",
                 env={"XDG_DATA_HOME": str(folder / "data"), **overt.SANITIZER_OPTIONS}) as process:
        process.out.wait("ready")
        process.popen.send_signal(signal.SIGTERM)
        assert process.wait() == 5
        assert "caught" in process.out.text()


def test_an_upstream_that_does_not_verify_is_refused_here_too(run, world, starts):
    bad = starts(servers.Origin(servers.server_context(*world.files("elsewhere.test"))))
    code, out, err = run("curl", "-q", "-sS", f"https://site.test:{bad.port}/")
    assert code != 0
    bad.wait_quiet()
    assert bad.received() == b""


def test_outputs_work_on_exec(run, nginx, folder):
    code, _, err = run("curl", "-q", "-sS", _url(nginx, "/?seen"), options=["--jsonl", folder / "e.jsonl"])
    assert code == 0, err
    assert "/?seen" in (folder / "e.jsonl").read_text()


BEARER = ("-H", "Authorization: Bearer the-very-secret")


@pytest.mark.parametrize("options, config, shown", [
    ([], "", True), (["--show-secrets"], "show-secrets: false\n", True), (["--no-show-secrets"], "", False),
    (["--no-show-secrets"], "show-secrets: true\n", False), ([], "show-secrets: false\n", False)])
def test_credentials_are_shown_unless_it_is_said_otherwise(options, config, shown, run, nginx, folder):
    (folder / "overt.yaml").write_text(config)
    code, _, err = run("curl", "-q", "-sS", *BEARER, _url(nginx), options=[
        "--config", folder / "overt.yaml", "--jsonl", folder / "e.jsonl", *options])
    assert code == 0, err
    assert ("the-very-secret" in (folder / "e.jsonl").read_text()) == shown


def test_the_log_goes_to_the_file_and_the_table_stays(run, nginx, folder):
    code, _, err = run("curl", "-q", "-sS", _url(nginx), options=["--log", f"file:{folder / 'exec.log'}"])
    assert code == 0 and re.search(r"GET .*200", err), err
    assert "limits" in (folder / "exec.log").read_text() and "limits" not in err


def test_a_log_that_cannot_be_opened_is_said_once_and_nothing_is_started(run, folder):
    code, out, err = run("echo", "started", options=["--log", "file:/no/such/folder/log"])
    assert code == 2 and not out and err.count("/no/such/folder/log") == 1, err


@pytest.mark.parametrize("option", [["--workers", "2"], ["--single"]])
def test_options_without_a_meaning_here_are_not_known(option, run):
    code, _, err = run("true", options=option)
    assert code == 2 and f"unknown option {option[0]}" in err, err
