#!/usr/bin/env python3
"""Does anything stay behind? Mixed load with faults, and at the end everything must be as it was at the start.

    benches/load/soak.py                                ten minutes against target/release/lockgate
    benches/load/soak.py --seconds 60 --binary target/debug/lockgate

Clients: HTTP/1.1 kept alive, closed, pipelined, TLS 1.2 and 1.3 (new and resumed), HTTP/2, TCP, TCP in TLS; uploads small and of
megabytes, whole and given up; slow readers; aborting ones, ones that leave at once, in a handshake or in a record; garbage. Servers:
answer at once, late, in drips, in chunks, without a length; half-close, reset, are killed and come back; one speaks TLS, and the proxy
is a server of its own over HTTP/1 and HTTP/2. The configuration and a certificate that changed are read again every few seconds. Then
the load ends, and is held against what the proxy says of itself:

  * nothing is counted as there: sessions, queue, idle server connections
  * descriptors are back where they began, memory did not grow after the warm-up
  * no panic in the log, the process is alive, and ends when told to
  * counters agree with each other and with what the clients did, and each kind of client has succeeded
  * no byte was changed, and bulk was spliced

Everything is in this one process besides the proxy; ports are free ones. Needs Python 3.11 and openssl. Ends with 0 or 1.
"""
import argparse
import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from soak_clients import Load
from soak_servers import Server, application, echo

ROOT = Path(__file__).resolve().parent.parent.parent
# Pipes that workers keep for the next splice, by design: 64 each, two descriptors a pipe (src/proxy/buffers.rs).
KEPT_PIPES = 2 * 2 * 64
# Idle server connections are closed well within this.
AT_REST = 60

CONFIG = """
global
    log stdout format raw local0
    stats socket {dir}/admin.sock level admin
    nbthread 2
    maxconn 4000
defaults
    mode http
    log global
    option httplog
    option redispatch
    retries 2
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    timeout queue 2s
    timeout http-request 3s
    timeout http-keep-alive 3s
    timeout check 500ms
frontend http
    bind 127.0.0.1:{http}
    option forwardfor
    http-request set-header X-Generation {generation}
    http-request deny if {{ path_beg /denied }}
    use_backend again1 if {{ path_beg /again1/ }}
    use_backend again2 if {{ path_beg /again2/ }}
    default_backend app
frontend https
    bind 127.0.0.1:{https} ssl crt {dir}/site.pem alpn h2,http/1.1
    default_backend app
frontend tcp
    mode tcp
    option tcplog
    bind 127.0.0.1:{tcp}
    default_backend echo
frontend tls
    mode tcp
    option tcplog
    bind 127.0.0.1:{tls} ssl crt {dir}/site.pem
    default_backend echo
# Through the proxy once more.
backend again1
    server self 127.0.0.1:{https} ssl verify none sni str(localhost) alpn http/1.1
backend again2
    server self 127.0.0.1:{https} ssl verify none sni str(localhost) alpn h2
backend app
    option httpchk GET /health
    default-server check inter 300ms fall 2 rise 1 maxconn 12
    server a 127.0.0.1:{app0} weight {weight}
    server b 127.0.0.1:{app1}
    server c 127.0.0.1:{app2}
    server d 127.0.0.1:{app3} ssl verify none
backend echo
    mode tcp
    server a 127.0.0.1:{echo0} check inter 300ms
    server b 127.0.0.1:{echo1} check inter 300ms
"""


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


