"""The peers: how each is installed, configured, started, and reached. One class per program."""

import os
import pathlib
import subprocess
import tempfile
import time

import programs
from fault import Fault
from family import cpu_s, pss_kb
from origin import KINDS
from terminal import Terminal


class Run:
    """What all peers of a run share: folders, certificates, the origin, which CPUs are whose."""

    def __init__(self, folder, build, certs, origin, proxy_cpus, load_cpus):
        self.folder, self.build, self.certs, self.origin = folder, build, certs, origin
        self.proxy_cpus, self.load_cpus = proxy_cpus, load_cpus


class Peer:
    """A running proxy. Subclasses say the command and the files; `listen` holds its port for each kind of origin."""

    name = ""
    packages = ()
    intake = "plain TLS"  # how the client reaches it; unless CONNECT, each port of the origin has one of the peer's
    mints = True  # makes leaves of its own
    leaf = "p256"
    group = "X25519"  # of leg 1
    scale = 1.0  # of the usual counts: less for slow ones, so that a round stays short
    single = False  # one process that does it all, for a profiler
    patience_s = 20  # to begin listening
    remarks = ()

    def __init__(self, run):
        self.run = run
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.name.replace(' ', '-')}-", dir=run.folder))
        self.log = self.folder / "log"
        self.process = None
        one = programs.free_port()
        self.listen = {kind: one if self.intake == "CONNECT" else programs.free_port() for kind in KINDS}

    def command(self):
        """Writes the files it needs and returns the command."""
        raise NotImplementedError

    def environment(self):
        return {}

    def start(self):
        words = programs.on_cpus(self.run.proxy_cpus, self.command())
        with self.log.open("ab") as log:
            self.process = programs.start(words, env={**os.environ, **self.environment()}, cwd=self.folder,
                                          **self.streams(log))
        deadline = time.monotonic() + self.patience_s
        for port in sorted(set(self.listen.values())):
            while not programs.listening(port):
                if self.process.poll() is not None:
                    raise self.fault(f"ended at once, with status {self.process.returncode}")
                if time.monotonic() > deadline:
                    raise self.fault(f"did not listen within {self.patience_s} s")
                time.sleep(0.05)
        return self

    def streams(self, log):
        return {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}

    def stop(self):
        if self.process:
            programs.stop(self.process)
            self.process = None

    def fault(self, text):
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        return Fault(f"{self.name}: {text}", log[-3000:])

    def address(self, kind):
        """The load client's options that lead to that port of the origin."""
        words = ["--to", f"127.0.0.1:{self.listen[kind]}", "--ca", self.trusted(), "--leaf", self.leaf,
                 "--group", self.group]
        if self.intake == "CONNECT":
            words += ["--connect", f"127.0.0.1:{self.run.origin.ports[kind]}"]
        return words

    def trusted(self):
        """The trust anchor of what this peer shows its clients."""
        return self.run.certs.mint_ca if self.mints else self.run.certs.root

    def count(self, usual):
        return max(10, int(usual * self.scale))

    def cpu_s(self):
        return cpu_s(self.process.pid)

    def pss_kb(self):
        return pss_kb(self.process.pid)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def routes(self):
        """(kind, its port here, its port at the origin) for those that have one port in front of each."""
        return [(kind, self.listen[kind], self.run.origin.ports[kind]) for kind in KINDS]


class Haproxy(Peer):
    name = "haproxy"
    packages = ("haproxy",)
    mints = False
    remarks = ("fixed certificate; one thread, no log",)

    def command(self):
        certs = self.run.certs
        text = f"""global
  nbthread 1
  maxconn 4500
  ca-base {certs.folder}
defaults
  mode tcp
  timeout connect 10s
  timeout client 300s
  timeout server 300s
"""
        for kind, port, target in self.routes():
            text += f"""frontend {kind}
  bind 127.0.0.1:{port} ssl crt {certs.chain_and_key}
  default_backend to-{kind}
backend to-{kind}
  server origin 127.0.0.1:{target} ssl verify required ca-file {certs.root} sni ssl_fc_sni
"""
        return ["/usr/sbin/haproxy", "-db", "-f", self.write("haproxy.cfg", text)]


class Nginx(Peer):
    name = "nginx"
    packages = ("nginx-light", "libnginx-mod-stream")
    mints = False
    remarks = ("stream module, fixed certificate; one worker, no log",)

    def command(self):
        certs = self.run.certs
        text = f"""load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process {"off" if self.single else "on"};
pid {self.folder}/pid;
error_log {self.folder}/log warn;
worker_processes 1;
worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
stream {{
  ssl_certificate {certs.chain};
  ssl_certificate_key {certs.leaf_key};
  ssl_protocols TLSv1.3;
  proxy_timeout 300s;
  proxy_ssl on;
  proxy_ssl_protocols TLSv1.3;
  proxy_ssl_verify on;
  proxy_ssl_verify_depth 3;
  proxy_ssl_trusted_certificate {certs.root};
  proxy_ssl_server_name on;
  proxy_ssl_name $ssl_server_name;
"""
        for _, port, target in self.routes():
            text += f"  server {{ listen 127.0.0.1:{port} ssl backlog=4096; proxy_pass 127.0.0.1:{target}; }}\n"
        return ["/usr/sbin/nginx", "-e", self.log, "-c", self.write("nginx.conf", text + "}\n")]


