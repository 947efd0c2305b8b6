"""Job options as callers write them, as validated, and as stored."""

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
"""Where a handler runs. "auto" means async for coroutine functions, else a thread."""


class JobOptionArgs(TypedDict, total=False):
    """The keyword arguments for job options, accepted by every call that adds jobs."""

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
"""Default attempts and backoff by named priority, for jobs that do not set their own."""


class JobOptions(msgspec.Struct, frozen=True):
    """A job's validated options, with times in milliseconds. Create one with `JobOptions.of`.

    Attributes:
        priority: 0 means no priority; 1 runs first.
        delay_ms: How long after it is added the job becomes due.
        scheduled_ms: When the job becomes due, in milliseconds since 1970.
        attempts: The maximum number of attempts, at least 1.
        backoff: How long to wait between attempts; None means not at all.
        job_id: The caller's id for the job; None lets Toril generate one.
        keep_completed: The retention of completed jobs; None keeps all.
        keep_failed: The retention of failed jobs; None keeps all.
        lifo: Whether the job goes ahead of the jobs that already wait.
        timeout_ms: How long one attempt may take.
        ttl_ms: How long after it is added the job may still start.
        tags: Words to find the job by.
        metadata: Any JSON object to store with the job.
        correlation_id: Links the job to the request or process it belongs to.
        deduplication: When the job counts as a duplicate of an existing job.
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
        """Validate options as a caller wrote them.

        Args:
            args: The keyword arguments of `JobOptionArgs`.

        Returns:
            The validated options.

        Raises:
            ValidationError: An option is unknown (the message suggests a similar one), or a
                value is invalid; the error names the field.
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
    """Apply the rules that involve two options at once."""
    if values.get("delay_ms") and values.get("scheduled_ms") is not None:
        raise ValidationError("delay", "give either delay or scheduled_at, not both")
    dedup: Deduplication | None = values.get("deduplication")
    if dedup is not None and dedup.replace and not values.get("delay_ms"):
        if values.get("scheduled_ms") is not None:
            raise ValidationError(
                "deduplication", "debounce needs delay and cannot be combined with scheduled_at"
            )
        values["delay_ms"] = dedup.ttl_ms
    return values


_FOREIGN_NAMES = {
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
"""Maps the names that other job queues use to Toril's options."""


def _hint(name: str) -> str:
    ours = _FOREIGN_NAMES.get(name)
    return did_you_mean(name, _BY_NAME) if ours is None else f"Toril calls it {ours!r}"


def _snake(name: str) -> str:
    """Convert camelCase to snake_case, so that BullMQ's names match Toril's."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


def encode_options(options: JobOptions, *, as_read: bool = False) -> str:
    """Encode options as the JSON that is stored. Defaults are left out, except for `attempts`.

    Args:
        options: The options.
        as_read: Do not check metadata that another program may have written.

    Raises:
        ValidationError: The metadata has no JSON form.
    """
    out: dict[str, Any] = {"attempts": options.attempts}
    for option in OPTIONS:
        value = getattr(options, option.field)
        if value != _DEFAULTS[option.field]:
            is_foreign = as_read and option.field == "metadata"
            out[option.key] = value if is_foreign else option.write(value)
    return codec.dump(out)


def decode_options(text: str) -> JobOptions:
    """Decode a job's options from stored JSON. Unknown keys are ignored.

    Results are cached, because similar jobs share the same text. Options with metadata are not
    cached: a handler could modify the metadata that the next job would then see.
    """
    return _parse_options(text) if '"metadata"' in text else _cached_options(text)


@lru_cache(maxsize=1024)
def _cached_options(text: str) -> JobOptions:
    return _parse_options(text)


def _parse_options(text: str) -> JobOptions:
    """Parse what is valid: a job written by another program must not stop a worker."""
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
