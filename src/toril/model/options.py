"""What a job or a queue can be asked for: frozen, validated when made, kept in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import msgspec

from toril.errors import ValidationError, did_you_mean
from toril.model.checks import check_text, is_integer
from toril.model.durations import Duration, to_ms

MAX_PRIORITY = 2**21
"""BullMQ's largest priority number."""

_OWN_BACKOFFS = frozenset({"fixed", "exponential"})


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
        """Refuse a kind without a name, delays that are none, and a jitter that is no share."""
        check_text(self.kind, "backoff.type")
        for field, value in (("delay", self.delay_ms), ("cap", self.cap_ms)):
            if value is not None and (not is_integer(value) or value < 0):
                raise ValidationError(f"backoff.{field}", f"{value!r} is not a number from 0")
        if isinstance(self.jitter, bool) or not isinstance(self.jitter, int | float):
            raise ValidationError("backoff.jitter", f"{self.jitter!r} is not a number")
        if not 0 <= self.jitter <= 1:
            raise ValidationError("backoff.jitter", f"{self.jitter} is not between 0 and 1")

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

        Raises:
            ValidationError: The name is one of Toril's own.
        """
        if name in _OWN_BACKOFFS:
            raise ValidationError("backoff.type", f"{name!r} is Toril's own; choose another name")
        return cls(name, to_ms(delay, "backoff.delay"))

    @classmethod
    def parse(cls, value: Backoff | Mapping[str, Any] | Duration) -> Backoff:
        """Return a Backoff from one, from a mapping, or from a duration (fixed).

        Args:
            value: A mapping has BullMQ's keys, `type` and `delay`, and our own, `cap` and
                `jitter`. Its times are in seconds, as everywhere in Python.

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
                hint = did_you_mean(str(key), known)
                raise ValidationError(f"backoff.{key}", f"unknown; {hint}")
        cap = value.get("cap")
        return cls(
            value.get("type", "fixed"),
            to_ms(value.get("delay", 0), "backoff.delay"),
            None if cap is None else to_ms(cap, "backoff.cap"),
            value.get("jitter", 0.0),
        )

    @property
    def is_custom(self) -> bool:
        """Whether a strategy registered by name has to be asked."""
        return self.kind not in _OWN_BACKOFFS

    def delay_for(self, attempts_made: int, draw: float = 0.0) -> int:
        """Return the delay before the next attempt, in milliseconds.

        Jitter is subtracted, as in BullMQ: the result is between (1 - jitter)·delay and delay.

        Args:
            attempts_made: How many attempts have failed, at least 1.
            draw: A random number, 0 to 1, that says how much of the jitter to subtract.
        """
        delay = self.delay_ms
        if self.kind == "exponential":
            # 2**50 ms is 35,000 years: beyond it only the cap counts.
            delay = min(delay * 2 ** min(attempts_made - 1, 50), 2**50)
        if self.cap_ms is not None:
            delay = min(delay, self.cap_ms)
        if self.jitter:
            delay -= int(delay * self.jitter * draw)
        return delay


@dataclass(frozen=True, slots=True)
class Keep:
    """How many finished jobs stay, and for how long.

    Attributes:
        count: At most this many, the newest; None is no limit. 0 does not keep the job itself,
            and leaves the others.
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
        field, f"{value!r} is not understood; give True, False, a count, or Keep(count, age)"
    )


class Deduplication(msgspec.Struct, frozen=True):
    """When a job that is added counts as one that is there already.

    Attributes:
        key: What equal jobs share; None takes a hash of the job's name and data.
        ttl_ms: How long the key is held, in milliseconds; None is until the job has finished.
        extend: Each further add starts the time anew.
        replace: Each further add takes the place of the delayed job that is there, under an
            id of its own.
    """

    key: str | None = None
    ttl_ms: int | None = None
    extend: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        """Refuse a time that is none, and what makes sense only with a time."""
        if self.ttl_ms is not None and (not is_integer(self.ttl_ms) or self.ttl_ms < 1):
            raise ValidationError("deduplication.ttl", f"{self.ttl_ms!r} ms leaves no time")
        if self.ttl_ms is None and (self.extend or self.replace):
            raise ValidationError("deduplication.ttl", "extend and replace need a time")
        if self.key is not None:
            check_text(self.key, "deduplication.key")

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
