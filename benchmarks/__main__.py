"""`python -m benchmarks`: measure, compare, write down.

Exit code 0: all that could run did; 1: a trial failed. A goal that is missed is for the reader.
"""

import shlex
import signal
import sys
from datetime import UTC, datetime

from benchmarks.machine import describe
from benchmarks.options import Options, parse
from benchmarks.reports import console
from benchmarks.reports.files import write
from benchmarks.reports.report import Report
from benchmarks.rounds import Outcome, run_rounds
from benchmarks.summary import summarize
from benchmarks.trials import TRIALS


def main() -> int:
    """Run the benchmark as the command line says."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that Redis is stopped, too
    options = parse()
    wanted = {key for row in options.rows for key in row.trials()}
    trials = [trial for key, trial in TRIALS.items() if key in wanted]
    outcome = run_rounds(
        trials, options.rounds, options.params, options.scratch, console.show_progress
    )
    report = _report(options, outcome)
    console.show(report)
    for path in write(report):
        sys.stderr.write(f"written: benchmarks/results/{path.name}\n")
    return 1 if outcome.failed else 0


def _report(options: Options, outcome: Outcome) -> Report:
    return Report(
        name=options.name,
        date=datetime.now(UTC).date().isoformat(),
        command=shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        machine=describe(options.scratch),
        params=options.params,
        outcome=outcome,
        lines=[summarize(row, outcome.rounds) for row in options.rows],
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing is written\n")
        sys.exit(130)
