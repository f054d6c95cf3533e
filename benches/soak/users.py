"""1,000 users at once on the real Laravel application, each with time to think: what ficus adds to the application's own pace."""

import asyncio
import base64
import os
import random
import statistics
import time

from ground import ROOT, Missing, expect, free_port, listens, need, raise_file_limit, wait_for
from traffic import percentile

USERS = 1_000
# Long enough for every user to come by once, within reason.
LEAST, MOST = 30, 60
# Of what the application can do with one request after another: beyond it, what is measured is PHP's queue.
SHARE = 0.5
P95 = 0.2
# A page of the application with a session and a form, which needs no database.
TARGET = "/login"
FRAMEWORK = "/usr/share/php/Illuminate/autoload.php"


async def one_request(peer, port):
    """Answers the connection, if it was kept."""
    reader, writer = peer or await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {TARGET} HTTP/1.1\r\nHost: app.test\r\nAccept: text/html\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise OSError(head.split(b"\r\n")[0].decode("latin-1"))
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.decode("latin-1").split("\r\n"))}
    if "content-length" in fields:
        await reader.readexactly(int(fields["content-length"]))
    elif "transfer-encoding" in fields:
        await reader.readuntil(b"0\r\n\r\n")
    else:
        await reader.read()
        fields["connection"] = "close"
    if fields.get("connection", "").lower() == "close":
        writer.close()
        return None
    return reader, writer


async def user(port, think, until, times, errors):
    peer, due = None, time.monotonic() + random.random() * think
    while due < until:
        await asyncio.sleep(max(0, due - time.monotonic()))
        begun = time.monotonic()
        try:
            peer = await asyncio.wait_for(one_request(peer, port), 30)
            times.append(time.monotonic() - begun)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            errors.append(repr(error))
            peer = None
        # A person's pauses are not a clock's.
        due += think * (0.5 + random.random())
    if peer:
        peer[1].close()


async def crowd(port, think):
    times, errors = [], []
    until = time.monotonic() + min(MOST, max(LEAST, think * 1.2))
    await asyncio.gather(*(user(port, think, until, times, errors) for _ in range(USERS)))
    return times, errors


async def capacity(port):
    """Requests a second with four at a time, which is what the application has workers for."""
    done, until = 0, time.monotonic() + 4

    async def ask():
        nonlocal done
        while time.monotonic() < until:
            await one_request(None, port)
            done += 1

    await asyncio.gather(*(ask() for _ in range(4)))
    return done / 4


def told(name, times, errors):
    return (f"{name}: {len(times):,} requests, p50 {statistics.median(times) * 1e3:.0f} ms, p95 {percentile(times, 0.95) * 1e3:.0f} ms, "
            f"p99 {percentile(times, 0.99) * 1e3:.0f} ms, {len(errors)} errors")


def run(ground):
    need("php", "php-cli")
    if not os.path.exists(FRAMEWORK):
        raise Missing(f"{FRAMEWORK} is missing: apt-get install php-laravel-framework php-mbstring php-xml php-pgsql php-curl")
    raise_file_limit()
    port, storage = free_port(), ground.work / "storage"
    storage.mkdir()
    environment = {
        "APP_KEY": "base64:" + base64.b64encode(os.urandom(32)).decode(), "APP_URL": f"http://127.0.0.1:{port}",
        "SESSION_DRIVER": "file", "SESSION_COOKIE": "laravel_session", "STORAGE_PATH": str(storage), "PHP_CLI_SERVER_WORKERS": "4",
        "DB_HOST": "127.0.0.1", "DB_DATABASE": "none", "DB_USERNAME": "none", "DB_PASSWORD": "", "MAIL_HOST": "127.0.0.1", "MAIL_PORT": "9",
    }
    # Its workers are its children, and end with it.
    ground.start("laravel", ["php", "-q", "-S", f"127.0.0.1:{port}", "-t", "public", "public/index.php"],
                 cwd=ROOT / "demo/legacy", env={**os.environ, **environment})
    wait_for("the application", lambda: listens(port))
    for _ in range(20):
        asyncio.run(one_request(None, port))
    able = asyncio.run(capacity(port))
    think = USERS / (able * SHARE)
    ficus = ground.ficus(port, FICUS__TELEMETRY__ACCESS_LOG="off")
    direct, direct_errors = asyncio.run(crowd(port, think))
    through, errors = asyncio.run(crowd(ficus.port, think))
    seen = (f"the application does {able:.0f} requests/s, a user asks every {think:.0f} s; {told('direct', direct, direct_errors)}; "
            f"{told('through ficus', through, errors)}")
    expect(not errors, f"{errors[:3]}: {seen}")
    expect(percentile(through, 0.95) < P95, f"p95: {seen}")
    return f"{USERS:,} users of the Laravel application at {SHARE:.0%} of its pace", f"p95 < {P95 * 1e3:.0f} ms", seen
