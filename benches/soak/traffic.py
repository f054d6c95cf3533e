"""Good traffic: requests at a steady pace, each timed, from an address of its own. Used as a thread beside a run."""

import socket
import threading
import time


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


class Traffic(threading.Thread):
    """`rate` requests a second over connections that are kept, until `end`; a slow answer delays none but itself."""

    def __init__(self, port, rate, connections=8, source="127.0.0.9", target="/"):
        super().__init__(daemon=True)
        self.port, self.rate, self.source = port, rate, source
        self.request = f"GET {target} HTTP/1.1\r\nHost: good.test\r\n\r\n".encode()
        self.over = threading.Event()
        self.times, self.errors = [], []
        self.workers = [threading.Thread(target=self.work, args=(n, connections), daemon=True) for n in range(connections)]

    def run(self):
        for worker in self.workers:
            worker.start()
        for worker in self.workers:
            worker.join()

    def work(self, number, of):
        period, stream = of / self.rate, None
        due = time.monotonic() + period * number / of
        while not self.over.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            begun = time.monotonic()
            try:
                if stream is None:
                    stream = socket.create_connection(("127.0.0.1", self.port), timeout=10, source_address=(self.source, 0))
                stream.sendall(self.request)
                ask(stream)
                self.times.append((begun, time.monotonic() - begun))
            except OSError as error:
                self.errors.append(repr(error))
                stream = None
            due = max(due + period, time.monotonic() - 1)

    def end(self):
        self.over.set()
        self.join()
        return self

    def p99(self, since=0.0, until=float("inf")):
        return percentile([took for begun, took in self.times if since <= begun < until], 0.99)


def ask(stream):
    """Reads one answer with a length, whose status is 200."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = stream.recv(65536)
        if not more:
            raise OSError("closed before an answer")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise OSError(head.split(b"\r\n", 1)[0].decode("latin-1"))
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        more = stream.recv(65536)
        if not more:
            raise OSError("closed in an answer")
        body += more
    return body
