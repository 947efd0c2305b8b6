"""The process that measures: `python -m benchmarks.child PEER SCENARIO`, params on stdin.

The measurement is the last line on stdout, as JSON; whatever an adapter logs goes before it.
"""

import sys
from importlib import import_module

import msgspec

from benchmarks.measurement import Params, Scenario
from benchmarks.peers import PEERS, Run


def main() -> None:
    """Run one adapter once."""
    peer, scenario = sys.argv[1:]
    params = msgspec.json.decode(sys.stdin.buffer.read(), type=Params)
    run: Run = import_module(PEERS[peer].module).run
    measurement = run(Scenario(scenario), params)
    sys.stdout.write(f"\n{msgspec.json.encode(measurement).decode()}\n")


if __name__ == "__main__":
    main()
