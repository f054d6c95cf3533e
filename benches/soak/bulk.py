"""An origin for large bodies: hashes what it is sent, sends what it is asked for. Run as a program by `transfer.py`.

    bulk.py PORT    POST /         answers the CRC-32 and the length of the body
                    GET /N         sends N bytes with a length; GET /chunked/N in chunks; `GET /sent` says how many went out
"""

import socket
import sys
import threading
import zlib

BLOCK = bytes(range(256)) * 1024
sent = 0


def read_head(stream):
    data = b""
    while b"\r\n\r\n" not in data:
        more = stream.recv(1 << 18)
        if not more:
            return None, None, b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return lines[0], fields, rest


def read_length(stream, rest, length):
    crc, got = zlib.crc32(rest), len(rest)
    while got < length:
        more = stream.recv(1 << 18)
        if not more:
            raise OSError("cut")
        crc, got = zlib.crc32(more, crc), got + len(more)
    return crc, got


def read_chunks(stream, rest):
    file = stream.makefile("rb", buffering=1 << 18)
    buffered = rest

    def take(count):
        nonlocal buffered
        while len(buffered) < count:
            more = file.read1(1 << 18)
            if not more:
                raise OSError("cut")
            buffered += more
        taken, buffered = buffered[:count], buffered[count:]
        return taken

    def line():
        nonlocal buffered
        while b"\r\n" not in buffered:
            more = file.read1(1 << 18)
            if not more:
                raise OSError("cut")
            buffered += more
        taken, _, buffered = buffered.partition(b"\r\n")
        return taken

    crc = got = 0
    while size := int(line(), 16):
        piece = take(size)
        crc, got = zlib.crc32(piece, crc), got + size
        take(2)
    line()
    return crc, got


def send(stream, length, chunked):
    global sent
    sent = 0
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"
    stream.sendall(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
    while sent < length:
        piece = BLOCK[: length - sent]
        stream.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        sent += len(piece)
    if chunked:
        stream.sendall(b"0\r\n\r\n")


def serve(stream):
    try:
        while True:
            first, fields, rest = read_head(stream)
            if first is None:
                return
            _, target, _ = first.split(" ")
            if first.startswith("POST"):
                chunked = "transfer-encoding" in fields
                crc, got = read_chunks(stream, rest) if chunked else read_length(stream, rest, int(fields["content-length"]))
                text = f"{crc} {got}"
            elif target == "/sent":
                text = str(sent)
            elif target == "/":
                text = "ready"
            else:
                send(stream, int(target.rsplit("/", 1)[1]), target.startswith("/chunked/"))
                continue
            stream.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
    except OSError:
        pass
    finally:
        stream.close()


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128) as listener:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
