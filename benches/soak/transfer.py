"""1 GB up and 1 GB down, with a length and in chunks: the same bytes, no memory for them, and a slow reader slows the sender."""

import socket
import time
import zlib

import bulk
from ground import expect, free_port, listens, wait_for
from traffic import ask

SIZE = 1_000_000_000
GROWTH = 16
# A slow reader: for so long, at so many bytes a second.
SLOW_SECONDS, SLOW_RATE = 5, 20_000_000
# What the kernel's buffers of two connections and the proxy's own may hold at most.
AHEAD = 24_000_000


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def expected(size):
    crc, left = 0, size
    while left:
        piece = bulk.BLOCK[:left]
        crc, left = zlib.crc32(piece, crc), left - len(piece)
    return crc


def upload(port, chunked):
    with connect(port) as stream:
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {SIZE}"
        stream.sendall(f"POST / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n".encode())
        left = SIZE
        while left:
            piece = bulk.BLOCK[:left]
            stream.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            left -= len(piece)
        if chunked:
            stream.sendall(b"0\r\n\r\n")
        crc, got = ask(stream).split()
        return int(crc), int(got)


def download(port, chunked):
    with connect(port) as stream:
        path = "/chunked/" if chunked else "/"
        stream.sendall(f"GET {path}{SIZE} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        first, fields, rest = bulk.read_head(stream)
        expect(first is not None and " 200 " in first, f"the download was answered with {first}")
        if "transfer-encoding" in fields:
            return bulk.read_chunks(stream, rest)
        return bulk.read_length(stream, rest, int(fields["content-length"]))


def sent_by(origin):
    with connect(origin) as stream:
        stream.sendall(b"GET /sent HTTP/1.1\r\nHost: a.test\r\n\r\n")
        return int(ask(stream))


def slow_reader(port, origin):
    """How far the origin is ahead of a client that reads slowly, at most, in bytes."""
    with connect(port) as stream:
        stream.sendall(f"GET /{SIZE} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        begun, got, ahead = time.monotonic(), 0, 0
        while (elapsed := time.monotonic() - begun) < SLOW_SECONDS:
            if got < elapsed * SLOW_RATE:
                got += len(stream.recv(1 << 16))
            else:
                time.sleep(0.005)
            if int(elapsed * 4) > int((elapsed - 0.01) * 4):
                ahead = max(ahead, sent_by(origin) - got)
        return ahead, got / SLOW_SECONDS


def run(ground):
    origin = free_port()
    ground.python("bulk", str(origin))
    wait_for("the origin", lambda: listens(origin))
    ficus = ground.ficus(origin, FICUS__TELEMETRY__ACCESS_LOG="off")
    right, rates = (expected(SIZE), SIZE), []
    before = ficus.rss()
    ficus.forget_peak()
    for name, move, chunked in (
        ("up with a length", upload, False), ("up in chunks", upload, True),
        ("down with a length", download, False), ("down in chunks", download, True),
    ):
        begun = time.monotonic()
        expect(move(ficus.port, chunked) == right, f"{name}: the bytes are not those that were sent")
        rates.append(f"{name} {SIZE / 1e6 / (time.monotonic() - begun):.0f} MB/s")
    ahead, rate = slow_reader(ficus.port, origin)
    growth = ficus.peak() - before
    seen = (f"checksums equal, {', '.join(rates)}; memory +{growth:.1f} MiB; behind a reader of {rate / 1e6:.0f} MB/s "
            f"the origin was {ahead / 1e6:.1f} MB ahead at most")
    expect(growth <= GROWTH, f"memory: {seen}")
    expect(ahead <= AHEAD, f"the sender was not slowed: {seen}")
    return "1 GB up and down, with a length and in chunks", f"equal, memory ≤ +{GROWTH} MB, a slow reader slows the sender", seen
