"""TLS clients of the soak whose records we hold in our own hands: sessions taken up again, records cut and spoilt, clients
that leave in the middle of a handshake. asyncio's own TLS lets no one touch the bytes.
"""
import random
import ssl


class Tls:
    """One client's TLS over a connection that is there already."""

    def __init__(self, streams, context, session=None):
        self.reader, self.writer = streams
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost", session=session)

    async def flush(self, spoil=lambda records: records):
        if records := spoil(self.outgoing.read()):
            self.writer.write(records)
            await self.writer.drain()

    async def receive(self):
        piece = await self.reader.read(65536)
        if not piece:
            raise ConnectionError("ended without saying so")
        self.incoming.write(piece)

    async def handshake(self):
        while True:
            try:
                self.tls.do_handshake()
                return await self.flush()
            except ssl.SSLWantReadError:
                await self.flush()
                await self.receive()

    async def read(self):
        """What there is next; nothing at the announced end."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                await self.receive()
            except ssl.SSLZeroReturnError:
                return b""


async def whole_answer(tls):
    """The answer to one request on a connection that the proxy is asked to close."""
    tls.tls.write(b"GET / HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n")
    await tls.flush()
    return b"".join([piece async for piece in pieces(tls)])


async def pieces(tls):
    while piece := await tls.read():
        yield piece


def flipped(records):
    at = random.randrange(len(records))
    return records[:at] + bytes([records[at] ^ 1 << random.randrange(8)]) + records[at + 1:]


def cut(records):
    return records[:random.randrange(len(records))]


def twice(records):
    return records + records


def backwards(records):
    """The second half first."""
    half = len(records) // 2
    return records[half:] + records[:half]


SPOILS = [flipped, cut, twice, backwards]


async def leave_in_handshake(streams, context):
    """Some of the first flight, then nobody."""
    tls = Tls(streams, context)
    try:
        tls.tls.do_handshake()
    except ssl.SSLWantReadError:
        await tls.flush(random.choice([cut, cut, flipped, lambda records: records]))


async def spoil_records(streams, context):
    """A request whose records are not what they were, after a handshake that was in order."""
    tls = Tls(streams, context)
    await tls.handshake()
    tls.tls.write(b"POST / HTTP/1.1\r\nHost: soak\r\nContent-Length: 50000\r\n\r\n" + bytes(50000))
    await tls.flush(random.choice(SPOILS))
    if random.random() < 0.5:
        while await tls.read():
            pass
