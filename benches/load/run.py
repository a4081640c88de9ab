#!/usr/bin/env python3
"""What does one request cost the proxy? CPU time per operation, Lockgate beside HAProxy and nginx.

Every contender runs the same workload in turn, on the same port, pinned to the same processor; its CPU time is read from
/proc before and after. Rounds are interleaved (A B C, C B A, ...) so that a machine that slows down hits all alike. Requests
per second would measure the load generator as much; CPU per request does not.

    benches/load/run.py                                  all workloads, lockgate against haproxy
    benches/load/run.py -w http,tls --rounds 7           two of them, longer
    benches/load/run.py -w http --contender nginx        a third contender
    benches/load/run.py -w http --contender 'old=/tmp/lockgate -f {haproxy}'
    benches/load/run.py --contender lockgate --contender haproxy --contender nginx --base best,haproxy
    benches/load/run.py -w http,http-syslog,http-rules,http-acls,http-page    what features add

Ends with status 1 when something failed.

Needs: wrk, h2load, openssl, haproxy, and `cargo build --release` done; nginx with libnginx-mod-stream, chromium for http-page. Ports
8000 (proxy), 9001-9032 (servers) and 9101 (log).
"""
import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
PROXY = ("127.0.0.1", 8000)
SERVERS = {
    "responder": ["127.0.0.2:9001", "127.0.0.2:9002"],
    "echo": ["127.0.0.2:9021", "127.0.0.2:9022"],
    "source": ["127.0.0.2:9031", "127.0.0.2:9032"],
}


@dataclass(frozen=True)
class Workload:
    """One kind of traffic. `unit`: req, conn, GiB, idle or checks."""
    what: str
    front: str          # which configs/*/NAME is rendered
    client: str         # which function below drives it
    unit: str = "req"
    servers: str = "responder"
    size: int = 100
    connections: int = 64
    streams: int = 1
    certificate: str = "ec"
    feature: str = ""       # what is added to the configuration, see FEATURES
    bare: str = ""          # who shows what the kernel alone costs: a relay, or an asker of questions


WORKLOADS = {
    "http": Workload("HTTP/1.1 keep-alive, 100 bytes, 64 connections", "http", "wrk", bare="relay"),
    "http-10k": Workload("HTTP/1.1 keep-alive, 10 KB", "http", "wrk", size=10240, bare="relay"),
    "http-1m": Workload("HTTP/1.1 keep-alive, 1 MB", "http", "wrk", unit="GiB", size=1 << 20, connections=16),
    "http-1m-up": Workload("HTTP/1.1 keep-alive, uploads of 1 MB", "http", "uploads", unit="GiB", size=1 << 20,
                           connections=16),
    "http-close": Workload("HTTP/1.1, a connection per request", "http", "wrk_close", unit="conn"),
    "tls": Workload("TLS 1.3 keep-alive, 100 bytes, ECDSA", "tls", "wrk"),
    "tls-10k": Workload("TLS 1.3 keep-alive, 10 KB, ECDSA", "tls", "wrk", size=10240),
    "tls-1m": Workload("TLS 1.3 keep-alive, 1 MB, ECDSA", "tls", "wrk", unit="GiB", size=1 << 20, connections=16),
    "tls-1m-up": Workload("TLS 1.3 keep-alive, uploads of 1 MB, ECDSA", "tls", "uploads", unit="GiB", size=1 << 20,
                          connections=16),
    "tls-full": Workload("TLS 1.3 full handshake and one request, ECDSA", "tls", "h2load_connections", unit="conn"),
    "tls-full-rsa": Workload("TLS 1.3 full handshake and one request, RSA 2048", "tls", "h2load_connections",
                             unit="conn", certificate="rsa"),
    "tls-resume": Workload("TLS 1.3 resumed handshake and one request", "tls", "tls_resume", unit="conn"),
    "h2": Workload("HTTP/2 over TLS, 100 bytes, 16 connections of 16 streams", "tls", "h2load",
                   connections=16, streams=16),
    "h2-10k": Workload("HTTP/2 over TLS, 10 KB, 16 connections of 16 streams", "tls", "h2load", size=10240,
                       connections=16, streams=16),
    "tcp": Workload("TCP, 64 bytes there and back, 64 connections", "tcp", "pingpong", servers="echo", bare="relay"),
    "tcp-bulk": Workload("TCP, download, 4 connections", "tcp", "bulk", unit="GiB", servers="source", connections=4),
    "idle": Workload("memory of an idle keep-alive connection", "http", "idle", unit="idle", connections=8000),
    "idle-tls": Workload("memory of an idle TLS keep-alive connection", "tls", "idle_tls", unit="idle", connections=4000),
    "http-syslog": Workload("as http, with httplog to syslog over UDP", "http", "wrk", feature="syslog"),
    "http-rules": Workload("as http, with ten header rules", "http", "wrk", feature="rules"),
    "http-acls": Workload("as http, with ten ACL conditions", "http", "wrk", feature="acls"),
    "http-page": Workload("as http, with the stats page open in a browser", "http", "wrk", feature="page"),
    "checks": Workload("500 backends of 4 servers, a TCP check each every 2 s", "http", "checks", unit="checks",
                       feature="checks", bare="asker"),
    "checks-http": Workload("500 backends of 4 servers, an HTTP check each every 2 s", "http", "checks", unit="checks",
                            feature="checks-http", bare="asker"),
}
# Answers nothing and reads nothing: what does not fit into its buffer is dropped by the kernel.
SYSLOG = ("127.0.0.1", 9101)


