"""Play all scenarios: `make chaos`, or `python -m tests.faults --only killed-worker --seed 7`."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import time

from tests.faults import table
from tests.faults.scenario import FULL, QUICK, Scale
from tests.faults.scenarios import SCENARIOS
from tests.faults.table import Row


def main() -> int:
    """Return 1 when a scenario is red, 130 when the run was interrupted."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=...", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat the run with this seed")
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="at the tests' small scale")
    parser.add_argument("--times", type=int, default=1, help="how often, each with another seed")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 30) if options.seed is None else options.seed
    scale = QUICK if options.quick else FULL
    names = options.only or list(SCENARIOS)
    began = time.perf_counter()
    try:
        rows = [
            row
            for turn in range(options.times)
            for row in asyncio.run(_play(names, seed + turn, scale))
        ]
    except (KeyboardInterrupt, asyncio.CancelledError):
        print(f"interrupted; seed {seed}", file=sys.stderr)
        return 130
    red = [row for row in rows if not row.green]
    print(f"\n{len(rows)} runs in {time.perf_counter() - began:.0f} s, {len(red)} red, seed {seed}")
    for row in red:
        print(f"again: make chaos ARGS='--only {row.scenario} --seed {row.seed}'")
    return bool(red)


async def _play(names: list[str], seed: int, scale: Scale) -> list[Row]:
    play = asyncio.current_task()
    if play is not None:  # so that SIGTERM, too, leaves nothing behind
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, play.cancel)
    print(f"\n{table.header()}", flush=True)
    return [await SCENARIOS[name](seed, scale) for name in names]


if __name__ == "__main__":
    sys.exit(main())
