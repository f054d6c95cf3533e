#!/usr/bin/env python3
"""Measures ficus against itself: what a million tenants, five hundred routes, a proof or a second thread cost a request,
and what it adds to an answer's time.

Each case runs its variants of ficus at once and loads them in turns, round by round, so that a noisy hour hits them all
alike. What counts is the ratio of CPU a request: of the medians, and of each variant's least disturbed round, since what
others do on the machine only ever adds.

    cargo build --release --bins
    benches/ratios.py [CASE ...] [--rounds 5] [--seconds 4] [--json FILE]

Cases: tenants routes jwt session threads latency; all of them by default. `session` needs PostgreSQL's binaries, `jwt` openssl.
Needs nginx and wrk (Debian packages of these names).
"""

import argparse
import base64
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import compare
from compare import LEGACY, MODERN, TARGET, answers, cpu_seconds, is_modern, run, wait_for

PORT = 9400
# Sealed by Laravel with the key of bytes 00 to 1f, as in benches/identity.rs.
APP_KEY = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
SESSION = re.search(r'const SESSION: &str = "([^"]+)"', (compare.ROOT / "benches/identity.rs").read_text()).group(1)

HEADER = '[[tenant]]\nresolver = "header"\nname = "x-tenant-id"\n'
DASHBOARD = '[[route]]\npath = "/dashboard"\ncapability = "dashboard"\n'
# A tenant known by a number, as tokens and sessions name it.
ONE = 'request = function() return wrk.format("GET", "/dashboard", { %s }) end\n'


def random_tenant(count, target='"/dashboard"'):
    return (f"local i = 0\nrequest = function()\n  i = (i * 7919 + 13) % {count}\n"
            f'  return wrk.format("GET", {target}, {{ ["X-Tenant-ID"] = "t" .. i }})\nend\n')


class Variant:
    """One ficus with its own configuration, and the load that it gets."""

    def __init__(self, name, load, routes=DASHBOARD, tenant=HEADER, tenants=1_000, embedded=False, threads=1, cores="0"):
        self.name, self.load, self.routes, self.tenant = name, load, routes, tenant
        self.tenants, self.embedded, self.threads, self.cores = tenants, embedded, threads, cores

    def start(self, work, started, place):
        self.port = PORT + 10 * place
        folder = work / f"ficus-{place}"
        folder.mkdir()
        folder.chmod(0o755)
        bootstrap = folder / "bootstrap.json"
        bootstrap.write_text(json.dumps({"capabilities": {"dashboard": "read"}, "tenants": [
            {"id": n + 1, "slug": f"t{n}", "flags": {"dashboard": "modern"} if is_modern(n) else {}} for n in range(self.tenants)]}))
        database = "" if self.embedded else '[database]\nurl = "postgres://nobody@127.0.0.1:1/none"\n'
        flags = "" if self.embedded else f'[flags]\nbootstrap = "{bootstrap}"\nstate_dir = "{folder}/state"\n'
        (folder / "etc").mkdir()
        (folder / "etc/ficus.toml").write_text(f"""
            [proxy]
            listen = ["127.0.0.1:{self.port}"]
            threads = {self.threads}
            trusted_proxies = ["127.0.0.0/8"]
            [control]
            listen = "127.0.0.1:{self.port + 1}"
            [dashboard]
            listen = "127.0.0.1:{self.port + 2}"
            [engine]
            listen = "127.0.0.1:{self.port + 3}"
            {database}{flags}
            [upstream.legacy]
            url = "http://127.0.0.1:{LEGACY}"
            [upstream.modern]
            url = "http://127.0.0.1:{MODERN}"
            [capability.dashboard]
            effect = "read"
            modern = "modern"
            {self.routes}{self.tenant}""")
        (folder / "load.lua").write_text(self.load)
        self.script = folder / "load.lua"
        how = ["--embedded", "--state-dir", folder / "state"] if self.embedded else ["--roles", "proxy"]
        self.process = run(folder, started, self.cores, "ficus", TARGET / "ficus", "serve", *how, "--config", folder / "etc/ficus.toml",
                           FICUS__TELEMETRY__FORMAT="text")
        wait_for(self.name, lambda: answers(f"http://127.0.0.1:{self.port}/dashboard"))

    def measure(self, seconds, load_core="1", connections=64):
        before = cpu_seconds([self.process.pid])
        out = wrk(self.script, self.port, seconds, connections, load_core)
        spent = cpu_seconds([self.process.pid]) - before
        return {**out, "cpu": spent * 1e6 / out["requests"]}


