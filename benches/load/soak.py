#!/usr/bin/env python3
"""Does anything stay behind? Mixed load with faults, and at the end everything must be as it was at the start.

    benches/load/soak.py                                ten minutes against target/release/lockgate
    benches/load/soak.py --seconds 60 --binary target/debug/lockgate

Clients: HTTP/1.1 kept alive, closed, pipelined, TLS, HTTP/2, TCP, uploads, slow readers, aborting ones, garbage. Servers: answer at
once, late, in drips, in chunks, without a length; half-close, reset, are killed and come back. The configuration is read again
every few seconds. Then the load ends, and is held against what the proxy says of itself:

  * nothing is counted as there: sessions, queue, idle server connections
  * descriptors are back where they began, memory did not grow after the warm-up
  * no panic in the log, the process is alive, and ends when told to
  * counters agree with each other and with what the clients did

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
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BIG = 1 << 20
# What a client does at most for one operation before it counts as stuck, which no timeout of the proxy allows.
STUCK = 30
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
    default_backend app
frontend https
    bind 127.0.0.1:{https} ssl crt {dir}/site.pem alpn h2,http/1.1
    default_backend app
frontend tcp
    mode tcp
    option tcplog
    bind 127.0.0.1:{tcp}
    default_backend echo
backend app
    option httpchk GET /health
    default-server check inter 300ms fall 2 rise 1 maxconn 12
    server a 127.0.0.1:{app0} weight {weight}
    server b 127.0.0.1:{app1}
    server c 127.0.0.1:{app2}
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


async def close(writer):
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()


def reset(writer):
    """RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Server:
    """One server that can be killed and started again on its port."""

    def __init__(self, port, serve):
        self.port, self.serve_one = port, serve
        self.listening, self.open = None, set()

    async def start(self):
        if self.listening is None:
            self.listening = await asyncio.start_server(self.handle, "127.0.0.1", self.port, backlog=512, reuse_address=True)

    async def kill(self):
        if self.listening is not None:
            self.listening.close()
            self.listening = None
            for writer in list(self.open):
                reset(writer)

    async def handle(self, reader, writer):
        self.open.add(writer)
        try:
            await self.serve_one(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()


async def echo(reader, writer):
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def read_body(reader, head):
    if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            await reader.readexactly(size + 2)
            if size == 0:
                return
    if length := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head):
        left = int(length[1])
        while left:
            piece = await reader.read(min(left, 65536))
            if not piece:
                raise OSError("cut")
            left -= len(piece)


