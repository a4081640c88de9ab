"""The servers behind the proxy in the soak, with all their faults, and what both sides need for HTTP/1."""
import asyncio
import contextlib
import random
import re
import socket
import ssl
import struct
import zlib

BIG = 1 << 20
BIG_BODY = random.Random(7).randbytes(BIG)


async def close(writer):
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()


def reset(writer):
    """RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None:  # TLS that has ended has given it up
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Server:
    """One server that can be killed and started again on its port."""

    def __init__(self, port, serve, tls=None):
        self.port, self.serve_one, self.tls = port, serve, tls
        self.listening, self.open = None, set()

    async def start(self):
        if self.listening is None:
            self.listening = await asyncio.start_server(self.handle, "127.0.0.1", self.port, backlog=512, reuse_address=True, ssl=self.tls)

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
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError, ValueError):
            pass  # whoever was there has left, maybe in the middle of a number
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
    """Returns the checksum of a body of known length."""
    if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            await reader.readexactly(size + 2)
            if size == 0:
                return
    if length := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head):
        left, checksum = int(length[1]), 0
        while left:
            piece = await reader.read(min(left, 65536))
            if not piece:
                raise OSError("cut")
            left -= len(piece)
            checksum = zlib.crc32(piece, checksum)
        return checksum


async def application(reader, writer):
    """An application server; the path says how it misbehaves."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].split(b"?")[0]
        path = re.sub(rb"^/again\d", b"", path)
        if path == b"/early":  # an answer while the request is still coming
            writer.write(b"HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        if path == b"/lazy":  # takes a body slowly at first
            await asyncio.sleep(random.uniform(0.05, 0.5))
        checksum = await read_body(reader, head)
        ok = b"HTTP/1.1 200 OK\r\n"
        if checksum is not None:
            ok += b"X-Checksum: %d\r\n" % checksum
        if path == b"/big":
            writer.write(ok + b"Content-Length: %d\r\n\r\n" % BIG + BIG_BODY)
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
            if writer.can_write_eof():
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