def many_backends(check):
    """Two servers under many names: checks do not care."""
    lines = []
    for number in range(500):
        lines.append(f"backend many{number}")
        lines.extend("    " + line for line in check)
        lines.extend(f"    server s{server} {address} check inter 2s" for server, address in
                     enumerate(("@FIRST@", "@SECOND@") * 2))
    return "\n".join(lines)


# By feature: lines for the defaults, for the frontend, and behind everything.
FEATURES = {
    "": ("", "", ""),
    "syslog": ("    option httplog\n    log %s:%d local0" % SYSLOG, "", ""),
    "rules": ("", "\n".join(f"    http-request set-header X-Bench-{n} value-{n}" for n in range(5))
              + "\n" + "\n".join(f"    http-response set-header X-Answer-{n} value-{n}" for n in range(5)), ""),
    "acls": ("", "\n".join(f"    http-request deny if {{ path_beg /forbidden-{n} }}" for n in range(5))
             + "\n" + "\n".join(f"    http-request deny if {{ hdr(user-agent) -m sub robot-{n} }}" for n in range(5)), ""),
    "page": ("", "    stats enable\n    stats uri /stats\n    stats refresh 2s", ""),
    "checks": ("", "", many_backends([])),
    "checks-http": ("", "", many_backends(["option httpchk GET /100"])),
}

CONTENDERS = {
    "lockgate": str(ROOT / "target/release/lockgate") + " run -q -f {haproxy}",
    "haproxy": "haproxy -db -f {haproxy}",
    "nginx": "nginx -c {nginx}",
    "relay": "{tool} relay {listen} {servers}",
    "asker": "{tool} asker 1000 {question} {servers}",
}


@dataclass
class Result:
    """One run of one contender: its cost per operation, and what makes the number believable."""
    cost: float
    rate: float
    errors: int
    busy: float = 0.0
    p50_us: float | None = None
    p99_us: float | None = None


@dataclass
class Bench:
    """What stays the same over all runs."""
    options: argparse.Namespace
    work: Path
    tool: Path
    proxy_cpus: set[int]
    load_cpus: set[int]
    processes: list[subprocess.Popen] = field(default_factory=list)

    def start(self, command, cpus, **how):
        def prepare():
            os.sched_setaffinity(0, cpus)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored by whatever a shell runs in the background

        process = subprocess.Popen(command, preexec_fn=prepare, **how)
        self.processes.append(process)
        return process

    def stop(self, process):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        if process.poll() is None:
            process.kill()
            process.wait()
        self.processes.remove(process)

    def run(self, command, seconds):
        done = subprocess.run(command, preexec_fn=lambda: os.sched_setaffinity(0, self.load_cpus), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + 60)
        return done.stdout


# --- what the proxy used -------------------------------------------------------------------------------------------

