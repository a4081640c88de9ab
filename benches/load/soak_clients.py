"""The clients of the soak: every method of `Load` is one operation of one of them."""
import asyncio
import random
import re
import socket
import ssl
import struct
import zlib
from collections import Counter

import soak_tls
from soak_servers import BIG_BODY, close, read_body, reset

# An upload or a TCP session in bulk, at most.
BULK = 4 << 20
# What a client does at most for one operation before it counts as stuck, which no timeout of the proxy allows.
STUCK = 30


class Load:
    """The clients. `did` counts what they did, `failures` what no fault explains."""

    def __init__(self, ports, tls, tls_h2, tls12):
        self.ports, self.tls, self.tls_h2, self.tls12 = ports, tls, tls_h2, tls12
        self.whole = Counter()  # how often each kind of client got all it wanted
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
        told = re.search(rb"(?i)\r\nx-checksum: *(\d+)", head)
        told = int(told[1]) if told else None
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
        return status, bool(re.search(rb"(?i)\r\nconnection: *close", head)), told

    # Each of these is one operation of one client.

    async def kept_alive(self, tls=None):
        reader, writer = await self.connect("https" if tls else "http", tls)
        try:
            for _ in range(random.randint(1, 30)):
                method = random.choice(["GET", "GET", "HEAD"])
                path = random.choice(["/", "/", "/", "/chunked", "/late", "/drip", "/denied", "/big",
                                      "/again1/", "/again1/big", "/again2/", "/again2/big", "/again2/chunked"])
                writer.write(f"{method} {path} HTTP/1.1\r\nHost: soak\r\n\r\n".encode())
                _, closing, _ = await self.answer(reader, method)
                if closing:
                    break
        finally:
            await close(writer)

    async def over_tls(self):
        await self.kept_alive(random.choice([self.tls, self.tls, self.tls12]))

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
                _, closing, _ = await self.answer(reader)
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

    async def bulk_upload(self):
        """Megabytes of known length, which the proxy splices between clear connections; one in four is given up."""
        name = random.choice(["http", "http", "https"])
        reader, writer = await self.connect(name, self.tls if name == "https" else None)
        path = random.choice(["/", "/", "/lazy", "/again1/", "/again2/"])
        body = random.randbytes(random.randint(BULK // 8, BULK))
        given_up = random.randrange(len(body)) if random.random() < 0.25 else None
        try:
            writer.write(f"POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            for at in range(0, len(body) if given_up is None else given_up, 1 << 16):
                writer.write(body[at:at + (1 << 16)])
                await writer.drain()
            if given_up is not None:
                self.did["bulk upload given up"] += 1
                return reset(writer) if random.random() < 0.5 else None
            status, _, checksum = await self.answer(reader)
            if status == 200:
                if checksum != zlib.crc32(body):
                    self.failures["an upload was changed on the way"] += 1
                self.whole["bulk upload " + name] += 1
        finally:
            await close(writer)

    async def slow_reader(self):
        tls = random.choice([None, None, self.tls])
        reader, writer = await self.connect("https" if tls else "http", tls, small=True)
        writer.write(b"GET /big HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n")
        pause, size, left = (0.02, 4096, random.randint(1, 40)) if random.random() < 0.8 else (0.005, 65536, 1000)
        got = b""
        try:
            while left and (piece := await reader.read(size)):
                got, left = got + piece, left - 1
                await asyncio.sleep(pause)
            if left and got.startswith(b"HTTP/1.1 200 "):
                body = got.partition(b"\r\n\r\n")[2]
                if body != BIG_BODY[:len(body)]:
                    self.failures["an answer was changed on the way"] += 1
                self.whole["slow reader"] += body == BIG_BODY
        finally:
            await close(writer)

    async def leave(self):
        """Gone before anything can come back: with nothing said, half a request, or a whole one."""
        name = random.choice(["http", "http", "https", "tcp", "tls"])
        _, writer = await self.connect(name)
        writer.write(random.choice([b"", b"G", b"GET / HTTP/1.1\r\nHost: soak\r\n\r\n",
                                    b"GET / HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n",
                                    b"GET /big HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n"]))
        if random.random() < 0.5:
            reset(writer)
        else:
            await close(writer)
        self.whole["leave"] += 1

    async def resumed(self):
        """Two connections, the second with the session of the first."""
        session, context = None, random.choice([self.tls, self.tls12])
        for _ in range(2):
            streams = await self.connect("https")
            try:
                tls = soak_tls.Tls(streams, context, session)
                await tls.handshake()
                answer = await soak_tls.whole_answer(tls)
                if not answer.startswith(b"HTTP/1.1 200 "):
                    return
                if session is not None:
                    self.whole["session resumed" if tls.tls.session_reused else "session not resumed"] += 1
                session = tls.tls.session
            finally:
                await close(streams[1])

    async def hostile_tls(self):
        streams = await self.connect(random.choice(["https", "tls"]))
        what = random.choice([soak_tls.leave_in_handshake, soak_tls.spoil_records])
        try:
            await what(streams, random.choice([self.tls, self.tls12]))
        finally:
            if random.random() < 0.5:
                reset(streams[1])
            await close(streams[1])

    async def abort(self):
        name = random.choice(["http", "http", "https", "tcp", "tls", "over TLS"])
        if name == "over TLS":
            reader, writer = await self.connect("https", random.choice([self.tls, self.tls12]))
        else:
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
            sent = random.randbytes(random.choice([10, 1000, 300_000, BULK]))
            writer.write(sent)
            writer.write_eof()
            if random.random() < 0.2:
                await asyncio.sleep(random.uniform(0, 0.5))
            got = await reader.read(-1)
            self.compare("TCP", sent, got)
        finally:
            await close(writer)

    async def tcp_in_tls(self):
        """asyncio cannot end one direction of TLS, so the client counts what comes back."""
        reader, writer = await self.connect("tls", random.choice([self.tls, self.tls12]))
        try:
            sent = random.randbytes(random.choice([10, 1000, 300_000, BULK // 2]))
            writer.write(sent)
            got = b""
            while len(got) < len(sent) and (piece := await reader.read(65536)):
                got += piece
            self.compare("TCP in TLS", sent, got)
        finally:
            await close(writer)

    def compare(self, what, sent, got):
        if got != sent[:len(got)]:
            self.failures[f"{what} bytes changed on the way"] += 1
        self.did[f"{what} {'whole' if got == sent else 'cut'}"] += 1
        self.whole[what] += got == sent

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
        leave_early, slow = random.random() < 0.1, random.random() < 0.2
        try:
            while waiting and not (leave_early and len(waiting) < len(streams)):
                head = await asyncio.wait_for(reader.readexactly(9), 8)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                if kind == 4 and not flags & 1:
                    writer.write(frame(4, 1, 0))
                elif kind == 6 and not flags & 1:
                    writer.write(frame(6, 1, 0, payload))
                elif kind == 0 and slow:
                    await asyncio.sleep(0.01)
                elif kind == 7:
                    self.did["h2 goodbye"] += 1
                    break
                elif kind == 3 or (kind in (0, 1) and flags & 1):
                    waiting.discard(stream)
                    self.did["h2 stream reset" if kind == 3 else "h2 stream whole"] += 1
                    self.whole["HTTP/2"] += kind != 3
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