def wrk(script, port, seconds, connections, core):
    command = ["taskset", "-c", core, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), "--latency"]
    out = subprocess.run([*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True).stdout
    if errors := re.search(r"Non-2xx or 3xx responses: (\d+)", out):
        sys.exit(f"{errors.group(1)} answers were no success:\n{out}")
    return {
        "requests": int(re.search(r"(\d+) requests in", out).group(1)),
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
        "p50": millis(re.search(r"^\s+50%\s+(\S+)", out, re.M).group(1)),
        "p99": millis(re.search(r"^\s+99%\s+(\S+)", out, re.M).group(1)),
    }


def millis(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def in_turns(work, started, options, variants, load_core="1"):
    for place, variant in enumerate(variants):
        variant.start(work, started, place)
    runs = {variant.name: [] for variant in variants}
    for variant in variants:
        variant.measure(1, load_core)
    for _ in range(options.rounds):
        for variant in variants:
            runs[variant.name].append(variant.measure(options.seconds, load_core))
            last = runs[variant.name][-1]
            print(f"  {variant.name:24} {last['rate']:8.0f} req/s  {last['cpu']:5.1f} us cpu", flush=True)
    return {name: {**{key: statistics.median(one[key] for one in all_of) for key in all_of[0]}, "best": min(one["cpu"] for one in all_of)}
            for name, all_of in runs.items()}


def ratio_of(medians, wanted):
    first, last = list(medians.values())[0], list(medians.values())[-1]
    return {"variants": medians, "ratio": last["cpu"] / first["cpu"], "best": last["best"] / first["best"], "wanted": wanted}


def tenants(work, started, options):
    """A million tenants beside a thousand."""
    variants = [Variant(f"{count} tenants", random_tenant(count), tenants=count) for count in (1_000, 1_000_000)]
    return ratio_of(in_turns(work, started, options, variants), "<= 1.05")


def routes(work, started, options):
    """Five hundred routes beside one; each request takes another of them."""
    many = "".join(f'[[route]]\npath = "/r{n}/{{id}}"\ncapability = "dashboard"\n' for n in range(500))
    load = random_tenant(1_000, '"/r" .. i % 500 .. "/" .. i')
    variants = [
        Variant("1 route", load, routes='[[route]]\npath = "/{part}/{id}"\ncapability = "dashboard"\n'),
        Variant("500 routes", load, routes=many),
    ]
    return ratio_of(in_turns(work, started, options, variants), "<= 1.05")


def jwt(work, started, options):
    """A signed token (RS256) that comes again, beside no proof at all."""
    key, public = work / "key.pem", work / "public.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    text = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=")
    signed = []
    for user in range(100):
        claims = {"sub": str(user), "tenant": user + 1, "exp": int(time.time()) + 86_400}
        body = b".".join(text(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
        seal = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=body, capture_output=True, check=True).stdout
        signed.append((body + b"." + text(seal)).decode())
    table = "local tokens = {" + ",".join(f'"{token}"' for token in signed) + "}\n"
    load = lambda field: table + ("local i = 0\nrequest = function()\n  i = i % 100 + 1\n"
                                  f'  return wrk.format("GET", "/dashboard", {{ {field} }})\nend\n')
    # The same head for both: what is compared is the proof, not the bytes.
    fields = '["X-Tenant-ID"] = tostring(i), ["Authorization"] = "Bearer " .. tokens[i]'
    by_token = f'[[tenant]]\nresolver = "jwt"\nalgorithm = "RS256"\nkey = {{ file = "{public}" }}\n'
    variants = [Variant("no proof", load(fields)), Variant("RS256, repeated", load(fields), tenant=by_token)]
    return ratio_of(in_turns(work, started, options, variants), "<= 1.2")


def session(work, started, options):
    """Laravel's encrypted cookie of a session that is remembered, beside no proof at all."""
    fields = f'["X-Tenant-ID"] = "7", ["Cookie"] = "laravel_session={SESSION}"'
    by_session = f"""[[tenant]]
        resolver = "laravel_session"
        app_key = "{APP_KEY}"
        cache_ttl = "1h"
        query = "select 7::bigint where $1 <> '' and $2::bigint > 0"
        """
    variants = [
        Variant("no proof", ONE % fields, embedded=True),
        Variant("session, remembered", ONE % fields, tenant=by_session, embedded=True),
    ]
    return ratio_of(in_turns(work, started, options, variants), "<= 1.1")


def threads(work, started, options):
    """Two workers beside one. With two cores for everything the throughput of two cannot be seen, but what keeps it from
    doubling can: what a request costs more where two workers run at once. Speed-up = 2 x cost of one / cost of two."""
    variants = [Variant(f"{count} threads", random_tenant(1_000), threads=count, cores="0,1") for count in (1, 2)]
    medians = in_turns(work, started, options, variants, "0,1")
    speed_up = lambda key: 2 * medians["1 threads"][key] / medians["2 threads"][key]
    return {"variants": medians, "ratio": speed_up("cpu"), "best": speed_up("best"), "wanted": ">= 1.8"}


def latency(work, started, options):
    """What an answer takes longer than from the origin itself, at half of ficus' peak; HAProxy and pingora alone beside it.
    wrk pauses in whole milliseconds, so requests come in bursts, and each waits for those before it in every proxy."""
    variant = Variant("ficus", random_tenant(1_000))
    variant.start(work, started, 0)
    peak = statistics.median(variant.measure(options.seconds)["rate"] for _ in range(3))
    connections = 32
    # Each connection waits this long on average between an answer and the next request: whole milliseconds, as wrk has it.
    pause = connections / (peak / 2) * 1e3
    script = variant.script.with_name("paced.lua")
    script.write_text(variant.load + f"function delay() return math.floor({pause:.4f} + math.random()) end\n")
    (work / "haproxy.map").write_text("".join(f"t{n} {'modern' if is_modern(n) else 'legacy'}\n" for n in range(1_000)))
    run(work, started, 0, "haproxy", "haproxy", "-db", "-f", work / "haproxy.cfg")
    ports = {"direct": LEGACY, "HAProxy": 9112, "ficus": variant.port}
    if (bare := TARGET / "examples" / "bare_pingora").exists():
        run(work, started, 0, "pingora", bare, "127.0.0.1:9114", f"127.0.0.1:{LEGACY}")
        ports["pingora"] = 9114
    for name, port in ports.items():
        wait_for(name, lambda: answers(f"http://127.0.0.1:{port}/dashboard"))
    seen = {name: [] for name in ports}
    for _ in range(options.rounds):
        for name, port in ports.items():
            seen[name].append(wrk(script, port, options.seconds, connections, "1"))
            last = seen[name][-1]
            print(f"  {name:24} {last['rate']:8.0f} req/s  p50 {last['p50']:.3f} ms  p99 {last['p99']:.3f} ms", flush=True)
    median = {name: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for name, runs in seen.items()}
    added = {name: {key: each[key] - median["direct"][key] for key in ("p50", "p99")} for name, each in median.items() if name != "direct"}
    return {"variants": median, "peak": peak, "added_ms": added, "wanted": "p50 <= 0.2 ms, p99 <= 1 ms"}


CASES = {case.__name__: case for case in (tenants, routes, jwt, session, threads, latency)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(unknown)}")
    results = {}
    for name in options.cases or CASES:
        print(f"{name}: {CASES[name].__doc__}", flush=True)
        compare.must_be_free(LEGACY, MODERN, 9112, 9114, *range(PORT, PORT + 20, 10))
        started = []
        with tempfile.TemporaryDirectory(prefix="ficus-ratios-") as folder:
            work = pathlib.Path(folder)
            work.chmod(0o755)
            try:
                compare.write_configurations(work, 10)
                run(work, started, 1, "origins", "nginx", "-c", work / "origins.conf")
                results[name] = CASES[name](work, started, options)
            finally:
                compare.stop(started)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    print("\n| case | seen | wanted |\n|---|---|---|")
    for name, result in results.items():
        if "ratio" in result:
            cost = " → ".join(f"{each['cpu']:.1f}" for each in result["variants"].values())
            seen = f"{result['ratio']:.2f} ({cost} µs a request); least disturbed {result['best']:.2f}"
        else:
            seen = "; ".join(f"{who} p50 +{each['p50']:.2f} ms, p99 +{each['p99']:.2f} ms" for who, each in result["added_ms"].items())
        print(f"| {name} | {seen} | {result['wanted']} |")


if __name__ == "__main__":
    main()
