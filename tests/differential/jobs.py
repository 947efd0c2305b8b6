"""The same jobs and settlements for both sides."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from toril.model.codec import encode_options
from toril.model.job import AttemptError, Lease, NewJob
from toril.model.job_options import JobOptions
from toril.model.options import Deduplication, Keep
from toril.model.settlement import Complete, Fail, Release, Retry, Settlement

IDS = [f"job-{letter}" for letter in "abcdefgh"]

keeps = st.sampled_from([Keep(count=0), Keep(count=1), Keep(age=2), Keep(count=2, age=2)])
rules = st.sampled_from(
    [
        Deduplication.simple("simple"),
        Deduplication.throttle(0.5, "throttled"),
        Deduplication("extended", 500, extend=True),
        Deduplication.debounce(0.5, "debounced"),
        Deduplication("replaced", 500, replace=True),
    ]
)
options = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.sampled_from([1, 2]),
        "delay": st.sampled_from([0.1, 0.5, 3]),
        "lifo": st.just(value=True),
        "attempts": st.sampled_from([2, 3]),
        "remove_on_complete": keeps,
        "remove_on_fail": keeps,
        "deduplication": rules,
    },
)
kinds = st.sampled_from(["complete", "complete", "fail", "retry", "retry", "release"])


def ours_of(job_id: str, args: dict[str, Any]) -> NewJob:
    """Return a job for Toril."""
    plain = {"attempts": 1, "backoff": None, "job_id": job_id}
    given = JobOptions.of(plain | args)
    return NewJob(job_id, "send", '{"number":1}', given, encode_options(given))


def first_in_priority(new: NewJob) -> bool:
    return new.options.lifo and new.options.priority > 0


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


def result_of(job_id: str) -> Any:
    return {"done": job_id}


def keeps_some(lease: Lease) -> bool:
    return bool(lease.options.keep_completed or lease.options.keep_failed)


def kept(keep: Keep | None) -> Any:
    if keep is None:
        return False
    if keep.age is None:
        return keep.count or True
    return {"age": keep.age} | ({} if keep.count is None else {"count": keep.count})


def settlement(kind: str, lease: Lease, delay_ms: int) -> Settlement:
    """Return what a worker of Toril's sends."""
    error = AttemptError(lease.attempts_made + 1, "ValueError", "it did not work", "the traceback")
    match kind:
        case "complete":
            return Complete(lease, json.dumps(result_of(lease.id)), lease.options.keep_completed)
        case "fail":
            return Fail(lease, error, lease.options.keep_failed)
        case "retry":
            return Retry(lease, error, delay_ms)
        case _:
            return Release(lease, delay_ms)
