"""A job's options: what callers write, and what they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec

from toril.errors import ValidationError, did_you_mean
from toril.model.checks import check_job_id, check_text, is_integer
from toril.model.durations import Duration, to_epoch_ms, to_ms
from toril.model.options import Backoff, Deduplication, Keep, KeepLike, Priority

MAX_ATTEMPTS = 10_000
MAX_TAGS = 50
MAX_TAG_LENGTH = 100


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
            read = _READERS.get(name)
            if read is None:
                hint = _hint(_snake(str(name)))
                raise ValidationError(str(name), f"unknown option; {hint}")
            field, parsed = read(value)
            values[field] = parsed
        _apply_preset(values)
        return cls(**_reconciled(values))


DEFAULT_OPTIONS = JobOptions()


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
    return did_you_mean(name, _READERS) if ours is None else f"here it is called {ours!r}"


def _snake(name: str) -> str:
    """Return camelCase as snake_case, so that BullMQ's names find ours."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


def _read_attempts(value: Any) -> tuple[str, int]:
    if not is_integer(value) or not 1 <= value <= MAX_ATTEMPTS:
        raise ValidationError("attempts", f"{value!r} is not a number from 1 to {MAX_ATTEMPTS}")
    return "attempts", value


def _read_job_id(value: Any) -> tuple[str, str]:
    return "job_id", check_job_id(value)


def _read_flag(field: str) -> Any:
    def read(value: Any) -> tuple[str, bool]:
        if not isinstance(value, bool):
            raise ValidationError(field, f"{value!r} is not True or False")
        return field, value

    return read


def _read_positive_ms(field: str) -> Any:
    def read(value: Any) -> tuple[str, int | None]:
        if value is None:
            return f"{field}_ms", None
        ms = to_ms(value, field)
        if ms < 1:
            raise ValidationError(field, f"{value!r} leaves no time; leave it out for no limit")
        return f"{field}_ms", ms

    return read


def _read_tags(value: Any) -> tuple[str, tuple[str, ...]]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValidationError("tags", f"{value!r} is not a list of words")
    if len(value) > MAX_TAGS:
        raise ValidationError("tags", f"{len(value)} are too many; {MAX_TAGS} are allowed")
    for tag in value:
        check_text(tag, "tags", MAX_TAG_LENGTH)
    return "tags", tuple(dict.fromkeys(value))


def _read_metadata(value: Any) -> tuple[str, dict[str, Any] | None]:
    if value is None:
        return "metadata", None
    if not isinstance(value, Mapping):
        raise ValidationError("metadata", f"{value!r} is not a mapping")
    return "metadata", dict(value)


def _read_correlation_id(value: Any) -> tuple[str, str | None]:
    return "correlation_id", None if value is None else check_text(value, "correlation_id")


def _read_deduplication(value: Any) -> tuple[str, Deduplication | None]:
    if value is not None and not isinstance(value, Deduplication):
        raise ValidationError(
            "deduplication",
            f"{value!r} is not understood; give Deduplication.simple(), .throttle(ttl) "
            "or .debounce(ttl)",
        )
    return "deduplication", value


_READERS: dict[str, Any] = {
    "priority": lambda v: ("priority", Priority.parse(v)),
    "delay": lambda v: ("delay_ms", to_ms(v, "delay")),
    "scheduled_at": lambda v: ("scheduled_ms", to_epoch_ms(v, "scheduled_at")),
    "attempts": _read_attempts,
    "backoff": lambda v: ("backoff", None if v is None else Backoff.parse(v)),
    "job_id": _read_job_id,
    "remove_on_complete": lambda v: ("keep_completed", Keep.parse(v, "remove_on_complete")),
    "remove_on_fail": lambda v: ("keep_failed", Keep.parse(v, "remove_on_fail")),
    "lifo": _read_flag("lifo"),
    "timeout": _read_positive_ms("timeout"),
    "ttl": _read_positive_ms("ttl"),
    "tags": _read_tags,
    "metadata": _read_metadata,
    "correlation_id": _read_correlation_id,
    "deduplication": _read_deduplication,
}

HandlerKind: TypeAlias = Literal["auto", "async", "thread", "process"]
"""Where a handler runs; "auto" is async for coroutine functions and a thread for the others."""
