#!/usr/bin/env python3
"""Measures ficus beside what an operator would use instead: nginx and HAProxy with a map, and pingora alone.

All on one machine: each proxy with one worker on core 0, the two origins and the load on core 1. 100,000 tenants,
three in ten of them modern, one tenant header a request. Absolute figures differ from machine to machine and from
hour to hour, so the proxies take turns, round by round, and what counts is the ratio: of the medians, and of each one's least
disturbed round, since what others do on the machine only ever adds.

    cargo build --release --bins --examples
    benches/compare.py [--rounds 3] [--seconds 4] [--tenants 100000]

Needs nginx, haproxy and wrk (Debian packages of these names), and PostgreSQL's binaries.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
LEGACY, MODERN = 9100, 9101


def must_be_free(*ports):
    """What an earlier run left behind would answer in place of what is to be measured."""
    for port in ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                sys.exit(f"port {port} is taken: end what listens there first")


def is_modern(n):
    return n % 10 < 3


def run(work, started, core, name, *command, **environment):
    """Starts a process on one core; its output goes to a file named for it."""
    log = open(work / f"{name}.log", "wb")
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *map(str, command)],
        stdout=subprocess.DEVNULL, stderr=log, env={**os.environ, **environment}, start_new_session=True)
    started.append(process)
    return process


def write_configurations(work, tenants):
    side = lambda n: "modern" if is_modern(n) else "legacy"
    (work / "haproxy.map").write_text("".join(f"t{n} {side(n)}\n" for n in range(tenants)))
    (work / "nginx.map").write_text("".join(f"t{n} {side(n)};\n" for n in range(tenants)))
    common = f"worker_processes 1; daemon off; error_log {work}/nginx.err;"
    http = "access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;"
    answer = '\'{"status":"ok","padding":"%s"}\'' % ("0123456789" * 4)
    servers = "".join(
        f"server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 {answer}; }} }}" for port in (LEGACY, MODERN))
    (work / "origins.conf").write_text(
        f"{common} pid {work}/origins.pid; events {{ worker_connections 4096; }} http {{ {http} default_type application/json; {servers} }}")
    upstream = lambda name, port: f"upstream {name} {{ server 127.0.0.1:{port}; keepalive 256; keepalive_requests 1000000000; }}"
    (work / "nginx.conf").write_text(
        f"{common} pid {work}/nginx.pid; events {{ worker_connections 4096; }} http {{ {http}"
        f" map_hash_max_size 262144; map_hash_bucket_size 128;"
        f" map $http_x_tenant_id $side {{ default legacy; include {work}/nginx.map; }}"
        f" {upstream('legacy', LEGACY)} {upstream('modern', MODERN)}"
        ' server { listen 127.0.0.1:9111 backlog=4096; location / { proxy_http_version 1.1; proxy_set_header Connection "";'
        " proxy_pass http://$side; } } }")
    (work / "haproxy.cfg").write_text(
        "global\n nbthread 1\n maxconn 8192\ndefaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n"
        " http-reuse always\nfrontend in\n bind 127.0.0.1:9112\n"
        f" use_backend %[req.hdr(x-tenant-id),map({work}/haproxy.map,legacy)]\n"
        f"backend legacy\n server s 127.0.0.1:{LEGACY}\nbackend modern\n server s 127.0.0.1:{MODERN}\n")
    # In a folder of its own: ficus looks at its configuration again whenever anything changes beside it.
    (work / "etc").mkdir()
    (work / "etc/ficus.toml").write_text(f"""
        [proxy]
        listen = ["127.0.0.1:9113"]
        threads = 1
        trusted_proxies = ["127.0.0.0/8"]
        [control]
        listen = "127.0.0.1:9190"
        [dashboard]
        listen = "127.0.0.1:9192"
        [engine]
        listen = "127.0.0.1:9193"
        [upstream.legacy]
        url = "http://127.0.0.1:{LEGACY}"
        [upstream.modern]
        url = "http://127.0.0.1:{MODERN}"
        [capability.dashboard]
        effect = "read"
        modern = "modern"
        [[route]]
        path = "/dashboard"
        capability = "dashboard"
        [[tenant]]
        resolver = "header"
        name = "x-tenant-id"
        """)
    (work / "tenants.lua").write_text(
        "local i = 0\nrequest = function()\n  i = (i * 7919 + 13) % " + str(tenants) + "\n"
        '  return wrk.format("GET", "/dashboard", { ["X-Tenant-ID"] = "t" .. i })\nend\n')


def wait_for(what, is_there, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_there():
            return
        time.sleep(0.05)
    sys.exit(f"{what}: not there after {seconds} s")


def answers(url):
    # With a tenant: HAProxy's map finds no backend for a request without one.
    request = urllib.request.Request(url, headers={"X-Tenant-ID": "t0"})
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def fill_ficus(work, tenants):
    """Writes the tenants and their flags through psql, as an operator could."""
    log = (work / "ficus.log").read_text()
    url = re.search(r"PostgreSQL at (\S+)", log).group(1)
    sql = f"""
        insert into ficus.capability (name) values ('dashboard') on conflict do nothing;
        insert into ficus.tenant (id, slug) select n + 1, 't' || n from generate_series(0, {tenants - 1}) as n;
        insert into ficus.flag (tenant_id, capability, state)
        select n + 1, 'dashboard', 'modern' from generate_series(0, {tenants - 1}) as n where n % 10 < 3;
        select revision from ficus.clock;"""
    done = subprocess.run(["psql", url, "-v", "ON_ERROR_STOP=1", "-qtA", "-c", sql], capture_output=True, text=True, check=True)
    revision = int(done.stdout.split()[-1])
    ready = lambda: json.load(urllib.request.urlopen("http://127.0.0.1:9190/health/ready", timeout=5))["revision"] >= revision
    wait_for("ficus' snapshot", ready)


def check_routing(port):
    """A benchmark of a proxy that routes wrongly would be worth nothing."""
    for n in (0, 2, 3, 9):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/dashboard", headers={"X-Tenant-ID": f"t{n}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            served = answer.headers.get("x-ficus-served-by")
            assert served is None or served == ("modern" if is_modern(n) else "legacy"), f"t{n} was served by {served}"


def family(pid):
    """A process and everything below it: nginx's work is done by its child."""
    found = [pid]
    for child in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split():
        found += family(int(child))
    return found