class Proxy:
    """The process that is looked at."""

    def __init__(self, binary, directory, ports):
        self.binary, self.directory, self.ports, self.generation = binary, directory, ports, 0
        self.config, self.log = directory / "soak.cfg", directory / "log"
        self.write_config()

    def write_config(self):
        self.generation += 1
        new = self.directory / "new.pem"
        new.write_bytes((self.directory / f"{self.generation % 2}.pem").read_bytes())
        new.rename(self.directory / "site.pem")
        self.config.write_text(CONFIG.format(
            dir=self.directory, generation=self.generation, weight=1 + self.generation % 3, **self.ports))

    def start(self):
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([self.binary, "-f", self.config], stdout=log, stderr=subprocess.STDOUT)

    def reload(self):
        self.write_config()
        self.process.send_signal(random.choice([signal.SIGHUP, signal.SIGUSR2]))

    def descriptors(self):
        return sorted(os.readlink(f"/proc/{self.process.pid}/fd/{fd}").split(":")[0]
                      for fd in os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident(self):
        """Bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(10)
            admin.connect(str(self.directory / "admin.sock"))
            admin.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()

    def stat(self):
        lines = [line for line in self.ask("show stat").splitlines() if line]
        names = lines[0].removeprefix("# ").split(",")
        return [dict(zip(names, line.split(","))) for line in lines[1:]]

    def info(self):
        return dict(line.split(": ", 1) for line in self.ask("show info").splitlines() if ": " in line)

    def at_work(self):
        """Every gauge that is not at rest. The conversation that asks is not counted by any of them."""
        gauges = {f"{row['pxname']}/{row['svname']} {name}": row.get(name) for row in self.stat()
                  for name in ("scur", "qcur", "idle_conn_cur", "used_conn_cur", "srv_icur")}
        info = self.info()
        gauges |= {name: info.get(name) for name in ("CurrConns", "CurrSslConns")}
        return {name: value for name, value in gauges.items() if value not in (None, "", "0")}


def number(row, name):
    return int(row.get(name) or 0)


def inconsistencies(proxy, load):
    """Counters that contradict each other or what the clients know they did."""
    found = []
    rows = {(row["pxname"], row["svname"]): row for row in proxy.stat()}
    answers = lambda row: sum(number(row, f"hrsp_{kind}") for kind in ("1xx", "2xx", "3xx", "4xx", "5xx", "other"))
    for name in ("http", "https"):
        row = rows[name, "FRONTEND"]
        if answers(row) != number(row, "req_tot"):
            found.append(f"{name}: {number(row, 'req_tot')} requests, {answers(row)} answers")
    for name in ("http", "https", "tcp", "tls"):
        seen, made = number(rows[name, "FRONTEND"], "conn_tot"), load.connected[name]
        # A TLS handshake that failed is a connection to the proxy and none to the client; it is its own client as well.
        if not made <= seen <= made + load.did.total() * (name in ("https", "tls")):
            found.append(f"{name}: {made} connections made, {seen} counted")
    for backend in ("app", "echo"):
        servers = [row for (proxy_name, server), row in rows.items() if proxy_name == backend and server not in ("BACKEND", "FRONTEND")]
        for name in ("lbtot", "econ", "wretr", "wredis"):
            whole, parts = number(rows[backend, "BACKEND"], name), sum(number(row, name) for row in servers)
            if whole < parts:
                found.append(f"{backend}: {name} is {whole}, its servers' {parts}")
    return found


async def faults(servers, load):
    while load.going:
        await asyncio.sleep(random.uniform(1, 4))
        server = random.choice(servers)
        await server.kill()
        await asyncio.sleep(random.uniform(0.1, 2))
        await server.start()


async def reloads(proxy, load):
    while load.going:
        await asyncio.sleep(5)
        proxy.reload()


async def memory(proxy, load, samples):
    while load.going:
        await asyncio.sleep(1)
        if proxy.process.poll() is None:
            samples.append(proxy.resident())


async def until(what, holds, seconds):
    end = time.monotonic() + seconds
    while not (value := holds()):
        if time.monotonic() > end:
            return f"not within {seconds} s: {what}"
        await asyncio.sleep(0.2)
    return None


def grown(samples):
    """How much more memory the last quarter took than the second: the first is the warm-up. `None` when flat."""
    quarter = len(samples) // 4
    if quarter < 5:
        return None
    middle = lambda part: sorted(part)[len(part) // 2]
    before, after = middle(samples[quarter:2 * quarter]), middle(samples[-quarter:])
    return None if after <= before * 1.10 + (4 << 20) else f"memory grew from {before >> 10} to {after >> 10} KiB under load"


def told_of(loop, context):
    """asyncio complains of its own when a connection is reset before it has ended its side."""
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)


async def soak(args, directory):
    asyncio.get_running_loop().set_exception_handler(told_of)
    names = ["http", "https", "tcp", "tls", "app0", "app1", "app2", "app3", "echo0", "echo1"]
    ports = dict(zip(names, free_ports(len(names))))
    for n in range(2):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                        "-subj", "/CN=localhost", "-keyout", directory / "key", "-out", directory / f"{n}.crt"],
                       check=True, stderr=subprocess.DEVNULL)
        (directory / f"{n}.pem").write_bytes((directory / f"{n}.crt").read_bytes() + (directory / "key").read_bytes())
    contexts = []
    for protocols, latest in ((["http/1.1"], ssl.TLSVersion.TLSv1_3), (["h2"], ssl.TLSVersion.TLSv1_3),
                              (["http/1.1"], ssl.TLSVersion.TLSv1_2)):
        context = ssl.create_default_context(cadata="".join((directory / f"{n}.crt").read_text() for n in range(2)))
        context.set_alpn_protocols(protocols)
        context.maximum_version = latest
        contexts.append(context)
    as_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    as_server.load_cert_chain(directory / "0.pem")
    servers = [Server(ports[f"app{n}"], application, as_server if n == 3 else None) for n in range(4)]
    servers += [Server(ports[f"echo{n}"], echo) for n in range(2)]
    for server in servers:
        await server.start()
    proxy = Proxy(args.binary, directory, ports)
    proxy.start()
    wrong = []
    try:
        wrong += filter(None, [await until("it serves", lambda: b"serving" in proxy.log.read_bytes(), 20)])
        if wrong:
            return wrong + [proxy.log.read_text(errors="replace")[-2000:]]
        load = Load(ports, *contexts)
        await load.kept_alive()
        await load.http2()
        # Threads and descriptors that come with first use are there now; what comes later has to go.
        wrong += filter(None, [await until("it is at rest after a first request", lambda: not proxy.at_work(), AT_REST)])
        proxy.reload()
        await asyncio.sleep(1)
        descriptors = proxy.descriptors()
        kinds = {load.kept_alive: 8, load.over_tls: 4, load.http2: 4, load.closing: 6, load.pipelined: 2, load.upload: 4,
                 load.bulk_upload: 3, load.slow_reader: 6, load.abort: 8, load.leave: 4, load.resumed: 2, load.hostile_tls: 3,
                 load.garbage: 2, load.through_tcp: 4, load.tcp_in_tls: 3}
        clients = [asyncio.create_task(load.client(kind)) for kind, count in kinds.items() for _ in range(count * args.clients)]
        samples = []
        beside = [asyncio.create_task(task) for task in
                  (faults(servers, load), reloads(proxy, load), memory(proxy, load, samples))]
        end = time.monotonic() + args.seconds
        while time.monotonic() < end and proxy.process.poll() is None:
            await asyncio.sleep(1)
        load.going = False
        await asyncio.gather(*clients, *beside)
        for server in servers:
            await server.start()
        wrong += await verdict(proxy, load, samples, descriptors)
        told(proxy, load, samples)
        return wrong
    finally:
        if proxy.process.poll() is None:
            proxy.process.kill()
        proxy.process.wait()
        for server in servers:
            await server.kill()


async def verdict(proxy, load, samples, descriptors):
    if proxy.process.poll() is not None:
        return [f"the process ended with {proxy.process.returncode}", proxy.log.read_text(errors="replace")[-2000:]]
    wrong = [f"{what} ({count} times)" for what, count in load.failures.items()]
    # Whatever a test asks through the socket comes and goes; only what stays counts.
    if await until("everything is at rest", lambda: not proxy.at_work(), AT_REST):
        wrong.append(f"not at rest {AT_REST} s after the load: {proxy.at_work()}")
    proxy.reload()
    await asyncio.sleep(1)

    def left_open():
        more = Counter(proxy.descriptors())
        more.subtract(descriptors)
        more["pipe"] = max(0, more["pipe"] - KEPT_PIPES)
        return {kind: count for kind, count in more.items() if count > 0}

    if await until("descriptors", lambda: not left_open(), 10):
        wrong.append(f"descriptors left open: {left_open()}")
    wrong += filter(None, [grown(samples)])
    wrong += inconsistencies(proxy, load)
    panics = proxy.info().get("Panics", "0")
    text = proxy.log.read_text(errors="replace")
    if panics != "0" or "panicked at" in text or "defect in thread" in text:
        wrong.append(f"{panics} panics: " + "; ".join(re.findall(r".*(?:panicked at|defect in thread).*", text)[:5]))
    never = [kind for kind in ("bulk upload http", "bulk upload https", "slow reader", "leave", "session resumed", "TCP", "TCP in TLS",
                               "HTTP/2") if not load.whole[kind]]
    if "status 200" not in load.did or never:
        wrong.append(f"some kind of traffic never succeeded: {never}: the load is not what it says")
    if not int(proxy.info().get("TotalSplicedBytesOut", "0")):
        wrong.append("nothing was spliced")
    proxy.process.send_signal(signal.SIGTERM)
    if await until("it ends when told to", lambda: proxy.process.poll() is not None, 40):
        wrong.append("it does not end on SIGTERM")
    elif proxy.process.returncode != 0:
        wrong.append(f"it ended with {proxy.process.returncode}")
    return wrong


def told(proxy, load, samples):
    for what, count in sorted(load.did.items()):
        print(f"  {what:34} {count:8}")
    for what, count in sorted(load.whole.items()):
        print(f"  {'whole: ' + what:34} {count:8}")
    print(f"  {'reloads':34} {proxy.generation:8}")
    print("  memory: " + ", ".join(f"{samples[len(samples) * n // 4 - (n == 4)] >> 10} KiB" for n in range(5) if samples))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--binary", default=ROOT / "target/release/lockgate")
    parser.add_argument("--clients", type=int, default=1, help="how many times the usual 63 clients")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the directory with log and configuration")
    args = parser.parse_args()
    random.seed(args.seed)
    with contextlib.ExitStack() as stack:
        if args.keep:
            directory = tempfile.mkdtemp(prefix="lockgate-soak-")
            print(f"  in {directory}")
        else:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="lockgate-soak-"))
        wrong = asyncio.run(soak(args, Path(directory)))
    for line in wrong:
        print(f"soak: {line}")
    print(f"soak: {'FAILED' if wrong else 'passed'} after {args.seconds} s")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
