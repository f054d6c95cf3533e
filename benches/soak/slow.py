"""slowhttptest with 4,000 connections in three ways: who is slow is shed in time, and everybody else is served."""

import csv
import subprocess
import time

from ground import expect, need, raise_file_limit
from traffic import Traffic

CONNECTIONS, A_SECOND, SLACK = 4_000, 1_000, 2
# Deadlines of config/default.toml: timeouts.head, timeouts.body_read, timeouts.write.
WAYS = {
    "heads": (["-H", "-i", "9", "-x", "1"], "/", 10),
    "bodies": (["-B", "-i", "5", "-s", "8192", "-x", "10"], "/", 30),
    "reads": (["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "1"], "/large", 30),
}


def attack(ground, port, way):
    options, target, deadline = WAYS[way]
    prefix = ground.work / f"slow-{way}"
    opening = CONNECTIONS / A_SECOND
    lasts = int(opening + deadline + SLACK + 6)
    command = ["slowhttptest", *options, "-c", CONNECTIONS, "-r", A_SECOND, "-l", lasts, "-p", 3, "-g", "-o", prefix,
               "-u", f"http://127.0.0.1:{port}{target}", "-v", 1]
    begun = time.monotonic()
    subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=lasts + 60)
    took = time.monotonic() - begun
    with open(f"{prefix}.csv", newline="") as file:
        rows = [{key.strip(): value.strip() for key, value in row.items() if key} for row in csv.DictReader(file)]
    seconds = [int(row["Seconds"]) for row in rows]
    connected = [int(row["Connected"]) for row in rows]
    available = [int(row["Service Available"]) > 0 for row in rows]
    expect(max(connected) >= CONNECTIONS * 0.9, f"slow {way}: only {max(connected)} connections were open at once")
    # It ends by itself when no connection is left; then that second is the last row's or the one after it.
    last_open = max(second for second, count in zip(seconds, connected) if count > 0)
    shed = last_open + 1 - opening
    expect(all(available), f"slow {way}: the service was gone for {available.count(False)} of {len(available)} s")
    expect(last_open < lasts - 2, f"slow {way}: {connected[-1]} connections were still open after {took:.0f} s")
    expect(shed <= deadline + SLACK + 1, f"slow {way}: shed after {shed:.0f} s")
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
        shed, deadline = attack(ground, ficus.port, way)
        good.end()
        expect(not good.errors, f"slow {way}: good traffic failed: {good.errors[:3]}")
        parts.append(f"{way} shed in {shed:.0f} s (deadline {deadline} s), {len(good.times)} good requests, p99 {good.p99() * 1e3:.1f} ms")
    expect(ficus.fds() <= before + 50, f"descriptors: {before} before, {ficus.fds()} after")
    seen = "100 % available; " + "; ".join(parts) + f"; memory {ficus.peak():.0f} MiB at most"
    return f"slowhttptest with {CONNECTIONS:,} slow heads, bodies, reads", f"100 % available, shed ≤ deadline + {SLACK} s, good traffic goes on", seen
