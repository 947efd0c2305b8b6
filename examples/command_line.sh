#!/bin/sh
# Write a module with one task, add a few jobs, run them, and inspect the results.
set -eu
export TORIL_URL=sqlite:///tasks.db NO_COLOR=1

cat > tasks.py <<'PYTHON'
from toril import JobContext, QueueManager

manager = QueueManager()  # uses TORIL_URL
queue = manager.register_queue("tasks")


@queue.task(attempts=2)
def divide(job: JobContext, a: int, b: int) -> float:
    job.log(f"dividing {a} by {b}")
    return a / b
PYTHON

toril add tasks divide '{"a": 6, "b": 3}' --create --job-id good
toril add tasks divide '{"a": 6, "b": 0}' --job-id bad --attempts 2
toril add tasks divide '{"a": 1, "b": 4}' --job-id later --delay 1d --tag night

toril worker tasks:manager --burst
toril job list tasks --state failed
toril job logs tasks good

toril job promote tasks --tag night --yes
toril worker tasks:manager --burst
toril job show tasks later --json | grep '"result"'

toril queue clean tasks --state failed --grace 0s --yes
toril queue list
toril doctor
