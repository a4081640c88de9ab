"""TLS clients for the load measurement that wrk and h2load are not.

tls_client.py idle HOST:PORT N          N connections, one GET each, held until stdin ends
tls_client.py resume HOST:PORT SECONDS  one connection after the other, each resuming the first one's session

Prints one JSON object; needs only Python 3.
"""
import json
import socket
import ssl
import sys
import time


def context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ask(tls, address, session=None, close=True):
    """One handshake and one GET; the connection and whether the answer was good."""
    raw = socket.create_connection(address, 5)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = tls.wrap_socket(raw, server_hostname="bench", session=session)
    connection = "Connection: close\r\n" if close else ""
    stream.sendall(f"GET /100 HTTP/1.1\r\nHost: bench\r\n{connection}\r\n".encode())
    return stream, stream.recv(65536).startswith(b"HTTP/1.1 200")


def idle(address, count):
    tls, held = context(), []
    for _ in range(count):
        stream, good = ask(tls, address, close=False)
        if good:
            held.append(stream)
    print(json.dumps({"held": len(held)}), flush=True)
    sys.stdin.read()


def resume(address, seconds):
    tls = context()
    stream, _ = ask(tls, address)
    session = stream.session
    stream.close()
    begin, micros, errors = time.perf_counter(), [], 0
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        try:
            stream, good = ask(tls, address, session)
            errors += not (good and stream.session_reused)
            stream.close()
        except OSError:
            errors += 1
        micros.append((time.perf_counter() - start) * 1e6)
    micros.sort()
    print(json.dumps({
        "ops": len(micros), "secs": time.perf_counter() - begin, "errors": errors,
        "p50_us": micros[len(micros) // 2], "p99_us": micros[len(micros) * 99 // 100],
    }))


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("idle", "resume"):
        sys.exit(__doc__)
    host, port = sys.argv[2].rsplit(":", 1)
    if sys.argv[1] == "idle":
        idle((host, int(port)), int(sys.argv[3]))
    else:
        resume((host, int(port)), float(sys.argv[3]))


main()