def cpu_seconds(pids):
    """As the scheduler counts it, in nanoseconds: the ticks of /proc/PID/stat are samples, of which a busy host loses many."""
    tasks = (task for pid in pids for task in pathlib.Path(f"/proc/{pid}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def measure(work, port, pids, seconds, connections):
    before = cpu_seconds(pids)
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(work / "tenants.lua"), "--latency"]
    out = subprocess.run([*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True).stdout
    spent = cpu_seconds(pids) - before
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", out)))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    p99 = re.search(r"99%\s+(\S+)", out).group(1)
    return rate, spent * 1e6 / requests, p99, errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--tenants", type=int, default=100_000)
    options = parser.parse_args()
    for tool in ("nginx", "haproxy", "wrk", "psql", "taskset"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing")
    must_be_free(LEGACY, MODERN, 9111, 9112, 9113, 9114, 9190)
    started = []
    with tempfile.TemporaryDirectory(prefix="ficus-compare-") as folder:
        work = pathlib.Path(folder)
        work.chmod(0o755)
        try:
            write_configurations(work, options.tenants)
            run(work, started, 1, "origins", "nginx", "-c", work / "origins.conf")
            proxies = {
                "nginx": (9111, run(work, started, 0, "nginx", "nginx", "-c", work / "nginx.conf")),
                "haproxy": (9112, run(work, started, 0, "haproxy", "haproxy", "-db", "-f", work / "haproxy.cfg")),
                "ficus": (9113, run(work, started, 0, "ficus", TARGET / "ficus", "serve", "--embedded", "--config", work / "etc/ficus.toml",
                                    "--state-dir", work / "state", FICUS__TELEMETRY__FORMAT="text")),
            }
            bare = TARGET / "examples" / "bare_pingora"
            if bare.exists():
                proxies["pingora"] = (9114, run(work, started, 0, "pingora", bare, "127.0.0.1:9114", f"127.0.0.1:{LEGACY}"))
            wait_for("ficus", lambda: answers("http://127.0.0.1:9190/health/ready"))
            fill_ficus(work, options.tenants)
            for name, (port, _) in proxies.items():
                wait_for(name, lambda: answers(f"http://127.0.0.1:{port}/dashboard"))
                check_routing(port)
            results = {name: [] for name in proxies}
            for _ in range(options.rounds):
                for name, (port, process) in proxies.items():
                    # PostgreSQL, which ficus started, is idle and is not the proxy.
                    pids = [process.pid] if name == "ficus" else family(process.pid)
                    results[name].append(measure(work, port, pids, options.seconds, options.connections))
                    rate, cpu, p99, errors = results[name][-1]
                    print(f"{name:8} {rate:8.0f} req/s  {cpu:5.1f} us cpu  p99 {p99}  errors {errors}", flush=True)
            report(results)
        finally:
            stop(started)


def stop(started):
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=20)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            process.kill()


def report(results):
    median = {name: tuple(statistics.median(run[i] for run in runs) for i in (0, 1)) for name, runs in results.items()}
    print("\nmedians; cpu per request, and as a ratio to HAProxy and to pingora alone")
    for name, (rate, cpu) in sorted(median.items(), key=lambda item: item[1][1]):
        print(f"{name:8} {rate:8.0f} req/s  {cpu:5.1f} us  {ratios(name, {each: it[1] for each, it in median.items()})}")
    best = {name: min(run[1] for run in runs) for name, runs in results.items()}
    print("\nthe least disturbed round of each")
    for name, cpu in sorted(best.items(), key=lambda item: item[1]):
        print(f"{name:8} {cpu:5.1f} us  {ratios(name, best)}")


def ratios(name, cpu):
    beside = [("haproxy", "HAProxy"), *([("pingora", "pingora")] if "pingora" in cpu else [])]
    return "  ".join(f"{cpu[name] / cpu[other]:.2f} x {words}" for other, words in beside)


if __name__ == "__main__":
    main()
