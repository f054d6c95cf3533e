"""Twice as many connections as the cap allows: the rest is refused at once, and those that were there go on."""

import socket
import time

from ground import expect, raise_file_limit, wait_for
from traffic import Traffic

CAP = 2_000


def run(ground):
    raise_file_limit()
    ficus = ground.ficus(
        ground.nginx(), FICUS__TELEMETRY__ACCESS_LOG="off",
        FICUS__PROXY__LIMITS__CONNECTIONS=str(CAP), FICUS__PROXY__LIMITS__CONNECTIONS_PER_IP="0")
    good = Traffic(ficus.port, 50, connections=4)
    good.start()
    wait_for("good traffic", lambda: len(good.times) > 20)
    before, held, begun = ficus.fds(), [], time.monotonic()
    for number in range(2 * CAP):
        stream = socket.create_connection(("127.0.0.1", ficus.port), timeout=10, source_address=(f"127.0.3.{1 + number // 1000}", 0))
        held.append(stream)
    took = time.monotonic() - begun
    time.sleep(1)
    most = ficus.fds()
    refused = 0
    for stream in held:
        stream.setblocking(False)
        try:
            said = stream.recv(4096)
            expect(said == b"" or b" 503 " in said.split(b"\r\n")[0], f"a connection over the cap was answered {said[:40]}")
            refused += 1
        except BlockingIOError:
            pass
        except OSError:
            refused += 1
    for stream in held:
        stream.close()
    wait_for("the descriptors", lambda: ficus.fds() <= before + 10, 20)
    # There is room again.
    with socket.create_connection(("127.0.0.1", ficus.port), timeout=10) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        expect(stream.recv(4096).startswith(b"HTTP/1.1 200"), "nobody was let in after the flood")
    good.end()
    seen = (f"{2 * CAP:,} connections in {took:.1f} s: {refused:,} refused, {2 * CAP - refused:,} kept, {most} descriptors at most; "
            f"{len(good.times)} requests on connections that were there before, {len(good.errors)} errors")
    expect(not good.errors, f"good traffic failed: {good.errors[:3]}: {seen}")
    expect(abs(2 * CAP - refused - CAP) <= 50, f"not {CAP} were kept: {seen}")
    expect(most <= before + CAP + 200, f"descriptors: {seen}")
    return f"twice the cap of {CAP:,} connections", "the rest refused at once, those before go on, all let in again", seen