def family(pid):
    """The process and all its descendants."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parents[int(name)] = int(Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()[1])
    found = [pid]
    for one in found:
        found.extend(child for child, parent in parents.items() if parent == one)
    return found


def cpu_seconds(pid):
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident_bytes(pid):
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            match = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{one}/status").read_text())
            total += int(match[1]) if match else 0
    return total * 1024


# --- clients: each returns operations, seconds, errors, p50, p99 ----------------------------------------------------

def url(workload, size=None):
    scheme = "https" if workload.front == "tls" else "http"
    return f"{scheme}://{PROXY[0]}:{PROXY[1]}/{size or workload.size}"


def micros(text):
    number, unit = re.match(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def wrk(bench, workload, seconds, headers=()):
    said = bench.run(["wrk", "-t1", f"-c{workload.connections}", f"-d{max(1, round(seconds))}s", "--latency",
                      *headers, url(workload)], seconds)
    done = re.search(r"(\d+) requests in ([\d.]+\w+)", said)
    if not done:
        raise RuntimeError("wrk: " + said)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    errors = (int(bad[1]) if bad else 0) + (sum(map(int, lost.groups())) if lost else 0)
    latency = {part: micros(re.search(r"(?m)^\s+" + part + r"%\s+(\S+)", said)[1]) for part in ("50", "99")}
    return int(done[1]), micros(done[2]) / 1e6, errors, latency["50"], latency["99"]


def wrk_close(bench, workload, seconds):
    return wrk(bench, workload, seconds, ("-H", "Connection: close"))


def h2load(bench, workload, seconds):
    said = bench.run(["h2load", "-t1", f"-c{workload.connections}", f"-m{workload.streams}", f"-D{max(1, round(seconds))}",
                      url(workload)], seconds)
    done = re.search(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored", said)
    if not done:
        raise RuntimeError("h2load: " + said)
    return int(done[1]), max(1, round(seconds)), int(done[2]) + int(done[3]), None, None


def h2load_batches(bench, seconds, how):
    """Fixed numbers of requests, again and again."""
    ops, errors, begin = 0, 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        said = bench.run(["h2load", "-t1", "--h1", *how], seconds)
        done = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", said)
        if not done:
            raise RuntimeError("h2load: " + said)
        ops += int(done[1])
        errors += int(done[2]) + int(done[3])
    return ops, time.monotonic() - begin, errors, None, None


def h2load_connections(bench, workload, seconds):
    """A new TLS connection for each request: batches, because h2load opens all its connections at once."""
    return h2load_batches(bench, seconds, ["-n50", "-c50", url(workload)])


def uploads(bench, workload, seconds):
    """Bodies of the workload's size go up, answers are small: batches, because h2load does not find an end by time here."""
    body = bench.work / "upload"
    body.write_bytes(b"u" * workload.size)
    return h2load_batches(bench, seconds, [f"-n{50 * workload.connections}", f"-c{workload.connections}", "-d", body,
                                           url(workload, 100)])


def from_json(said):
    value = json.loads(said.strip().splitlines()[-1])
    return value.get("ops", 0), value["secs"], value["errors"], value.get("p50_us"), value.get("p99_us"), value.get("bytes")


def tls_resume(bench, workload, seconds):
    command = [sys.executable, str(HERE / "tls_client.py"), "resume", "%s:%d" % PROXY, str(seconds)]
    return from_json(bench.run(command, seconds))[:5]


def pingpong(bench, workload, seconds):
    command = [bench.tool, "pingpong", "%s:%d" % PROXY, str(workload.connections), str(seconds)]
    return from_json(bench.run(command, seconds))[:5]


def bulk(bench, workload, seconds):
    command = [bench.tool, "bulk", "%s:%d" % PROXY, str(workload.connections), str(seconds)]
    _, secs, errors, _, _, received = from_json(bench.run(command, seconds))
    return received, secs, errors, None, None


# --- one run ------------------------------------------------------------------------------------------------------

def rendered(bench, kind, workload, where):
    """A contender's configuration for this workload; `None` when it has none."""
    template = next((HERE / "configs" / kind).glob(workload.front + ".*"), None)
    if template is None:
        return None
    first, second = SERVERS[workload.servers]
    text = template.read_text()
    if workload.feature and kind == "nginx":
        return None
    defaults, frontend, behind = FEATURES[workload.feature]
    text = text.replace("@DEFAULTS@", defaults).replace("@FRONTEND@", frontend).replace("@BEHIND@", behind)
    # HAProxy wants two descriptors for each connection and one for each server within the usual limit of 20,000.
    connections = 7000 if workload.unit == "checks" else 9000
    for name, value in (("THREADS", bench.options.threads), ("CONNECTIONS", connections), ("LISTEN", "%s:%d" % PROXY),
                        ("FIRST", first), ("SECOND", second),
                        ("CERTIFICATE", bench.work / f"{workload.certificate}.pem"), ("DIR", where)):
        text = text.replace(f"@{name}@", str(value))
    path = where / template.name
    path.write_text(text)
    return path


