"""The command line."""

import argparse
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatch

from benchmarks.measurement import Params
from benchmarks.rows import ROWS, Row

QUICK = Params(jobs=2_000, samples=100, seconds=2.0, large=50_000)
QUICK_ROUNDS = 1
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    rounds: int
    rows: list[Row]
    params: Params
    scratch: str
    name: str


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line."""
    parser = _parser()
    given = parser.parse_args(arguments)
    rows = [row for row in ROWS if any(fnmatch(row.key, only) for only in given.only)]
    if not rows:
        parser.error(f"--only matches no row; there are {', '.join(row.key for row in ROWS)}")
    return Options(
        rounds=given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS),
        rows=rows,
        params=_params(given),
        scratch=given.scratch,
        name=given.name or _name(quick=given.quick, partial=len(rows) < len(ROWS)),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=_DESCRIPTION)
    parser.add_argument("--rounds", type=_positive, help=f"rounds to run (default {ROUNDS})")
    parser.add_argument("--jobs", type=_positive, help=f"jobs a trial (default {Params().jobs})")
    parser.add_argument("--quick", action="store_true", help="one small round: does it all run?")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="ROW", help=_ONLY)
    parser.add_argument("--appendfsync", choices=("no", "everysec", "always"), help=_APPENDFSYNC)
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS", help=_LATENCY)
    parser.add_argument("--name", help="name of the files in benchmarks/results")
    parser.add_argument("--scratch", default=tempfile.gettempdir(), help=_SCRATCH)
    return parser


_DESCRIPTION = "Measure Toril beside its peers, in one run, and check that each job ran once."
_ONLY = "rows to run, by key or pattern, as process-* or size-*"
_APPENDFSYNC = "let Redis keep a log of writes, and sync it so (default: it keeps nothing)"
_LATENCY = "milliseconds that the way to Redis and back takes more, for all peers alike"
_SCRATCH = "directory on a real disk for the databases (default: the system's temporary one)"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _params(given: argparse.Namespace) -> Params:
    base = QUICK if given.quick else Params()
    return Params(
        appendfsync=given.appendfsync,
        latency_ms=given.latency,
        jobs=given.jobs or base.jobs,
        samples=base.samples,
        seconds=base.seconds,
        small=base.small,
        large=base.large,
    )


def _name(*, quick: bool, partial: bool) -> str:
    if quick:
        return "quick"
    return "partial" if partial else "all"
