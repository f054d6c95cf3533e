"""The corpus of raw requests through nginx, HAProxy and ficus: the test that `make test` leaves out, and its table."""

import os
import pathlib
import subprocess

from ground import ROOT, expect, need

TEST = "proxy::corpus::beside"


def run(ground):
    need("nginx", "nginx-light")
    need("haproxy", "haproxy")
    details = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "corpus.txt"
    command = ["cargo", "test", "--locked", "--quiet", "--test", "it", TEST, "--", "--ignored", "--nocapture"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "CORPUS_DETAILS": str(details)})
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    expect(done.returncode == 0 and len(table) == 5, f"the test failed: {(done.stdout + done.stderr)[-2000:]}")
    ground.tables.append("\n".join(table))
    cells = [cell.strip() for cell in table[-1].strip("|").split("|")]
    ours = dict(zip(["proxy", "pass", "warn", "fail", "desync", "hang", "leak", "crossed", "stray"], cells))
    seen = ", ".join(f"{ours[key]} {key}" for key in list(ours)[1:])
    expect(all(ours[key] == "0" for key in ("desync", "hang", "leak", "crossed", "stray")), seen)
    return "the corpus of raw requests", "0 desyncs, 0 hangs, 0 leaks, 0 crossed", f"{seen} (beside nginx and HAProxy: the table below)"
