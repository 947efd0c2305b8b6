"""A job's options: what callers write, and what they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec

from toril.errors import ValidationError, did_you_mean
from toril.model import codec
from toril.model.durations import Duration
from toril.model.option_table import OPTIONS
from toril.model.options import Backoff, Deduplication, Keep, KeepLike, Priority

HandlerKind: TypeAlias = Literal["auto", "async", "thread", "process"]
"""Where a handler runs; "auto" is async for coroutine functions and a thread for the others."""


class JobOptionArgs(TypedDict, total=False):
    """The keyword arguments that describe a job, wherever one is added."""

    priority: Priority | int | str
    delay: Duration
    scheduled_at: datetime | float
    attempts: int
    backoff: Backoff | Mapping[str, Any] | Duration
    job_id: str
    remove_on_complete: KeepLike
    remove_on_fail: KeepLike
    lifo: bool
    timeout: Duration
    ttl: Duration
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    correlation_id: str
    deduplication: Deduplication


RETRY_PRESETS: dict[int, tuple[int, Backoff]] = {
    Priority.CRITICAL: (5, Backoff.exponential(1)),
    Priority.HIGH: (4, Backoff.exponential(2)),
    Priority.NORMAL: (3, Backoff.exponential(5)),
    Priority.LOW: (3, Backoff.exponential(5)),
    Priority.BACKGROUND: (3, Backoff.exponential(5)),
}
"""Attempts and backoff that a named priority brings, unless the job says otherwise."""


class JobOptions(msgspec.Struct, frozen=True):
    """A job's options, validated and in milliseconds. Make one with `JobOptions.of`.

    Attributes:
        priority: 0 is none, 1 runs first.
        delay_ms: How long after it was added the job may run.
        scheduled_ms: The point in time, since 1970, from which it may run.
        attempts: How often it is tried, at least 1.
        backoff: How long to wait between attempts; None is not at all.
        job_id: An id of the caller's; None lets Toril make one.
        keep_completed: What stays of completed jobs; None is all.
        keep_failed: What stays of failed jobs; None is all.
        lifo: Goes before those that wait.
        timeout_ms: How long one attempt may take.
        ttl_ms: How long after it was added the job may still start.
        tags: Words to find the job by.
        metadata: Anything JSON that travels with the job.
        correlation_id: What ties the job to the request or process it belongs to.
        deduplication: When it counts as one that is there already.
    """

    priority: int = 0
    delay_ms: int = 0
    scheduled_ms: int | None = None
    attempts: int = 1
    backoff: Backoff | None = None
    job_id: str | None = None
    keep_completed: Keep | None = None
    keep_failed: Keep | None = None
    lifo: bool = False
    timeout_ms: int | None = None
    ttl_ms: int | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] | None = None
    correlation_id: str | None = None
    deduplication: Deduplication | None = None

    @classmethod
    def of(cls, args: JobOptionArgs | Mapping[str, Any]) -> JobOptions:
        """Validate what a caller wrote.

        Args:
            args: The keyword arguments of `JobOptionArgs`.

        Returns:
            The options.

        Raises:
            ValidationError: A name is unknown (it suggests the near one), or a value
                is refused; the error names the field.
        """
        if not args:
            return DEFAULT_OPTIONS
        values: dict[str, Any] = {}
        for name, value in args.items():
            option = _BY_NAME.get(name)
            if option is None:
                hint = _hint(_snake(str(name)))
                raise ValidationError(str(name), f"unknown option; {hint}")
            values[option.field] = option.read(value)
        _apply_preset(values)
        return cls(**_reconciled(values))


DEFAULT_OPTIONS = JobOptions()

_BY_NAME = {option.name: option for option in OPTIONS}
_DEFAULTS = {option.field: getattr(DEFAULT_OPTIONS, option.field) for option in OPTIONS}


def _apply_preset(values: dict[str, Any]) -> None:
    attempts, backoff = RETRY_PRESETS.get(values.get("priority", 0), (1, None))
    values.setdefault("attempts", attempts)
    values.setdefault("backoff", backoff)


def _reconciled(values: dict[str, Any]) -> dict[str, Any]:
    """Hold what depends on two options at once."""
    if values.get("delay_ms") and values.get("scheduled_ms") is not None:
        raise ValidationError("delay", "give either delay or scheduled_at, not both")
    dedup: Deduplication | None = values.get("deduplication")
    if dedup is not None and dedup.replace and not values.get("delay_ms"):
        if values.get("scheduled_ms") is not None:
            raise ValidationError("deduplication", "debounce goes with delay, not scheduled_at")
        values["delay_ms"] = dedup.ttl_ms
    return values


_ELSEWHERE = {
    "countdown": "delay",
    "eta": "scheduled_at",
    "expires": "ttl",
    "max_retries": "attempts",
    "retries": "attempts",
    "retry_backoff": "backoff",
    "retry_delay": "backoff",
    "time_limit": "timeout",
    "soft_time_limit": "timeout",
    "task_id": "job_id",
    "unique": "deduplication",
}
"""What other queue managers call our options."""


def _hint(name: str) -> str:
    ours = _ELSEWHERE.get(name)
    return did_you_mean(name, _BY_NAME) if ours is None else f"here it is called {ours!r}"


def _snake(name: str) -> str:
    """Return camelCase as snake_case, so that BullMQ's names find ours."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


_encode = msgspec.json.Encoder().encode


def encode_options(options: JobOptions) -> str:
    """Return options as the JSON that is stored; defaults are left out, but for the attempts.

    Raises:
        ValidationError: The metadata have no JSON form.
    """
    out: dict[str, Any] = {"attempts": options.attempts}
    for option in OPTIONS:
        value = getattr(options, option.field)
        if value != _DEFAULTS[option.field]:
            out[option.key] = option.write(value)
    return _encode(out).decode()


def decode_options(text: str) -> JobOptions:
    """Return a job's options from stored JSON. Unknown keys are ignored.

    Jobs of one kind share their options' text, so the answers are cached; but not if they hold
    metadata, which a handler could change under the next job.
    """
    return _parse_options(text) if '"metadata"' in text else _cached_options(text)


@lru_cache(maxsize=1024)
def _cached_options(text: str) -> JobOptions:
    return _parse_options(text)


def _parse_options(text: str) -> JobOptions:
    """Read what can be read: one job that another program wrote must not end a worker."""
    try:
        found = codec.decode(text)
    except (ValueError, RecursionError):
        found = {}
    if not isinstance(found, dict):
        found = {}
    values: dict[str, Any] = {}
    for option in OPTIONS:
        if option.key in found:
            try:
                values[option.field] = option.parse(found[option.key])
            except (TypeError, ValueError, OverflowError):
                continue
    return JobOptions(**values)
