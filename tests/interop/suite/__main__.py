"""BullMQ's behaviours as scenarios, each played with BullMQ's Worker and with Toril's.

  make interop-suite                                  plays all
  make interop-suite ARGS="--only priorities"         plays those with this in their name
  make interop-suite ARGS="--worker toril"            plays them with one kind of worker
  make interop-suite ARGS="--times 5"                 plays them several times

In each, BullMQ on Node adds the jobs and looks at what becomes of them. The run fails if BullMQ's
own worker does not pass a scenario, if Toril's fails one that differences.toml does not list or
passes one that it lists, and if a job is lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.interop.suite.verdict import (
    Played,
    Row,
    complaints,
    read_differences,
    rows_of,
    unknown,
)
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "tests" / "interop" / "node" / "suite" / "run.js"
KINDS = ("bullmq", "toril")
AT_ONCE = 4  # scenarios a process; most of their time goes by in waiting


def play(kind: str, port: int, only: str) -> list[Played]:
    """Play the scenarios with one kind of worker."""
    config = {
        "kind": kind,
        "port": port,
        "only": only,
        "python": sys.executable,
        "root": str(ROOT),
        "at_once": AT_ONCE,
    }
    played = []
    with subprocess.Popen(
        ["node", str(PROGRAM), json.dumps(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found = json.loads(line)
            played.append(Played(**{**found, "wrong": tuple(found["wrong"])}))
            if sys.stderr.isatty():
                print(f"{kind} {len(played)}", end="\r", file=sys.stderr)
    if process.returncode != 0:
        sys.exit(f"the scenarios ended with {process.returncode} under {kind}")
    return played


def play_all(kinds: Sequence[str], port: int, only: str) -> dict[str, list[Played]]:
    """Play the scenarios with all kinds of workers at once."""
    played: dict[str, list[Played]] = {}

    def run(kind: str) -> None:
        played[kind] = play(kind, port, only)

    threads = [threading.Thread(target=run, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(played) < len(kinds):
        sys.exit("the scenarios did not all run")
    return played


def show(rows: Sequence[Row]) -> None:
    """Print the table."""

    def word(one: Played | None) -> str:
        return "–" if one is None else "pass" if one.passed else "FAIL"

    width = max((len(row.name) for row in rows), default=0)
    print(f"{'scenario':{width}}  BullMQ  Toril  why they differ")
    for row in rows:
        reason = row.reason if row.reason and not (row.toril and row.toril.passed) else ""
        line = f"{row.name:{width}}  {word(row.bullmq):6}  {word(row.toril):5}  {reason}"
        print(line.rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="interop-suite",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="what the scenario's name contains")
    parser.add_argument("--worker", choices=KINDS, help="the kind of worker; both unless given")
    parser.add_argument("--times", type=int, default=1, help="how often to play them")
    options = parser.parse_args()
    kinds = [options.worker] if options.worker else KINDS
    differences = read_differences()
    found: list[str] = []
    for _ in range(options.times):
        with tempfile.TemporaryDirectory() as folder:
            server = RedisServer(Path(folder))
            server.start()
            begun = time.monotonic()
            try:
                rows = rows_of(play_all(kinds, server.port, options.only), differences)
            finally:
                server.stop()
        show(rows)
        for kind in kinds:
            passed = sum(1 for row in rows if (one := getattr(row, kind)) and one.passed)
            print(f"{kind}: {passed} of {len(rows)} pass", end=", ")
        print(f"{time.monotonic() - begun:.0f} s")
        found += complaints(rows)
        found += unknown(rows, differences) if not options.only else ()
    for one in found:
        print(f"! {one}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