class Sslsplit(Peer):
    name = "sslsplit"
    packages = ("sslsplit",)
    group = "prime256v1"
    remarks = ("has no option to check the name", "given a P-256 leaf key (its default is RSA)",
               "leg 1 with the group P-256: it has no X25519")

    def command(self):
        certs = self.run.certs
        words = ["/usr/bin/sslsplit", "-k", certs.mint_key, "-c", certs.mint_ca, "-K", certs.leaf_key,
                 "-o", "VerifyPeer=yes"]
        for _, port, target in self.routes():
            words += ["ssl", "127.0.0.1", port, "127.0.0.1", target]
        return words

    def environment(self):
        return {"SSL_CERT_FILE": str(self.run.certs.root), "SSL_CERT_DIR": str(self.folder)}


class Squid(Peer):
    name = "squid"
    packages = ("squid-openssl",)
    intake = "CONNECT"
    scale = 0.5
    remarks = ("SSL bump, no cache, no log",)

    def command(self):
        certs = self.run.certs
        for path in (certs.mint_ca, certs.mint_key, certs.root):
            (self.folder / path.name).write_bytes(path.read_bytes())
        database = self.folder / "ssl_db"
        helper = "/usr/lib/squid/security_file_certgen"
        subprocess.run([helper, "-c", "-s", database, "-M", "16MB"], stdout=subprocess.DEVNULL, check=True)
        config = self.write("squid.conf", f"""http_port 127.0.0.1:{self.listen["full"]} ssl-bump \
  generate-host-certificates=on dynamic_cert_mem_cache_size=16MB \
  tls-cert={self.folder}/{certs.mint_ca.name} tls-key={self.folder}/{certs.mint_key.name}
sslcrtd_program {helper} -s {database} -M 16MB
sslcrtd_children 4 startup=2 idle=1
tls_outgoing_options cafile={self.folder}/{certs.root.name}
acl step1 at_step SslBump1
acl step2 at_step SslBump2
ssl_bump peek step1
ssl_bump stare step2
ssl_bump bump all
http_access allow all
cache deny all
access_log none
cache_store_log none
cache_log {self.log}
pid_filename none
pinger_enable off
netdb_filename none
coredump_dir {self.folder}
visible_hostname bench
shutdown_lifetime 1 seconds
max_filedescriptors 16384
""")
        if os.getuid() == 0:
            # It drops to this user, who must own what it writes to.
            subprocess.run(["chown", "-R", "proxy:proxy", self.folder], check=True)
        return ["/usr/sbin/squid", "-N", "-f", config]


class Mitmproxy(Peer):
    name = "mitmproxy"
    packages = ("mitmproxy",)
    intake = "CONNECT"
    scale = 0.1
    remarks = ("mitmdump, no output; it holds whole bodies in memory",)

    def command(self):
        (self.folder / "mitmproxy-ca.pem").write_bytes(self.run.certs.mint_ca_and_key.read_bytes())
        return ["/usr/bin/mitmdump", "-q", "--mode", "regular", "--listen-host", "127.0.0.1", "-p", self.listen["full"],
                "--set", f"confdir={self.folder}", "--set", f"ssl_verify_upstream_trusted_ca={self.run.certs.root}"]


class Overt(Peer):
    """Without outputs (-q)."""

    name = "overt"
    intake = "reverse"
    table = False
    remarks = ("one worker; every process of it is counted",)

    def command(self):
        state = self.folder / "state"
        state.mkdir(mode=0o700, exist_ok=True)
        words = [self.run.build / "overt", "proxy", "--state", state, "--trust", self.run.certs.root, "--workers", 1,
                 "--rules", self.write("rules.yaml", "allow: [loopback]\n"), *([] if self.table else ["-q"]),
                 *(["--single"] if self.single else [])]
        for mode in self.listens():
            words += ["--listen", mode]
        return words

    def listens(self):
        if self.intake == "CONNECT":
            return [f"127.0.0.1:{self.listen['full']}"]
        return [f"reverse:127.0.0.1:{target}@127.0.0.1:{port}" for _, port, target in self.routes()]

    def environment(self):
        return {"TERM": "xterm-256color"} if self.table else {}

    def trusted(self):
        return self.folder / "state" / "ca.pem"


class OvertTable(Overt):
    """With the terminal table, on a terminal that somebody reads from."""

    name = "overt+table"
    table = True

    def __init__(self, run):
        super().__init__(run)
        self.terminal = None

    def streams(self, log):
        self.terminal = Terminal()
        return {"stdin": subprocess.DEVNULL, "stdout": self.terminal.writer, "stderr": log}

    def stop(self):
        super().stop()
        if self.terminal:
            self.terminal.close()


class OvertConnect(Overt):
    intake = "CONNECT"


class OvertTableConnect(OvertTable):
    intake = "CONNECT"


# Those of one name in the order in which they are tried: the first that starts is taken.
ALL = {
    "haproxy": [[Haproxy]],
    "nginx": [[Nginx]],
    "sslsplit": [[Sslsplit]],
    "squid": [[Squid]],
    "mitmproxy": [[Mitmproxy]],
    "overt": [[Overt, OvertConnect], [OvertTable, OvertTableConnect]],
}