def wait_until_it_serves(workload, process):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}")
        with contextlib.suppress(OSError, ssl.SSLError):
            raw = socket.create_connection(PROXY, 1)
            if workload.front == "tcp":
                return raw.close()
            if workload.front == "tls":
                context = ssl._create_unverified_context()
                raw = context.wrap_socket(raw, server_hostname="bench")
            raw.settimeout(2)
            raw.sendall(f"GET /{workload.size} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while piece := raw.recv(1 << 16):
                answer += piece
            head, _, body = answer.partition(b"\r\n\r\n")
            # A number counts only for a proxy that does the work.
            if head.startswith(b"HTTP/1.1 200") and len(body) == workload.size:
                return None
        time.sleep(0.05)
    raise RuntimeError("it does not serve")


def measure(bench, name, command, workload):
    where = bench.work / name
    where.mkdir(exist_ok=True)
    bare = "{tool}" in command
    if bare and (not workload.bare or workload.bare not in command):
        return None
    values = {"tool": bench.tool, "listen": "%s:%d" % PROXY, "servers": " ".join(SERVERS[workload.servers]),
              "question": "/100" if workload.feature == "checks-http" else "-"}
    for kind in ("haproxy", "nginx"):
        if "{%s}" % kind in command:
            values[kind] = rendered(bench, kind, workload, where)
            if values[kind] is None:
                return None
    log = (where / "log").open("ab")
    browser = None
    process = bench.start(shlex.split(command.format(**values)), bench.proxy_cpus, stdout=log, stderr=log)
    try:
        # An asker serves nobody.
        if not (bare and workload.unit == "checks"):
            wait_until_it_serves(workload, process)
        if workload.unit == "idle":
            return idle(bench, workload, process)
        if workload.unit == "checks":
            return checks(bench, process)
        if workload.feature == "page":
            browser = bench.start(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
                                   f"--user-data-dir={where}/chromium", "http://%s:%d/stats" % PROXY], bench.load_cpus,
                                  stdout=log, stderr=log)
            time.sleep(2)
        drive = globals()[workload.client]
        drive(bench, workload, bench.options.warm)
        before, begin = cpu_seconds(process.pid), time.monotonic()
        ops, seconds, errors, p50, p99 = drive(bench, workload, bench.options.seconds)
        used, elapsed = cpu_seconds(process.pid) - before, time.monotonic() - begin
    finally:
        if browser:
            bench.stop(browser)
        bench.stop(process)
    if workload.unit == "GiB":
        gib = (ops if workload.client == "bulk" else ops * workload.size) / 2**30
        return Result(used * 1e3 / gib, gib / seconds, errors, used / elapsed, p50, p99)
    return Result(used * 1e6 / max(ops, 1), ops / seconds, errors, used / elapsed, p50, p99)


def checks(bench, process):
    """Percent of one processor while nothing but checks goes on."""
    time.sleep(4)
    before, begin = cpu_seconds(process.pid), time.monotonic()
    time.sleep(max(4, bench.options.seconds))
    used, elapsed = cpu_seconds(process.pid) - before, time.monotonic() - begin
    return Result(100 * used / elapsed, 0, 0, used / elapsed)


