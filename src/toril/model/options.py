"""What a job or a queue can be asked for: frozen, validated when made, kept in milliseconds."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec

from toril.errors import ValidationError, did_you_mean
from toril.model.durations import Duration, to_epoch_ms, to_ms

MAX_PRIORITY = 2**21
"""BullMQ's largest priority number."""

MAX_ATTEMPTS = 10_000
MAX_ID_LENGTH = 255
MAX_TAGS = 50
MAX_TAG_LENGTH = 100


def is_integer(value: object) -> bool:
    """Whether a value is an integer, which True is only to Python."""
    return isinstance(value, int) and not isinstance(value, bool)


class Priority(IntEnum):
    """The names of the priorities that people use. As in BullMQ, 1 runs first.

    The numbers of the older queue managers that Toril follows ran the other way,
    higher first; see docs/guides/options.md.
    """

    CRITICAL = 1
    URGENT = 1
    HIGH = 2
    NORMAL = 3
    LOW = 4
    BACKGROUND = 5

    @classmethod
    def parse(cls, value: int | str, field: str = "priority") -> int:
        """Return a priority's number.

        Args:
            value: A name in any case, a member, or a number from 0 (none) to 2097152.
            field: The name to put into the error.

        Returns:
            The number.

        Raises:
            ValidationError: It is neither.
        """
        if isinstance(value, str):
            try:
                return cls[value.upper()].value
            except KeyError:
                hint = did_you_mean(value.upper(), cls.__members__)
                raise ValidationError(field, f"{value!r} is no priority; {hint}") from None
        if not is_integer(value):
            raise ValidationError(field, f"{value!r} is no priority; give a name or a number")
        if not 0 <= value <= MAX_PRIORITY:
            raise ValidationError(field, f"{value} is not between 0 and {MAX_PRIORITY}")
        return int(value)


