"""2,000 malformed heads a second beside good traffic: no good request fails, and the log does not fill a disk."""

import multiprocessing
import socket
import time

from ground import expect, raise_file_limit
from traffic import Traffic

BAD_RATE, GOOD_RATE, SECONDS, PROCESSES = 2_000, 200, 15, 2
# Everything that a proxy of the default configuration writes meanwhile, on stdout and stderr, without the good requests' lines.
LOG = 1_000_000
HEADS = [
    b"GET / HTTP/1.1\r\nHost: a.test\r\nX A: b\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +1\r\n\r\n1",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: cow\r\n\r\n",
    b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nX-A: b\x00c\r\n\r\n",
    b"GET /\x00 HTTP/9.9\r\n\r\n",
]


def attack(port, rate, seconds, source, result):
    sent = refused = odd = 0
    begun = time.monotonic()
    while (elapsed := time.monotonic() - begun) < seconds:
        if sent > elapsed * rate:
            time.sleep(0.001)
            continue
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0)) as stream:
                stream.sendall(HEADS[sent % len(HEADS)])
                said = stream.recv(4096)
                refused += said == b"" or said.startswith(b"HTTP/1.1 4") or said.startswith(b"HTTP/1.1 5")
                odd += said.startswith(b"HTTP/1.1 2")
        except OSError:
            refused += 1
        sent += 1
    result.put((sent, refused, odd))


def run(ground):
    raise_file_limit()
    # With the default log: that is what would fill the disk.
    ficus = ground.ficus(ground.nginx())
    good = Traffic(ficus.port, GOOD_RATE)
    good.start()
    time.sleep(3)
    line = ficus.log_bytes() / max(1, len(good.times) + 50)
    before, asked, rss = ficus.log_bytes(), len(good.times), ficus.rss()
    results, since = multiprocessing.Queue(), time.monotonic()
    attackers = [
        multiprocessing.Process(target=attack, args=(ficus.port, BAD_RATE / PROCESSES, SECONDS, f"127.0.2.{n + 1}", results))
        for n in range(PROCESSES)
    ]
    for attacker in attackers:
        attacker.start()
    for attacker in attackers:
        attacker.join()
    until = time.monotonic()
    totals = [sum(part) for part in zip(*(results.get() for _ in attackers))]
    time.sleep(1)
    good.end()
    sent, refused, odd = totals
    written = ficus.log_bytes() - before - line * (len(good.times) - asked)
    seen = (f"{sent:,} malformed heads at {sent / (until - since):,.0f}/s, {refused:,} refused; {len(good.times):,} good requests, "
            f"{len(good.errors)} errors, p99 {good.p99(since, until) * 1e3:.1f} ms; {max(0, written) / 1e3:.0f} kB of log beside theirs, "
            f"memory +{ficus.rss() - rss:.1f} MiB")
    expect(not good.errors, f"good traffic failed: {good.errors[:3]}: {seen}")
    expect(odd == 0 and refused == sent, f"{odd} were answered as if they were right: {seen}")
    expect(sent >= BAD_RATE * SECONDS * 0.9, f"the load was not reached: {seen}")
    expect(written <= LOG, f"the log: {seen}")
    return f"{BAD_RATE:,} malformed heads a second beside {GOOD_RATE} good requests", "0 errors in good traffic, log bounded", seen
