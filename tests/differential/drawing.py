"""What is drawn: jobs with options, each drawn by itself, and what becomes of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.differential.dice import Dice
from toril.engine.redis.scripts.script import as_json
from toril.model.job import AttemptError, Lease, NewJob
from toril.model.job_options import JobOptions, encode_options
from toril.model.options import Deduplication, Keep
from toril.model.settlement import Complete, Fail, Release, Retry, Settlement

IDS = [f"job-{letter}" for letter in "abcdefghij"]


KEEPS = [Keep(count=0), Keep(count=1), Keep(age=2), Keep(count=2, age=2)]
RULES = [
    Deduplication.simple("simple"),
    Deduplication.throttle(0.5, "throttled"),
    Deduplication("extended", 500, extend=True),
    Deduplication.debounce(0.5, "debounced"),
    Deduplication("replaced", 500, replace=True),
    Deduplication("replaced", None),
    Deduplication("replaced", 500),
]
DELAYS_MS = [100, 500, 3_000]
FLAGS = [
    "failParentOnFailure",
    "continueParentOnFailure",
    "ignoreDependencyOnFailure",
    "removeDependencyOnFailure",
]

KINDS = [*["complete"] * 6, *["fail"] * 5, *["retry"] * 4, *["release"] * 2]
LEASES_MS = [1_000, 1_000, 5_000]


def options(dice: Dice) -> dict[str, Any]:
    """Draw a job's options, each by itself."""
    return _given(
        priority=dice.seldom([1, 2], one_in=3),
        delay=dice.seldom([ms / 1000 for ms in DELAYS_MS], one_in=5),
        lifo=dice.seldom([True], one_in=4),
        attempts=dice.seldom([2, 3], one_in=2),
        remove_on_complete=dice.seldom(KEEPS, one_in=3),
        remove_on_fail=dice.seldom(KEEPS, one_in=3),
        deduplication=dice.seldom(RULES, one_in=3),
    )


def node_options(dice: Dice) -> dict[str, Any]:
    """Draw options as Node.js writes them, for jobs that Node.js adds."""
    return _given(
        priority=dice.seldom([1, 2], one_in=4),
        delay=dice.seldom(DELAYS_MS, one_in=6),
        lifo=dice.seldom([True], one_in=4),
        removeOnComplete=dice.seldom([True, 1], one_in=4),
        removeOnFail=dice.seldom([True, 1], one_in=4),
    )


def _given(**drawn: Any) -> dict[str, Any]:
    return {name: value for name, value in drawn.items() if value is not None}


def retry_delay(dice: Dice) -> int:
    return dice.seldom(DELAYS_MS, one_in=3) or 0


def new_job(job_id: str, args: dict[str, Any]) -> NewJob:
    """Return a job for Toril."""
    return new_jobs([job_id], args)[0]


def new_jobs(ids: Sequence[str], args: dict[str, Any]) -> list[NewJob]:
    """Return jobs for Toril that share their options."""
    given = JobOptions.of({"attempts": 1, "backoff": None} | args)
    encoded = encode_options(given)
    return [NewJob(one, "send", '{"number":1}', given, encoded) for one in ids]


def theirs_of(new: NewJob) -> dict[str, Any]:
    """Return a job's options as a caller of BullMQ writes them."""
    given = new.options
    rule = given.deduplication
    found: dict[str, Any] = {
        "jobId": new.id,
        "attempts": given.attempts,
        "delay": given.delay_ms,
        "priority": given.priority,
        "lifo": given.lifo,
        "removeOnComplete": kept(given.keep_completed),
        "removeOnFail": kept(given.keep_failed),
    }
    if rule is not None:
        named = {"id": rule.key, "ttl": rule.ttl_ms, "extend": rule.extend, "replace": rule.replace}
        found["deduplication"] = {name: value for name, value in named.items() if value}
    return found


def kept(keep: Keep | None) -> Any:
    if keep is None:
        return False
    if keep.age is None:
        return keep.count or True
    return {"age": keep.age} | ({} if keep.count is None else {"count": keep.count})


def result_of(job_id: str) -> Any:
    return {"done": job_id}


def settlement(kind: str, lease: Lease, delay_ms: int) -> Settlement:
    """Return what a worker of Toril's sends."""
    error = AttemptError(lease.attempts_made + 1, "ValueError", "it did not work", "the traceback")
    match kind:
        case "complete":
            return Complete(lease, as_json(result_of(lease.id)), lease.options.keep_completed)
        case "fail":
            return Fail(lease, error, lease.options.keep_failed)
        case "retry":
            return Retry(lease, error, delay_ms)
        case _:
            return Release(lease, delay_ms)