class Backoff(msgspec.Struct, frozen=True):
    """How long to wait before the next attempt. Make one with the methods below.

    Attributes:
        kind: "fixed", "exponential", or the name of a strategy registered with the manager.
        delay_ms: The (first) delay, in milliseconds.
        cap_ms: No delay is longer than this, in milliseconds.
        jitter: The part of the delay, 0 to 1, that is drawn at random.
    """

    kind: str
    delay_ms: int = 0
    cap_ms: int | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a jitter that is no share, and a kind without a name."""
        if not 0 <= self.jitter <= 1:
            raise ValidationError("backoff.jitter", f"{self.jitter} is not between 0 and 1")
        if not self.kind:
            raise ValidationError("backoff.kind", "the strategy needs a name")

    @classmethod
    def fixed(cls, delay: Duration, *, jitter: float = 0.0) -> Backoff:
        """Wait the same time before each attempt.

        Args:
            delay: The time, in seconds.
            jitter: The part of it, 0 to 1, that is drawn at random.
        """
        return cls("fixed", to_ms(delay, "backoff.delay"), jitter=jitter)

    @classmethod
    def exponential(
        cls, delay: Duration, *, cap: Duration | None = None, jitter: float = 0.0
    ) -> Backoff:
        """Wait `delay`, then twice that, then four times, and so on.

        Args:
            delay: The first delay, in seconds.
            cap: The longest delay, in seconds.
            jitter: The part of each delay, 0 to 1, that is drawn at random.
        """
        cap_ms = None if cap is None else to_ms(cap, "backoff.cap")
        return cls("exponential", to_ms(delay, "backoff.delay"), cap_ms, jitter)

    @classmethod
    def custom(cls, name: str, *, delay: Duration = 0) -> Backoff:
        """Ask a strategy that the workers know by name, see `QueueManager.register_backoff`.

        Args:
            name: The strategy's name; the job carries only this.
            delay: A number of seconds that the strategy may use.
        """
        return cls(name, to_ms(delay, "backoff.delay"))

    @classmethod
    def parse(cls, value: Backoff | Mapping[str, Any] | Duration) -> Backoff:
        """Return a Backoff from one, from BullMQ's mapping, or from a duration (fixed).

        Raises:
            ValidationError: It is none of these.
        """
        if isinstance(value, Backoff):
            return value
        if not isinstance(value, Mapping):
            return cls.fixed(value)
        known = {"type", "delay", "cap", "jitter"}
        for key in value:
            if key not in known:
                raise ValidationError(f"backoff.{key}", f"unknown; {did_you_mean(key, known)}")
        cap = value.get("cap")
        return cls(
            str(value.get("type", "fixed")),
            to_ms(value.get("delay", 0), "backoff.delay"),
            None if cap is None else to_ms(cap, "backoff.cap"),
            float(value.get("jitter", 0.0)),
        )

    @property
    def is_custom(self) -> bool:
        """Whether a strategy registered by name has to be asked."""
        return self.kind not in ("fixed", "exponential")

    def delay_for(self, attempts_made: int) -> int:
        """Return the delay before the next attempt, in milliseconds.

        Jitter is subtracted, as in BullMQ: between (1 - jitter)·delay and delay.

        Args:
            attempts_made: How many attempts have failed, at least 1.
        """
        delay = self.delay_ms
        if self.kind == "exponential":
            # 2**50 ms is 35,000 years: beyond it only the cap counts.
            delay = min(delay * 2 ** min(attempts_made - 1, 50), 2**50)
        if self.cap_ms is not None:
            delay = min(delay, self.cap_ms)
        if self.jitter:
            delay -= int(delay * self.jitter * random.random())  # noqa: S311 - no secret
        return delay


@dataclass(frozen=True, slots=True)
class Keep:
    """How many finished jobs stay, and for how long.

    Attributes:
        count: At most this many, the newest; None is no limit, 0 keeps none.
        age: None older than this, in seconds; None is no limit.
    """

    count: int | None = None
    age: Duration | None = None

    def __post_init__(self) -> None:
        """Refuse a count that is no number from 0, and an age that is no duration."""
        if self.count is not None and (not is_integer(self.count) or self.count < 0):
            raise ValidationError("keep.count", f"{self.count!r} is not a number from 0")
        _ = self.age_ms

    @property
    def age_ms(self) -> int | None:
        """The age in milliseconds."""
        return None if self.age is None else to_ms(self.age, "keep.age")

    @classmethod
    def parse(cls, value: KeepLike, field: str) -> Keep | None:
        """Return a Keep; None where all are to stay, which is what False means in BullMQ.

        Args:
            value: True (remove at once), False or None (keep all), a count, a Keep,
                or a mapping with `count` and `age` (seconds).
            field: The name to put into the error.

        Raises:
            ValidationError: It is none of these.
        """
        if value is None or value is False:
            return None
        if value is True:
            return cls(count=0)
        if isinstance(value, Keep):
            return value
        if isinstance(value, int):
            return None if value == -1 else cls(count=value)  # -1 is BullMQ's "all"
        if isinstance(value, Mapping):
            unknown = set(value) - {"count", "age"}
            if not unknown:
                return cls(value.get("count"), value.get("age"))
        raise ValidationError(
            field, f"{value!r} is not understood; give True, False, a count, or Keep(count, age)"
        )


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `max` jobs start in each window of `per` seconds, over all workers of a queue.

    Attributes:
        max: The number of jobs, at least 1.
        per: The length of the window, in seconds.
    """

    max: int
    per: Duration

    def __post_init__(self) -> None:
        """Refuse what is not positive."""
        if not is_integer(self.max) or self.max < 1:
            raise ValidationError("rate_limit.max", f"{self.max!r} is not a number from 1")
        if self.per_ms < 1:
            raise ValidationError("rate_limit.per", f"{self.per!r} is shorter than a millisecond")

    @property
    def per_ms(self) -> int:
        """The length of the window in milliseconds."""
        return to_ms(self.per, "rate_limit.per")


