"""The programs of bench/keys: a collector, servers under the agent, loads."""

import json
import re
import subprocess
import time

import programs
from family import cpu_s, process_cpu_s, process_pss_kb
from fault import Fault

PATIENCE_S = 60
# Long enough that a busy machine does not end the waits that are to be measured.
DEADLINE_MS = 20000
# For a collector: one sender may send what many do, as fast as it can.
LARGE = ["--memory", "4GiB", "--client-memory", "4GiB", "--rate", "100000000"]
WAITS = re.compile(r"overt exec: (\d+) waits, p50 ([\d.]+) us, p99 ([\d.]+) us, ([\d.]+) s in all")
MISSED = re.compile(r"overt exec: (\d+) times a key was not taken in time")
LOAD = re.compile(r"seal ([\d.]+) ns/key; took [\d.]+ s: (\d+) keys/s; collector CPU [\d.]+ s: [\d.]+ us/key, (\d+) keys/s of")
BATCH = re.compile(r"batch acknowledged after p50 ([\d.]+) p90 [\d.]+ p99 ([\d.]+) max")
TAKEN = re.compile(r"overt exec: (\d+) keys: (\d+) under no grant; (\d+) sealed, of which the collector has (\d+)")

NGINX = """daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr notice; {user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
        location / {{ return 200 "ok\\n"; }}
    }}
}}
"""


