"""What is drawn: jobs with options, each drawn by itself, and what becomes of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from toril.engine.redis.packing import as_json
from toril.model.codec import encode_options
from toril.model.job import AttemptError, Lease, NewJob
from toril.model.job_options import JobOptions
from toril.model.options import Deduplication, Keep
from toril.model.settlement import Complete, Fail, Release, Retry, Settlement

IDS = [f"job-{letter}" for letter in "abcdefghij"]


def one_of(**odds: int) -> st.SearchStrategy[str]:
    """Draw a word, each as often as its number says."""
    return st.sampled_from([word for word, times in odds.items() for _ in range(times)])


def now_and_then(values: Sequence[Any], *, one_in: int) -> st.SearchStrategy[Any]:
    """Draw a value, or None: one in so many is none of these."""
    return st.sampled_from([*values, *([None] * (len(values) * (one_in - 1)))])


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

options = st.fixed_dictionaries(
    {
        "priority": now_and_then([1, 2], one_in=3),
        "delay": now_and_then([ms / 1000 for ms in DELAYS_MS], one_in=5),
        "lifo": now_and_then([True], one_in=4),
        "attempts": now_and_then([2, 3], one_in=2),
        "remove_on_complete": now_and_then(KEEPS, one_in=3),
        "remove_on_fail": now_and_then(KEEPS, one_in=3),
        "deduplication": now_and_then(RULES, one_in=3),
    }
).map(lambda drawn: {name: value for name, value in drawn.items() if value is not None})

kinds = one_of(complete=6, fail=4, retry=4, release=2)
delays = st.sampled_from([0, 0, 0, 0, *DELAYS_MS])
leases_ms = st.sampled_from([1_000, 1_000, 5_000])

node_options = st.fixed_dictionaries(
    {
        "priority": now_and_then([1, 2], one_in=4),
        "delay": now_and_then(DELAYS_MS, one_in=4),
        "lifo": now_and_then([True], one_in=4),
        "removeOnComplete": now_and_then([True, 1], one_in=4),
        "removeOnFail": now_and_then([True, 1], one_in=4),
    }
).map(lambda drawn: {name: value for name, value in drawn.items() if value is not None})
"""Options as Node.js writes them, for jobs that Node.js adds."""


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