def idle(bench, workload, process):
    """Bytes per connection that has had its answer and waits."""
    time.sleep(0.5)
    before = resident_bytes(process.pid)
    to, count = "%s:%d" % PROXY, str(workload.connections)
    command = [bench.tool, "idle", to, count] if workload.client == "idle" else \
        [sys.executable, str(HERE / "tls_client.py"), "idle", to, count]
    client = bench.start(command, bench.load_cpus, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    held = json.loads(client.stdout.readline())["held"]
    time.sleep(1)
    after = resident_bytes(process.pid)
    client.stdin.close()
    client.wait(30)
    bench.processes.remove(client)
    return Result((after - before) / max(held, 1), held, workload.connections - held)


UNITS = {"req": "us/request", "conn": "us/connection", "GiB": "ms/GiB", "idle": "bytes/connection",
         "checks": "% of a processor"}


def table(name, workload, results, bases):
    """Markdown: medians, and the spread of the ratios between runs of the same round."""
    rounds = max(map(len, results.values()), default=0)
    print(f"\n### {name}: {workload.what} ({rounds} rounds)\n")
    ratios = "".join(f" to {base}: min | median | max |" for base in bases)
    print(f"| | {UNITS[workload.unit]} |{ratios} rate/s | busy | p50 us | p99 us | errors |")
    print("|---" * (7 + 3 * len(bases)) + "|")
    middle = lambda values: statistics.median(values) if values else float("nan")
    show = lambda values: "%.0f" % middle(values) if values else "-"
    for contender, runs in results.items():
        if not runs:
            print(f"| {contender} | none |")
            continue
        cells = ["%.2f" % middle([run.cost for run in runs])]
        for base in bases:
            ratios = [run.cost / of for run, of in zip(runs, costs_of(base, results)) if of] or [float("nan")]
            cells += ["%.2f" % of(ratios) for of in (min, middle, max)]
        cells += ["%.2f" % middle([run.rate for run in runs]), "%.2f" % middle([run.busy for run in runs]),
                  show([run.p50_us for run in runs if run.p50_us]), show([run.p99_us for run in runs if run.p99_us]),
                  str(sum(run.errors for run in runs))]
        print(f"| {contender} | {' | '.join(cells)} |")
    sys.stdout.flush()


def costs_of(base, results):
    """What the one that ratios are to cost in each round; `best` is the cheaper of haproxy and nginx."""
    if base != "best":
        return [run.cost for run in results[base]]
    peers = [[run.cost for run in results[name]] for name in ("haproxy", "nginx") if results.get(name)]
    return [min(costs) for costs in zip(*peers)]


# --- setting up -----------------------------------------------------------------------------------------------------

def refuse_company():
    """A proxy left behind would share the port with the contenders (SO_REUSEPORT), and no figure would be worth anything."""
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(PROXY, 1).close()
        sys.exit("somebody is listening on %s:%d already" % PROXY)


def build_tool():
    subprocess.run(["cargo", "build", "-q", "--profile", "quick", "--example", "load_tool"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "quick/examples/load_tool"


def make_certificates(work):
    for name, key in (("ec", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]), ("rsa", ["rsa:2048"])):
        subprocess.run(["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", "30", "-subj", "/CN=bench", "-addext",
                        "subjectAltName=DNS:bench", "-keyout", work / "key", "-out", work / "cert"],
                       check=True, stderr=subprocess.DEVNULL)
        path = work / f"{name}.pem"
        path.write_text((work / "cert").read_text() + (work / "key").read_text())
        path.chmod(0o600)


def contenders(asked):
    chosen = {}
    for one in asked or ["lockgate", "haproxy"]:
        name, given, command = one.partition("=")
        chosen[name] = command if given else CONTENDERS[name]
    return chosen


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-w", "--workload", default=",".join(WORKLOADS), help="comma list of: " + ", ".join(WORKLOADS))
    parser.add_argument("--contender", action="append", metavar="NAME[=COMMAND]",
                        help="lockgate, haproxy, nginx, relay and asker (look at nothing: what the kernel "
                             "alone costs) or NAME=COMMAND with {haproxy} or {nginx} for the rendered file; repeat")
    parser.add_argument("--base", default="haproxy", help="comma list of whom ratios are to; best: the cheaper of haproxy and nginx in the same round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of one measured run")
    parser.add_argument("--warm", type=float, default=1, help="seconds before each")
    parser.add_argument("--threads", type=int, default=1, help="of the proxy, and processors it is pinned to")
    parser.add_argument("--keep", action="store_true", help="keep logs and rendered files")
    return parser.parse_args()


def main():
    given = options()
    # Also who is told to end ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    refuse_company()
    chosen = contenders(given.contender)
    bases = [base for base in given.base.split(",") if base in chosen or base == "best"] or [next(iter(chosen))]
    work = Path(tempfile.mkdtemp(prefix="lockgate-load-"))
    cpus = sorted(os.sched_getaffinity(0))
    proxy_cpus = set(cpus[:given.threads])
    bench = Bench(given, work, build_tool(), proxy_cpus, set(cpus) - proxy_cpus or set(cpus))
    try:
        make_certificates(work)
        for kind, addresses in SERVERS.items():
            for address in addresses:
                bench.start([bench.tool, kind, address], bench.load_cpus)
        log_sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        log_sink.bind(SYSLOG)
        time.sleep(0.3)
        if any(process.poll() is not None for process in bench.processes):
            sys.exit("a server did not start; are ports 9001-9032 of 127.0.0.2 free?")
        failed = False
        for name in given.workload.split(","):
            workload = WORKLOADS[name]
            results = {contender: [] for contender in chosen}
            for number in range(min(given.rounds, 3) if workload.unit == "idle" else given.rounds):
                order = list(chosen.items())
                for contender, command in order if number % 2 == 0 else reversed(order):
                    try:
                        result = measure(bench, contender, command, workload)
                    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                        print(f"{name} {contender}: {error}", file=sys.stderr)
                        result, failed = None, True
                    if result:
                        results[contender].append(result)
                        failed |= result.errors > 0
            table(name, workload, results, bases)
    finally:
        for process in list(bench.processes):
            bench.stop(process)
        if given.keep:
            print(f"kept: {work}", file=sys.stderr)
        else:
            shutil.rmtree(work, ignore_errors=True)
    return int(failed)


sys.exit(main())
