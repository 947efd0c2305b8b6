"""A queue's limits: as callers write them, and as engines keep them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from toril.errors import ValidationError
from toril.model import codec
from toril.model.checks import check_text, is_integer
from toril.model.durations import Duration, to_ms


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many jobs may start in a time, over all workers of a queue.

    Without `burst` at most `max` jobs start in each window of `per` seconds, and a window
    begins with the first job that starts after the last: Node.js workers keep to it, too.
    With `burst` it is a token bucket, which only Toril's workers know: jobs start `max` in
    `per` seconds, evenly, and after a rest up to `burst` at once.

    Attributes:
        max: The number of jobs, at least 1.
        per: The time, in seconds.
        burst: How many may start at once after a rest; None is a fixed window.
        by: The field of a job's metadata or payload whose every value has a limit of its own;
            None is one limit for the whole queue.
    """

    max: int
    per: Duration
    burst: int | None = None
    by: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is not positive, and a field without a name."""
        if not is_integer(self.max) or self.max < 1:
            raise ValidationError("rate_limit.max", f"{self.max!r} is not a number from 1")
        if self.per_ms < 1:
            raise ValidationError("rate_limit.per", f"{self.per!r} is shorter than a millisecond")
        if self.burst is not None and (not is_integer(self.burst) or self.burst < 1):
            raise ValidationError("rate_limit.burst", f"{self.burst!r} is not a number from 1")
        if self.by is not None:
            check_text(self.by, "rate_limit.by")

    @property
    def per_ms(self) -> int:
        """The time in milliseconds."""
        return to_ms(self.per, "rate_limit.per")


RateLimits: TypeAlias = RateLimit | Sequence[RateLimit]
"""One limit, or one for the queue and one by a field."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What holds for the jobs of each key, where a key is a value of one field.

    The field is looked for in a job's metadata, then in its payload. Text, numbers and truth
    values are keys; a job that has none is held by no limit of this kind.

    Attributes:
        field: The field.
        rate: How many jobs of a key may start in a time; None is no limit.
        concurrency: How many jobs of a key may run at once; None is no limit.
    """

    field: str
    rate: RateLimit | None = None
    concurrency: int | None = None

    def key_of(self, data: str, metadata: Mapping[str, Any] | None) -> str:
        """Return a job's key; empty where it has none.

        Args:
            data: The payload as JSON.
            metadata: Its metadata.
        """
        key = None if metadata is None else _as_key(metadata.get(self.field))
        if key is None and (f'"{self.field}"' in data or not _PLAIN.fullmatch(self.field)):
            payload = codec.decode(data)
            key = _as_key(payload.get(self.field)) if isinstance(payload, dict) else None
        return key or ""


_PLAIN = re.compile(r"[\w.-]+", re.ASCII)  # no writer of JSON spells it in another way


def _as_key(value: Any) -> str | None:
    """Return a value as text, as lua/include/turns.lua does."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:.0f}" if value % 1 == 0 else f"{value:.14g}"
    return None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a queue's workers keep to together.

    Attributes:
        rate: How many jobs may start in a time; None is no limit.
        concurrency: How many may run at once; None is no limit.
        by_key: What holds for each key; None is no limit.
    """

    rate: RateLimit | None = None
    concurrency: int | None = None
    by_key: KeyLimits | None = None

    @classmethod
    def of(
        cls,
        rate_limit: RateLimits | None = None,
        concurrency: int | None = None,
        concurrency_by_key: Mapping[str, int] | None = None,
    ) -> Limits:
        """Validate what a caller wrote.

        Args:
            rate_limit: One limit, or one for the queue and one with `by`.
            concurrency: How many jobs may run at once.
            concurrency_by_key: The field, and how many jobs may run at once for each of its
                values: {"tenant": 5}.

        Raises:
            ValidationError: A limit is refused; the error names it.
        """
        whole, keyed = _split(rate_limit)
        if concurrency is not None:
            _check_count(concurrency, "concurrency")
        field, most = _field_of(concurrency_by_key)
        if keyed is not None and field is not None and keyed.by != field:
            raise ValidationError(
                "concurrency_by_key",
                f"is by {field!r}, and the rate limit by {keyed.by!r}; a queue has one kind of key",
            )
        by_key = None
        if keyed is not None and keyed.by is not None:
            by_key = KeyLimits(keyed.by, replace(keyed, by=None), most)
        elif field is not None:
            by_key = KeyLimits(field, None, most)
        return cls(whole, concurrency, by_key)


NO_LIMITS = Limits()


def _split(given: RateLimits | None) -> tuple[RateLimit | None, RateLimit | None]:
    """Return the limit of the queue and that of each key."""
    found: dict[bool, RateLimit] = {}
    for limit in given if isinstance(given, Sequence) else () if given is None else (given,):
        if not isinstance(limit, RateLimit):
            raise ValidationError("rate_limit", f"{limit!r}: give RateLimit(100, per=60)")
        if found.setdefault(limit.by is not None, limit) is not limit:
            kind = "with `by`" if limit.by is not None else "without `by`"
            raise ValidationError("rate_limit", f"two limits {kind}; a queue has one of each")
    return found.get(False), found.get(True)


def _field_of(given: Mapping[str, int] | None) -> tuple[str | None, int | None]:
    if given is None:
        return None, None
    if not isinstance(given, Mapping) or len(given) != 1:  # type: ignore[redundant-expr]
        raise ValidationError(
            "concurrency_by_key", f'{given!r}: give one field and a number, {{"tenant": 5}}'
        )
    ((field, most),) = given.items()
    check_text(field, "concurrency_by_key")
    _check_count(most, f"concurrency_by_key[{field!r}]")
    return field, most


def _check_count(value: Any, field: str) -> None:
    if not is_integer(value) or value < 1:
        raise ValidationError(field, f"{value!r} is not a number from 1")
