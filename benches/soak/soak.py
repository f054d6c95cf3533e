#!/usr/bin/env python3
"""The promises that take long to check: each run prints one line, and the whole fails if one of them is broken.

    cargo build --release --locked --bin ficus
    benches/soak/soak.py [--markdown FILE] [RUN...]

Runs: idle, transfer, slow, malformed, tunnels, flood, users, corpus; all of them, about ten minutes, where none is named.
On a quiet machine: what else runs there slows the load and ficus alike. Python 3 and no more, nginx (nginx-light), wrk,
slowhttptest, haproxy, and for `users` PHP with Laravel as the demo needs them.
"""

import argparse
import importlib
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from ground import ROOT, Broken, Ground, Missing  # noqa: E402

RUNS = ["idle", "transfer", "slow", "malformed", "tunnels", "flood", "users", "corpus"]


def main():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=target / "release/ficus", type=pathlib.Path)
    parser.add_argument("--markdown", type=pathlib.Path, help="where to write the table for docs/BENCHMARKS.md")
    parser.add_argument("--keep", action="store_true", help="leave logs and configurations, and say where they are")
    parser.add_argument("runs", nargs="*", choices=[*RUNS, []], metavar="RUN")
    told = parser.parse_args()
    if not told.binary.exists():
        sys.exit(f"{told.binary} is missing: cargo build --release --locked --bin ficus")
    rows, tables, broken = ["| run | wanted | seen |", "|---|---|---|"], [], 0
    for name in told.runs or RUNS:
        ground = Ground(told.binary.resolve())
        ground.tables = tables
        begun = time.monotonic()
        try:
            what, wanted, seen = importlib.import_module(name).run(ground)
            verdict = "ok"
        except Missing as missing:
            what, wanted, seen, verdict = name, "", str(missing), "MISSING"
        except (Broken, OSError) as fault:
            what, wanted, seen, verdict = name, "", f"{type(fault).__name__}: {fault}", "BROKEN"
        finally:
            ground.stop() if told.keep else ground.remove()
        broken += verdict != "ok"
        print(f"{verdict:8}{name:10}{time.monotonic() - begun:5.0f} s  {seen}", flush=True)
        rows.append(f"| {what} | {wanted} | {'' if verdict == 'ok' else '**' + verdict.lower() + '** '}{seen} |")
        if told.keep:
            print(f"        {ground.work}", flush=True)
    text = "\n".join(rows) + "\n" + "".join(f"\n{table}\n" for table in tables)
    if told.markdown:
        told.markdown.write_text(text)
    print("\n" + text)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