class Deduplication(msgspec.Struct, frozen=True):
    """When a job that is added counts as one that is there already.

    Attributes:
        key: What equal jobs share; None takes a hash of the job's name and data.
        ttl_ms: How long the key is held, in milliseconds; None is until the job has finished.
        extend: Each further add starts the time anew.
        replace: Each further add puts its data into the delayed job that is there.
    """

    key: str | None = None
    ttl_ms: int | None = None
    extend: bool = False
    replace: bool = False

    @classmethod
    def simple(cls, key: str | None = None) -> Deduplication:
        """Ignore further jobs with the key until the first has completed or failed.

        Args:
            key: What equal jobs share; None takes a hash of the job's name and data.
        """
        return cls(key)

    @classmethod
    def throttle(cls, ttl: Duration, key: str | None = None) -> Deduplication:
        """Ignore further jobs with the key for a time after the first.

        Args:
            ttl: The time, in seconds.
            key: What equal jobs share; None takes a hash of the job's name and data.
        """
        return cls(key, to_ms(ttl, "deduplication.ttl"))

    @classmethod
    def debounce(cls, ttl: Duration, key: str | None = None) -> Deduplication:
        """Run only the last of a burst, once there has been none for `ttl`.

        The job is delayed by `ttl` unless it has a delay of its own.

        Args:
            ttl: The quiet time, in seconds.
            key: What equal jobs share; None takes a hash of the job's name and data.
        """
        return cls(key, to_ms(ttl, "deduplication.ttl"), extend=True, replace=True)


KeepLike: TypeAlias = bool | int | Keep | Mapping[str, Any] | None


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
                hint = did_you_mean(_snake(name), _READERS)
                raise ValidationError(name, f"unknown option; {hint}")
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


def _snake(name: str) -> str:
    """Return camelCase as snake_case, so that BullMQ's names find ours."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


def _read_attempts(value: Any) -> tuple[str, int]:
    if not is_integer(value) or not 1 <= value <= MAX_ATTEMPTS:
        raise ValidationError("attempts", f"{value!r} is not a number from 1 to {MAX_ATTEMPTS}")
    return "attempts", value


def _read_job_id(value: Any) -> tuple[str, str]:
    return "job_id", check_job_id(value)


def check_job_id(value: Any) -> str:
    """Return a caller's job id if BullMQ would take it too.

    Source: BullMQ, "Job Ids": no integers, no colon.

    Raises:
        ValidationError: It is empty, too long, an integer, or has a colon.
    """
    check_text(value, "job_id")
    if ":" in value:
        raise ValidationError("job_id", f"{value!r} has a colon, which separates keys; use - or _")
    if value.lstrip("-").isdecimal() and str(int(value)) == value:
        raise ValidationError(
            "job_id", f"{value!r} is an integer, which BullMQ gives itself; prefix it"
        )
    found: str = value
    return found


def check_text(value: Any, field: str, limit: int = MAX_ID_LENGTH) -> str:
    """Return text that is short enough to be a name or an id.

    Raises:
        ValidationError: It is not text, empty, too long, or has a lone surrogate.
    """
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise ValidationError(field, f"{value!r} is not text of 1 to {limit} characters")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValidationError(field, f"{value!r} has a lone surrogate, which is no text")
    return value


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
    if value is not None and value.key is not None:
        check_text(value.key, "deduplication.key")
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


def check_name(value: Any, field: str) -> str:
    """Return a queue's name or prefix if it can be one.

    Raises:
        ValidationError: It is empty, too long, or has a colon or a control character.
    """
    text = check_text(value, field)
    if ":" in text:
        raise ValidationError(field, f"{text!r} has a colon, which separates keys; use - or _")
    if not text.isprintable():
        raise ValidationError(field, f"{text!r} has characters that cannot be printed")
    return text