def wait_for(path, pattern, process):
    """The first match in what the process writes to that file."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := re.search(pattern, path.read_text(errors="replace"))):
        if time.monotonic() > deadline or process.poll() is not None:
            raise Fault(f"{path.name}: nothing of {pattern}", path.read_text(errors="replace"))
        time.sleep(0.02)
    return found


class Place:
    """A collector with its certificates, and a grant that covers everything."""

    def __init__(self, build, folder, cpus=()):
        folder.mkdir()
        self.build, self.folder, self.dir, self.keys = build, folder, folder / "collect", folder / "keys"
        self.keys.mkdir()
        self.overt("collect", "init", "--dir", self.dir, "web1", "ops")
        self.overt("grant", "signer", "--dir", self.keys, "boss")
        (self.dir / "signers").write_bytes((self.keys / "boss.vkey").read_bytes())
        self.overt("grant", "key", "--dir", self.keys, "ops")
        self.grant = self.overt("grant", "new", "--signer", self.keys / "boss.key", "--reader", "ops", "--reader-key",
                                self.keys / "ops.pub", "--purpose", "a measurement", "--consent", "unilateral", "--reason",
                                "a measurement", "--until", "1d", "--name", "*", "--dir",
                                self.dir / "grants").split()[0]
        log = folder / "collector.log"
        with log.open("w") as out:
            self.process = programs.start(programs.on_cpus(cpus, [build / "overt", "collect", "--dir", self.dir, "--listen",
                                                                  "127.0.0.1:0", *LARGE]), stdout=out, stderr=out)
        self.address = wait_for(log, r"listening address=(\S+)", self.process)[1]

    def overt(self, *words):
        done = subprocess.run([self.build / "overt", *map(str, words)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Fault(f"overt {words[0]} {words[1]} failed", done.stderr)
        return done.stdout

    def sharing(self, name, options):
        """The words before a program whose keys go to the collector."""
        return [self.build / "overt", "exec", "--share", "--verbose", "--collector", self.address, "--certificate",
                self.dir / "web1.pem", "--grants", self.dir / "grants", "--signer", self.dir / "signers", "--audit",
                self.folder / f"{name}.audit", "--deadline", str(DEADLINE_MS), *options, "--"]

    def stop(self):
        programs.stop(self.process)


def nginx_words(folder, certs):
    port = programs.free_port()
    conf = folder / "nginx.conf"
    conf.write_text(NGINX.format(folder=folder, port=port, chain=certs.chain, key=certs.leaf_key, user="user root;"))
    return port, ["nginx", "-p", folder, "-c", conf, "-e", "stderr"]


class Server:
    """nginx with one worker, on CPUs of its own; `before` are the words of what it runs under."""

    def __init__(self, build, folder, certs, cpus, load_cpus, before=()):
        folder.mkdir()
        self.build, self.load_cpus, self.waits, self.missed = build, load_cpus, None, 0
        self.log = folder / "log"
        self.port, words = nginx_words(folder, certs)
        with self.log.open("w") as out:
            self.process = programs.start(programs.on_cpus(load_cpus, [*before, *programs.on_cpus(cpus, words)]),
                                          stdout=out, stderr=out)
        self.worker = int(wait_for(self.log, r"start worker process (\d+)", self.process)[1])
        self.shared = bool(before)

    def load(self, count, concurrency):
        """One round: microseconds per handshake by the clock, of nginx's CPU, and of the shipper's."""
        words = [self.build / "bench" / "keys_client", self.port, count, concurrency]
        before, shipper = process_cpu_s(self.worker), process_cpu_s(self.process.pid)
        done = subprocess.run(programs.on_cpus(self.load_cpus, words), capture_output=True, text=True, check=False)
        if done.returncode:
            raise Fault("the load failed", done.stdout + done.stderr + self.log.read_text()[-2000:])
        figures = json.loads(done.stdout)
        return {"each_us": figures["wall_s"] * 1e6 / count, "client_us": figures["cpu_s"] * 1e6 / count,
                "cpu_us": (process_cpu_s(self.worker) - before) * 1e6 / count,
                "shipper_us": (process_cpu_s(self.process.pid) - shipper) * 1e6 / count if self.shared else 0.0}

    def stop(self):
        programs.stop(self.process, PATIENCE_S)
        text = self.log.read_text(errors="replace")
        if found := WAITS.search(text):
            count = int(found[1])
            self.waits = {"count": count, "p50_us": float(found[2]), "p99_us": float(found[3]),
                          "mean_us": float(found[4]) * 1e6 / count if count else 0.0}
        if found := MISSED.search(text):
            self.missed = int(found[1])


def serve(place, certs, cpus, load_cpus, options, way):
    """nginx without the agent (options None) or under it."""
    name = way.replace(" ", "-")
    before = [] if options is None else place.sharing(name, options)
    return Server(place.build, place.folder / name, certs, cpus, load_cpus, before)


class Collecting(Place):
    """A collector under as many keys as one sender can send."""

    def __init__(self, build, folder, count):
        super().__init__(build, folder)
        self.count = count

    def measure(self):
        words = [self.build / "bench" / "keys_load", self.address, self.dir, "web1", self.keys / "ops.pub", self.grant,
                 self.count, 100, 16, self.process.pid]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
        found, batch = LOAD.search(done.stdout), BATCH.search(done.stdout)
        if done.returncode or not found or not batch:
            raise Fault("keys_load failed", done.stdout + done.stderr)
        return {"seal_us": float(found[1]) / 1e3, "keys_s": float(found[2]), "core_keys_s": float(found[3]),
                "p50_ms": float(batch[1]), "p99_ms": float(batch[2])}


class Applications:
    """Many processes at once under one shipper."""

    def __init__(self, build, folder, certs, count):
        self.place, self.count = Place(build, folder), count
        self.server = Server(build, folder / "server", certs, (), ())

    def measure(self):
        log = self.place.folder / "applications.log"
        words = [*self.place.sharing("applications", ["--ack", "host"]), self.place.build / "bench" / "keys_apps",
                 self.server.port, self.count]
        began = time.monotonic()
        with log.open("w") as out:
            run = programs.start(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, text=True)
        line = run.stdout.readline()
        wall = time.monotonic() - began
        if not line.startswith("answered "):
            raise Fault("keys_apps did not start", log.read_text())
        pss, cpu = process_pss_kb(run.pid), process_cpu_s(run.pid)
        run.stdin.write("\n")
        run.stdin.flush()
        code = run.wait(PATIENCE_S)
        text = log.read_text(errors="replace")
        taken, missed = TAKEN.search(text), MISSED.search(text)
        if code not in (0, 1) or not taken:
            raise Fault("overt exec failed", text)
        self.server.stop()
        self.place.stop()
        return {"answered": int(line.split()[1]), "taken": int(taken[4]), "missed": int(missed[1]) if missed else 0,
                "wall_s": wall, "pss_kb": pss, "cpu_us": cpu * 1e6}
