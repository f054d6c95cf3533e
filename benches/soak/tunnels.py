"""10,000 WebSocket handshakes with an origin that answers before it has been asked to the end: none is lost."""

import multiprocessing
import os
import socket
import struct
import threading
import time

from ground import expect, free_port, listens, raise_file_limit, wait_for

HANDSHAKES, AT_ONCE = 10_000, 8
REQUEST = (b"GET /socket HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
ANSWER = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


def echo(stream):
    with stream:
        # At the first byte, not at the end of the head: an origin that takes every connection for a tunnel may.
        data = stream.recv(4096)
        if b"/socket" not in data:
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        stream.sendall(ANSWER)
        while b"\r\n\r\n" not in data:
            data += stream.recv(4096)
        data = data.partition(b"\r\n\r\n")[2]
        while data or (data := stream.recv(4096)):
            stream.sendall(data)
            data = b""


def origin(port):
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        while True:
            threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()


def shake(port, numbers, lost):
    for number in numbers:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
                stream.sendall(REQUEST)
                head = b""
                while b"\r\n\r\n" not in head:
                    more = stream.recv(1)
                    if not more:
                        raise OSError("closed in the handshake")
                    head += more
                if b" 101 " not in head.split(b"\r\n")[0]:
                    raise OSError(head.split(b"\r\n")[0].decode("latin-1"))
                said = struct.pack(">I", number)
                stream.sendall(said)
                if stream.recv(4) != said:
                    raise OSError("no echo")
        except OSError as error:
            lost.append(f"{number}: {error}")


def run(ground):
    raise_file_limit()
    port = free_port()
    peer = multiprocessing.Process(target=origin, args=(port,), daemon=True)
    peer.start()
    try:
        wait_for("the origin", lambda: listens(port))
        ficus = ground.ficus(port, FICUS__TELEMETRY__ACCESS_LOG="off")
        before, rss, lost, begun = ficus.fds(), ficus.rss(), [], time.monotonic()
        clients = [threading.Thread(target=shake, args=(ficus.port, range(n, HANDSHAKES, AT_ONCE), lost)) for n in range(AT_ONCE)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        took = time.monotonic() - begun
        expect(not lost, f"{len(lost)} of {HANDSHAKES} handshakes were lost: {lost[:3]}")
        wait_for("the descriptors", lambda: ficus.fds() <= before + 10, 20)
        seen = f"{HANDSHAKES:,} echoes, 0 lost, {HANDSHAKES / took:,.0f} a second, memory +{ficus.rss() - rss:.1f} MiB"
        return f"{HANDSHAKES:,} WebSocket handshakes answered at once", "0 lost", seen
    finally:
        os.kill(peer.pid, 9)
        peer.join()
