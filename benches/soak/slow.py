"""slowhttptest with 4,000 connections in three ways: who is slow is shed in time, and everybody else is served."""

import csv
import math
import subprocess
import threading
import time

from ground import expect, need, raise_file_limit
from traffic import Traffic

CONNECTIONS, A_SECOND, SLACK, OPENING = 4_000, 1_000, 2, 35
# Deadlines of config/default.toml: timeouts.head, timeouts.body_read, timeouts.write.
WAYS = {
    "heads": (["-H", "-i", "9", "-x", "1"], "/", 10),
    "bodies": (["-B", "-i", "5", "-s", "8192", "-x", "10"], "/", 30),
    "reads": (["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "1"], "/large", 30),
}


def longest(seconds, opened, closed):
    """How long the slowest connection lasted, in seconds: they are shed in the order in which they came."""
    first = lambda counts, number: next((second for second, count in zip(seconds, counts) if count >= number), None)
    ends = ((first(opened, number), first(closed, number)) for number in range(1, max(opened) + 1, 50))
    return max((end - begun for begun, end in ends if end is not None), default=float("inf"))


class Watch(threading.Thread):
    """Descriptors of a process by time: a slow reader's client does not see that it was let go before it has read what it got."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.over, self.seen, self.begun = process, threading.Event(), [], time.monotonic()
        self.before = process.fds()
        self.start()

    def run(self):
        while not self.over.wait(0.25):
            self.seen.append((time.monotonic() - self.begun, self.process.fds() - self.before))

    def end(self):
        """When the last of them was open, in seconds from the beginning."""
        self.over.set()
        self.join()
        return max((second for second, count in self.seen if count > 60), default=0.0)


def attack(ground, ficus, way):
    port, watch = ficus.port, Watch(ficus)
    options, target, deadline = WAYS[way]
    prefix = ground.work / f"slow-{way}"
    # It ends when no connection is left; opening them takes as long as slowhttptest needs.
    lasts = deadline + SLACK + OPENING
    command = ["slowhttptest", *options, "-c", CONNECTIONS, "-r", A_SECOND, "-l", lasts, "-p", 5, "-g", "-o", prefix,
               "-u", f"http://127.0.0.1:{port}{target}", "-v", 1]
    subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=lasts + 60)
    gone = watch.end()
    with open(f"{prefix}.csv", newline="") as file:
        rows = [{key.strip(): value.strip() for key, value in row.items() if key} for row in csv.DictReader(file)]
    seconds = [int(row["Seconds"]) for row in rows]
    closed = [int(row["Closed"]) for row in rows]
    opened = [int(row["Connected"]) + count for row, count in zip(rows, closed)]
    available = [int(row["Service Available"]) > 0 for row in rows]
    expect(max(opened) >= CONNECTIONS * 0.95, f"slow {way}: only {max(opened)} connections were made")
    if way == "reads":
        all_open = next(second for second, count in zip(seconds, opened) if count == max(opened))
        shed, closed = math.ceil(gone - all_open), opened
    else:
        shed = longest(seconds, opened, closed)
    expect(all(available), f"slow {way}: the service was gone for {available.count(False)} of {len(available)} s")
    # The row of its last second may be missing, or be written before the last of them ended.
    left = opened[-1] - closed[-1]
    expect(left == 0 or seconds[-1] < lasts - 2, f"slow {way}: {left} connections were still open after {seconds[-1]} s")
    # Of two clocks of whole seconds, each may be one late.
    expect(shed <= deadline + SLACK + 1, f"slow {way}: shed after {shed} s")
    return shed, deadline


def run(ground):
    need("slowhttptest", "slowhttptest")
    raise_file_limit()
    ficus = ground.ficus(ground.nginx(), FICUS__TELEMETRY__ACCESS_LOG="off")
    parts = []
    before = ficus.fds()
    for way in WAYS:
        good = Traffic(ficus.port, 50)
        good.start()
        shed, deadline = attack(ground, ficus, way)
        good.end()
        expect(not good.errors, f"slow {way}: good traffic failed: {good.errors[:3]}")
        parts.append(f"{way} shed in {shed} s (deadline {deadline} s), {len(good.times)} good requests, p99 {good.p99() * 1e3:.1f} ms")
    expect(ficus.fds() <= before + 50, f"descriptors: {before} before, {ficus.fds()} after")
    seen = "100 % available; " + "; ".join(parts) + f"; memory {ficus.peak():.0f} MiB at most"
    return f"slowhttptest with {CONNECTIONS:,} slow heads, bodies, reads", f"100 % available, shed ≤ deadline + {SLACK} s, good traffic goes on", seen
