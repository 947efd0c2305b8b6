"""Option values: priorities, backoff, retention, deduplication. Immutable and validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import msgspec

from toril.errors import ValidationError, did_you_mean
from toril.model.checks import check_integer, check_text, is_integer
from toril.model.codec import MAX_SAFE_INTEGER
from toril.model.durations import LATEST_MS, Duration, to_ms

MAX_PRIORITY = 2**21
"""BullMQ's largest priority number."""

_BUILT_IN_BACKOFFS = frozenset({"fixed", "exponential"})


class Priority(IntEnum):
    """Named priorities. As in BullMQ, 1 runs first.

    In the older queue managers that Toril follows, higher numbers ran first; see
    docs/guides/options.md.
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
            value: A name in any case, a member, or a number from 0 (no priority) to 2097152.
            field: The field name for the error.

        Returns:
            The number.

        Raises:
            ValidationError: The value is not a valid priority.
        """
        if isinstance(value, str):
            try:
                return cls[value.upper()].value
            except KeyError:
                hint = did_you_mean(value.upper(), cls.__members__)
                raise ValidationError(field, f"{value!r} is not a valid priority; {hint}") from None
        if not is_integer(value):
            raise ValidationError(
                field, f"{value!r} is not a valid priority; give a name or an integer"
            )
        return int(check_integer(value, field, 0, MAX_PRIORITY))


class Backoff(msgspec.Struct, frozen=True):
    """How long to wait before the next attempt. Create one with the class methods.

    Attributes:
        kind: "fixed", "exponential", or the name of a strategy registered with the manager.
        delay_ms: The delay, or the first delay, in milliseconds.
        cap_ms: The longest delay, in milliseconds; None means no limit.
        jitter: The random share of the delay, from 0 to 1.
    """

    kind: str
    delay_ms: int = 0
    cap_ms: int | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        """Validate the fields."""
        check_text(self.kind, "backoff.type")
        for field, value in (("delay", self.delay_ms), ("cap", self.cap_ms)):
            if value is not None:
                check_integer(value, f"backoff.{field}", 0)
        jitter: Any = self.jitter
        if isinstance(jitter, bool) or not isinstance(jitter, int | float) or not 0 <= jitter <= 1:
            raise ValidationError("backoff.jitter", f"must be a number from 0 to 1, not {jitter!r}")

    @classmethod
    def fixed(cls, delay: Duration, *, jitter: float = 0.0) -> Backoff:
        """Wait the same time before each attempt.

        Args:
            delay: The time, in seconds.
            jitter: The random share of the delay, from 0 to 1.
        """
        return cls("fixed", to_ms(delay, "backoff.delay"), jitter=jitter)

    @classmethod
    def exponential(
        cls, delay: Duration, *, cap: Duration | None = None, jitter: float = 0.0
    ) -> Backoff:
        """Wait `delay`, then twice that, then four times, and so on.

        Args:
            delay: The first delay, in seconds.
            cap: The longest delay, in seconds; None means no limit.
            jitter: The random share of each delay, from 0 to 1.
        """
        cap_ms = None if cap is None else to_ms(cap, "backoff.cap")
        return cls("exponential", to_ms(delay, "backoff.delay"), cap_ms, jitter)

    @classmethod
    def custom(cls, name: str, *, delay: Duration = 0) -> Backoff:
        """Use a strategy that the workers know by name; see `QueueManager.register_backoff`.

        Args:
            name: The strategy's name; the job stores the name, not the function.
            delay: A number of seconds that the strategy may use.

        Raises:
            ValidationError: The name is one of Toril's own strategies.
        """
        if name in _BUILT_IN_BACKOFFS:
            raise ValidationError(
                "backoff.type", f"{name!r} is one of Toril's own strategies; choose another name"
            )
        return cls(name, to_ms(delay, "backoff.delay"))

    @classmethod
    def parse(cls, value: Backoff | Mapping[str, Any] | Duration) -> Backoff:
        """Return a Backoff from a Backoff, a mapping, or a duration for a fixed delay.

        Args:
            value: A mapping has BullMQ's keys, `type` and `delay`, and Toril's own, `cap` and
                `jitter`. Its times are in seconds, as everywhere in Python.

        Raises:
            ValidationError: The value is none of these, or has an unknown key or an invalid value.
        """
        if isinstance(value, Backoff):
            return value
        if not isinstance(value, Mapping):
            return cls.fixed(value)
        known = {"type", "delay", "cap", "jitter"}
        for key in value:
            if key not in known:
                hint = did_you_mean(str(key), known)
                raise ValidationError(f"backoff.{key}", f"unknown option; {hint}")
        cap = value.get("cap")
        return cls(
            value.get("type", "fixed"),
            to_ms(value.get("delay", 0), "backoff.delay"),
            None if cap is None else to_ms(cap, "backoff.cap"),
            value.get("jitter", 0.0),
        )

    @property
    def is_custom(self) -> bool:
        """Whether a strategy registered by name computes the delay."""
        return self.kind not in _BUILT_IN_BACKOFFS

    def delay_for(self, attempts_made: int, draw: float = 0.0) -> int:
        """Return the delay before the next attempt, in milliseconds, at most `LATEST_MS`.

        Jitter is subtracted, as in BullMQ: the result is between (1 - jitter)·delay and delay.

        Args:
            attempts_made: How many attempts have failed, at least 1.
            draw: A random number from 0 to 1: the share of the jitter to subtract.
        """
        delay = self.delay_ms
        if self.kind == "exponential":
            delay *= 2 ** min(attempts_made - 1, 50)  # 50 doublings exceed any limit
        delay = min(delay, LATEST_MS, LATEST_MS if self.cap_ms is None else self.cap_ms)
        if self.jitter:
            delay -= int(delay * self.jitter * draw)
        return delay