async def application(reader, writer):
    """An application server; the path says how it misbehaves."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].split(b"?")[0]
        if path == b"/early":  # an answer while the request is still coming
            writer.write(b"HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        await read_body(reader, head)
        ok = b"HTTP/1.1 200 OK\r\n"
        if path == b"/big":
            writer.write(ok + b"Content-Length: %d\r\n\r\n" % BIG + bytes(BIG))
        elif path == b"/chunked":
            writer.write(ok + b"Transfer-Encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 50 + b"0\r\nX-End: yes\r\n\r\n")
        elif path == b"/late":
            await asyncio.sleep(random.uniform(0.05, 0.6))
            writer.write(ok + b"Content-Length: 2\r\n\r\nok")
        elif path == b"/drip":
            writer.write(ok + b"Content-Length: 20\r\n\r\n")
            for _ in range(20):
                writer.write(b".")
                await writer.drain()
                await asyncio.sleep(0.02)
        elif path == b"/no-length":
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"until the end")
            await writer.drain()
            return
        elif path == b"/half":  # ends in the middle of what it announced
            writer.write(ok + b"Content-Length: 9999\r\n\r\nhalf")
            await writer.drain()
            writer.write_eof()
            await reader.read()
            return
        elif path == b"/reset":
            writer.write(ok + b"Content-Length: 9999\r\n\r\nhalf")
            await writer.drain()
            return reset(writer)
        elif path == b"/silent":
            await reader.read()
            return
        elif path == b"/junk":
            writer.write(b"this is no HTTP\r\n\r\n")
            await writer.drain()
            return
        else:
            writer.write(ok + b"Content-Length: 2\r\n\r\nok")
        await writer.drain()


class Load:
    """The clients. `did` counts what they did, `failures` what no fault explains."""

    def __init__(self, ports, tls, tls_h2):
        self.ports, self.tls, self.tls_h2 = ports, tls, tls_h2
        self.did, self.failures, self.connected = Counter(), Counter(), Counter()
        self.going = True

    async def connect(self, name, tls=None, small=False):
        port = self.ports[name]
        if small:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            streams = await asyncio.open_connection(sock=sock, limit=4096)
        else:
            streams = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None)
        self.connected[name] += 1
        return streams

    async def answer(self, reader, method="GET"):
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status == 100:
            return await self.answer(reader, method)
        self.did[f"status {status}"] += 1
        if method != "HEAD" and status not in (204, 304):
            chunked = re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head)
            length = re.search(rb"(?i)\r\ncontent-length:", head)
            if chunked:
                while True:
                    size = int((await reader.readline()).split(b";")[0], 16)
                    if size == 0:
                        while (await reader.readline()).strip():
                            pass
                        break
                    await reader.readexactly(size + 2)
            elif length:
                await read_body(reader, head)
            else:
                await reader.read()
        return status, bool(re.search(rb"(?i)\r\nconnection: *close", head))

    # Each of these is one operation of one client.

    async def kept_alive(self, tls=None):
        reader, writer = await self.connect("https" if tls else "http", tls)
        try:
            for _ in range(random.randint(1, 30)):
                method = random.choice(["GET", "GET", "HEAD"])
                path = random.choice(["/", "/", "/", "/chunked", "/late", "/drip", "/denied", "/big"])
                writer.write(f"{method} {path} HTTP/1.1\r\nHost: soak\r\n\r\n".encode())
                _, closing = await self.answer(reader, method)
                if closing:
                    break
        finally:
            await close(writer)

    async def over_tls(self):
        await self.kept_alive(self.tls)

    async def closing(self):
        reader, writer = await self.connect("http")
        path = random.choice(["/", "/no-length", "/half", "/reset", "/junk", "/early"])
        writer.write(f"GET {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n".encode())
        try:
            await self.answer(reader)
        finally:
            await close(writer)

    async def pipelined(self):
        reader, writer = await self.connect("http")
        count = random.randint(2, 8)
        writer.write(b"GET / HTTP/1.1\r\nHost: soak\r\n\r\n" * count)
        try:
            for _ in range(count):
                _, closing = await self.answer(reader)
                if closing:
                    break
        finally:
            await close(writer)

    async def upload(self):
        reader, writer = await self.connect("http")
        piece = bytes(random.randint(1, 65536))
        path = random.choice(["/", "/early"])
        try:
            if random.random() < 0.5:
                writer.write(f"POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Length: {len(piece) * 4}\r\n\r\n".encode())
                for _ in range(4):
                    writer.write(piece)
                    await writer.drain()
            else:
                writer.write(f"POST {path} HTTP/1.1\r\nHost: soak\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
                for _ in range(4):
                    writer.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
            await self.answer(reader)
        finally:
            await close(writer)

    async def slow_reader(self):
        reader, writer = await self.connect("http", small=True)
        writer.write(b"GET /big HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n")
        try:
            for _ in range(random.randint(1, 40)):
                if not await reader.read(4096):
                    break
                await asyncio.sleep(0.02)
        finally:
            await close(writer)

    async def abort(self):
        name = random.choice(["http", "http", "https", "tcp"])
        reader, writer = await self.connect(name)
        request = random.choice([b"", b"GE", b"GET /big HTTP/1.1\r\nHost: soak\r\n\r\n", b"GET /late HTTP/1.1\r\nHost: soak\r\n\r\n",
                                 b"GET /silent HTTP/1.1\r\nHost: soak\r\n\r\n",
                                 b"POST / HTTP/1.1\r\nHost: soak\r\nContent-Length: 100000\r\n\r\npart"])
        writer.write(request)
        await asyncio.sleep(random.uniform(0, 0.2))
        if random.random() < 0.5:
            reset(writer)
        else:
            await close(writer)

    async def garbage(self):
        reader, writer = await self.connect(random.choice(["http", "https"]))
        writer.write(random.choice([random.randbytes(200), b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                                    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                                    b"X" * 20000]))
        if writer.can_write_eof():
            writer.write_eof()
        try:
            await reader.read()
        finally:
            await close(writer)

    async def through_tcp(self):
        reader, writer = await self.connect("tcp")
        try:
            sent = random.randbytes(random.choice([10, 1000, 300_000]))
            writer.write(sent)
            writer.write_eof()
            got = await reader.read(-1)
            if got and got != sent[:len(got)]:
                self.failures["TCP bytes changed on the way"] += 1
            self.did["TCP whole" if got == sent else "TCP cut"] += 1
        finally:
            await close(writer)

    async def http2(self):
        reader, writer = await self.connect("https", self.tls_h2)
        if writer.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            self.failures["h2 was not agreed on"] += 1
            return await close(writer)
        frame = lambda kind, flags, stream, payload=b"": (
            struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload)
        text = lambda value: bytes([len(value)]) + value
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(8, 0, 0, struct.pack(">I", 8 << 20)))
        streams = range(1, 2 * random.randint(1, 10), 2)
        for stream in streams:
            path = random.choice([b"/", b"/", b"/chunked", b"/late", b"/big", b"/half", b"/reset"])
            head = b"\x82\x87\x04" + text(path) + b"\x41" + text(b"soak")
            writer.write(frame(1, 5, stream, head) + frame(8, 0, stream, struct.pack(">I", 2 << 20)))
            if random.random() < 0.1:
                writer.write(frame(3, 0, stream, struct.pack(">I", 8)))  # never mind
                self.did["h2 stream given up"] += 1
        waiting = set(streams)
        leave_early = random.random() < 0.1
        try:
            while waiting and not (leave_early and len(waiting) < len(streams)):
                head = await asyncio.wait_for(reader.readexactly(9), 8)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                if kind == 4 and not flags & 1:
                    writer.write(frame(4, 1, 0))
                elif kind == 6 and not flags & 1:
                    writer.write(frame(6, 1, 0, payload))
                elif kind == 7:
                    self.did["h2 goodbye"] += 1
                    break
                elif kind == 3 or (kind in (0, 1) and flags & 1):
                    waiting.discard(stream)
                    self.did["h2 stream reset" if kind == 3 else "h2 stream whole"] += 1
        except TimeoutError:
            self.did["h2 streams given up waiting for"] += len(waiting)  # those we reset are never answered
        finally:
            await close(writer)

    async def client(self, kind):
        while self.going:
            try:
                await asyncio.wait_for(kind(), STUCK)
            except TimeoutError:
                self.failures[f"{kind.__name__}: stuck for {STUCK} s"] += 1
            except (OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError):
                self.did[f"{kind.__name__}: cut"] += 1
            else:
                self.did[kind.__name__] += 1
            await asyncio.sleep(random.uniform(0, 0.05))


class Proxy:
    """The process that is looked at."""

    def __init__(self, binary, directory, ports):
        self.binary, self.directory, self.ports, self.generation = binary, directory, ports, 0
        self.config, self.log = directory / "soak.cfg", directory / "log"
        self.write_config()

    def write_config(self):
        self.generation += 1
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
    for name in ("http", "https", "tcp"):
        seen, made = number(rows[name, "FRONTEND"], "conn_tot"), load.connected[name]
        # A TLS handshake that failed is a connection to the proxy and none to the client.
        if not made <= seen <= made + load.did.total() * (name == "https"):
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


async def soak(args, directory):
    names = ["http", "https", "tcp", "app0", "app1", "app2", "echo0", "echo1"]
    ports = dict(zip(names, free_ports(len(names))))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                    "-subj", "/CN=localhost", "-keyout", directory / "key", "-out", directory / "crt"],
                   check=True, stderr=subprocess.DEVNULL)
    (directory / "site.pem").write_bytes((directory / "crt").read_bytes() + (directory / "key").read_bytes())
    contexts = []
    for protocols in (["http/1.1"], ["h2"]):
        context = ssl.create_default_context(cafile=directory / "crt")
        context.set_alpn_protocols(protocols)
        contexts.append(context)
    servers = [Server(ports[f"app{n}"], application) for n in range(3)] + [Server(ports[f"echo{n}"], echo) for n in range(2)]
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
                 load.slow_reader: 6, load.abort: 8, load.garbage: 2, load.through_tcp: 4}
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
    if not any(status in load.did for status in ("status 200",)) or load.did["h2 stream whole"] == 0 or load.did["TCP whole"] == 0:
        wrong.append("some kind of traffic never succeeded: the load is not what it says")
    proxy.process.send_signal(signal.SIGTERM)
    if await until("it ends when told to", lambda: proxy.process.poll() is not None, 40):
        wrong.append("it does not end on SIGTERM")
    elif proxy.process.returncode != 0:
        wrong.append(f"it ended with {proxy.process.returncode}")
    return wrong


def told(proxy, load, samples):
    for what, count in sorted(load.did.items()):
        print(f"  {what:34} {count:8}")
    print(f"  {'reloads':34} {proxy.generation:8}")
    print("  memory: " + ", ".join(f"{samples[len(samples) * n // 4 - (n == 4)] >> 10} KiB" for n in range(5) if samples))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--binary", default=ROOT / "target/release/lockgate")
    parser.add_argument("--clients", type=int, default=1, help="how many times the usual 48 clients")
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
