"""A queue's limits, as callers write them and as engines store them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from toril.errors import ValidationError
from toril.model import codec
from toril.model.checks import check_integer, check_text
from toril.model.durations import LATEST_MS, Duration, to_ms


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many jobs may start within a time, across all workers of a queue.

    Without `burst`, at most `max` jobs start in each window of `per` seconds. A window begins
    when the first job starts after the previous window. Node.js workers respect this limit too.
    With `burst`, the limit is a token bucket, which only Toril's workers know: `max` jobs start
    per `per` seconds, evenly spaced, and up to `burst` at once after an idle time.

    Attributes:
        max: The number of jobs, at least 1.
        per: The time, in seconds.
        burst: How many jobs may start at once after an idle time; None means a fixed window.
        by: The field of a job's metadata or payload that holds its key. Each key has its own
            limit. None means one limit for the whole queue.
    """

    max: int
    per: Duration
    burst: int | None = None
    by: str | None = None

    def __post_init__(self) -> None:
        """Validate the fields."""
        check_integer(self.max, "rate_limit.max", 1)
        if self.per_ms < 1:
            raise ValidationError("rate_limit.per", f"must be at least 1 ms, not {self.per!r}")
        if self.burst is not None:
            check_integer(self.burst, "rate_limit.burst", 1)
            most = LATEST_MS * self.max // self.per_ms
            if self.burst > most:
                raise ValidationError(
                    "rate_limit.burst",
                    f"must be at most {most:,}, not {self.burst!r}: with more, the bucket would "
                    f"not be full again within {LATEST_MS:,} ms",
                )
        if self.by is not None:
            check_text(self.by, "rate_limit.by")

    @property
    def per_ms(self) -> int:
        """The time in milliseconds."""
        return to_ms(self.per, "rate_limit.per")


RateLimits: TypeAlias = RateLimit | Sequence[RateLimit]
"""One rate limit, or one for the whole queue and one by key."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Limits by key: they apply to the jobs of each key separately.

    A job's key is the value of a field in its metadata, or else in its payload. Text, numbers
    and booleans are valid keys. Jobs without a key are not limited.

    Attributes:
        field: The name of the field.
        rate: How many jobs of one key may start within a time; None means no limit.
        concurrency: How many jobs of one key may run at once; None means no limit.
    """

    field: str
    rate: RateLimit | None = None
    concurrency: int | None = None

    def key_of(self, data: str, metadata: Mapping[str, Any] | None) -> str:
        """Return a job's key, or an empty string if it has none.

        Args:
            data: The job's payload as JSON.
            metadata: The job's metadata.
        """
        key = None if metadata is None else _as_key(metadata.get(self.field))
        if key is None and (f'"{self.field}"' in data or not _PLAIN.fullmatch(self.field)):
            payload = codec.decode(data)
            key = _as_key(payload.get(self.field)) if isinstance(payload, dict) else None
        return key or ""


_PLAIN = re.compile(r"[\w.-]+", re.ASCII)  # characters that no JSON encoder escapes


def _as_key(value: Any) -> str | None:
    """Convert a value to text in the same way as lua/include/keyed_lanes.lua."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:.0f}" if value % 1 == 0 else f"{value:.14g}"
    return None


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a queue, shared by all of its workers.

    Attributes:
        rate: How many jobs may start within a time; None means no limit.
        concurrency: How many jobs may run at once; None means no limit.
        by_key: The limits by key; None means no limit.
    """

    rate: RateLimit | None = None
    concurrency: int | None = None
    by_key: KeyLimits | None = None

    def over(self, others: Limits) -> Limits:
        """Return these limits; where one is None, that of the others."""
        return Limits(
            self.rate or others.rate,
            self.concurrency or others.concurrency,
            self.by_key or others.by_key,
        )

    @classmethod
    def of(
        cls,
        rate_limit: RateLimits | None = None,
        concurrency: int | None = None,
        concurrency_by_key: Mapping[str, int] | None = None,
    ) -> Limits:
        """Validate limits as a caller wrote them.

        Args:
            rate_limit: One rate limit, or one for the whole queue and one with `by`.
            concurrency: How many jobs may run at once.
            concurrency_by_key: The field that holds the key, and how many jobs of one key may
                run at once: {"tenant": 5}.

        Raises:
            ValidationError: A limit is invalid; the error names it.
        """
        whole, keyed = _split(rate_limit)
        if concurrency is not None:
            check_integer(concurrency, "concurrency", 1)
        field, most = _field_of(concurrency_by_key)
        if keyed is not None and field is not None and keyed.by != field:
            raise ValidationError(
                "concurrency_by_key",
                f"is keyed by {field!r}, but the rate limit by {keyed.by!r}; "
                "all limits by key of a queue must use the same field",
            )
        by_key = None
        if keyed is not None and keyed.by is not None:
            by_key = KeyLimits(keyed.by, replace(keyed, by=None), most)
        elif field is not None:
            by_key = KeyLimits(field, None, most)
        return cls(whole, concurrency, by_key)


NO_LIMITS = Limits()


def _split(given: RateLimits | None) -> tuple[RateLimit | None, RateLimit | None]:
    """Return the rate limit of the whole queue and the rate limit by key."""
    found: dict[bool, RateLimit] = {}
    for limit in given if isinstance(given, Sequence) else () if given is None else (given,):
        if not isinstance(limit, RateLimit):
            raise ValidationError(
                "rate_limit", f"must be a RateLimit, like RateLimit(100, per=60), not {limit!r}"
            )
        if found.setdefault(limit.by is not None, limit) is not limit:
            kind = "with `by`" if limit.by is not None else "without `by`"
            raise ValidationError(
                "rate_limit", f"has two limits {kind}; give at most one of each kind"
            )
    return found.get(False), found.get(True)


def _field_of(given: Mapping[str, int] | None) -> tuple[str | None, int | None]:
    if given is None:
        return None, None
    if not isinstance(given, Mapping) or len(given) != 1:  # type: ignore[redundant-expr]
        raise ValidationError(
            "concurrency_by_key",
            f'must be a mapping of one field to a number, like {{"tenant": 5}}, not {given!r}',
        )
    ((field, most),) = given.items()
    check_text(field, "concurrency_by_key")
    check_integer(most, f"concurrency_by_key[{field!r}]", 1)
    return field, most