@dataclass(frozen=True, slots=True)
class Keep:
    """The retention of finished jobs: how many to keep, and for how long.

    Attributes:
        count: Keep at most this many, the newest ones; None means no limit. 0 removes only the
            job itself and leaves the others.
        age: Keep jobs up to this age, in seconds; None means no limit.
    """

    count: int | None = None
    age: Duration | None = None

    def __post_init__(self) -> None:
        """Validate the fields."""
        if self.count is not None:
            check_integer(self.count, "keep.count", 0, MAX_SAFE_INTEGER)
        _ = self.age_ms

    @property
    def age_ms(self) -> int | None:
        """The age in milliseconds."""
        return None if self.age is None else to_ms(self.age, "keep.age")

    @classmethod
    def parse(cls, value: KeepLike, field: str) -> Keep | None:
        """Return a Keep, or None to keep all, which is what False means in BullMQ.

        Args:
            value: True (remove at once), False or None (keep all), a count, a Keep,
                or a mapping with `count` and `age` (seconds).
            field: The field name for the error.

        Raises:
            ValidationError: The value is none of these.
        """
        if value is None or value is False:
            return None
        if value is True:
            return cls(count=0)
        if isinstance(value, Keep):
            return value
        if value == -1:
            return None  # BullMQ's "all"
        try:
            if isinstance(value, int):
                return cls(count=value)
            given = dict(value)
            if not set(given) - {"count", "age"}:
                return cls(given.get("count"), given.get("age"))
        except (TypeError, ValueError) as error:
            if not isinstance(error, ValidationError):
                raise _not_a_keep(value, field) from None
            raise ValidationError(field, str(error)) from None
        raise _not_a_keep(value, field)


def _not_a_keep(value: object, field: str) -> ValidationError:
    return ValidationError(
        field, f"must be True, False, a count, or Keep(count, age), not {value!r}"
    )


class Deduplication(msgspec.Struct, frozen=True):
    """When a new job counts as a duplicate of an existing one.

    Attributes:
        key: The deduplication key that equal jobs share; None uses a hash of the job's name and
            data.
        ttl_ms: How long the key is held, in milliseconds; None means until the job has finished.
        extend: Whether each further add restarts that time.
        replace: Whether each further add replaces the existing delayed job. The new job has an
            id of its own.
    """

    key: str | None = None
    ttl_ms: int | None = None
    extend: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        """Validate the fields."""
        if self.ttl_ms is not None and (not is_integer(self.ttl_ms) or self.ttl_ms < 1):
            raise ValidationError(
                "deduplication.ttl", f"must be at least 1 ms, in whole ms, not {self.ttl_ms!r}"
            )
        if self.ttl_ms is None and (self.extend or self.replace):
            raise ValidationError("deduplication.ttl", "is required with extend or replace")
        if self.key is not None:
            check_text(self.key, "deduplication.key")

    @classmethod
    def simple(cls, key: str | None = None) -> Deduplication:
        """Ignore further jobs with the same key until the first has completed or failed.

        Args:
            key: The deduplication key; None uses a hash of the job's name and data.
        """
        return cls(key)

    @classmethod
    def throttle(cls, ttl: Duration, key: str | None = None) -> Deduplication:
        """Ignore further jobs with the same key for a time after the first.

        Args:
            ttl: The time, in seconds.
            key: The deduplication key; None uses a hash of the job's name and data.
        """
        return cls(key, to_ms(ttl, "deduplication.ttl"))

    @classmethod
    def debounce(cls, ttl: Duration, key: str | None = None) -> Deduplication:
        """Run only the last job of a burst, once no further job has come for `ttl`.

        The job is delayed by `ttl` unless it has a delay of its own.

        Args:
            ttl: The quiet time, in seconds.
            key: The deduplication key; None uses a hash of the job's name and data.
        """
        return cls(key, to_ms(ttl, "deduplication.ttl"), extend=True, replace=True)


KeepLike: TypeAlias = bool | int | Keep | Mapping[str, Any] | None
