"""The table of job options: each option's name, field, and key in BullMQ's JSON.

Validation, encoding to stored JSON and decoding from it all use this table. To add an option,
add a row here, a field to `JobOptions` and a keyword to `JobOptionArgs`.

Source: BullMQ 6, the job hash's `opts` field. `de` is BullMQ's short name for deduplication.
Times are in milliseconds, retention ages in seconds. BullMQ ignores unknown keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from toril.errors import ValidationError
from toril.model.checks import check_integer, check_job_id, check_text
from toril.model.codec import MAX_SAFE_INTEGER, encode
from toril.model.durations import LATEST_MS, to_delay_ms, to_due_ms, to_ms
from toril.model.options import Backoff, Deduplication, Keep, Priority

MAX_ATTEMPTS = 10_000
MAX_TAGS = 50
MAX_TAG_LENGTH = 100


class Option(NamedTuple):
    """One job option.

    Attributes:
        name: The option's name for callers.
        field: The field of `JobOptions`.
        key: The key in BullMQ's JSON.
        read: Validates a caller's value; returns the field's value.
        parse: Reads a JSON value that any program may have written; raises ValueError or
            TypeError.
        write: Converts the field's value to JSON.
    """

    name: str
    field: str
    key: str
    read: Callable[[Any], Any]
    parse: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value


# Validating callers' values


def _read_attempts(value: Any) -> int:
    return check_integer(value, "attempts", 1, MAX_ATTEMPTS)


def _read_flag(field: str) -> Callable[[Any], bool]:
    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError(field, f"must be True or False, not {value!r}")
        return value

    return read


def _read_limit_ms(field: str) -> Callable[[Any], int | None]:
    def read(value: Any) -> int | None:
        if value is None:
            return None
        ms = to_ms(value, field)
        if ms < 1:
            raise ValidationError(
                field, f"must be at least 1 ms, not {value!r}; leave it out for no limit"
            )
        return ms

    return read


def _read_tags(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValidationError("tags", f"must be a list of words, not {value!r}")
    if len(value) > MAX_TAGS:
        raise ValidationError("tags", f"at most {MAX_TAGS} are allowed, not {len(value)}")
    for tag in value:
        check_text(tag, "tags", MAX_TAG_LENGTH)
    return tuple(dict.fromkeys(value))


def _read_metadata(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValidationError("metadata", f"must be a mapping, not {value!r}")
    return dict(value)


def _read_deduplication(value: Any) -> Deduplication | None:
    if value is not None and not isinstance(value, Deduplication):
        raise ValidationError(
            "deduplication",
            f"must be Deduplication.simple(), .throttle(ttl) or .debounce(ttl), not {value!r}",
        )
    rule: Deduplication | None = value
    if rule is not None and rule.ttl_ms is not None:
        check_integer(rule.ttl_ms, "deduplication.ttl_ms", 1, LATEST_MS)
    return rule


def _read_backoff(value: Any) -> Backoff | None:
    if value is None:
        return None
    backoff = Backoff.parse(value)
    check_integer(backoff.delay_ms, "backoff.delay_ms", 0, LATEST_MS)
    if backoff.cap_ms is not None:
        check_integer(backoff.cap_ms, "backoff.cap_ms", 0, LATEST_MS)
    return backoff


# Reading and writing stored JSON


def _number(value: Any) -> float:
    """Read a number as JavaScript's arithmetic does, which also takes one that is written as text.

    Raises:
        ValueError: It is not a finite number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(value)
    found = value if isinstance(value, int) else float(value)
    if not math.isfinite(found):
        raise ValueError(value)
    return found


def _whole(value: Any) -> int:
    found = math.floor(_number(value))
    if not 0 <= found <= MAX_SAFE_INTEGER:
        raise ValueError(value)
    return found


def _attempts(value: Any) -> int:
    """Read the number of attempts. BullMQ retries while fewer were made: 2.5 means three."""
    return max(1, math.ceil(_number(value)))


def _limit(value: Any) -> int | None:
    """Read a time limit. 0 means no limit, as most programs that write it intend."""
    return None if value is None else _whole(value) or None


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(value)
    return tuple(check_text(word, "tag") for word in value)


def _mapping(value: Any) -> dict[str, Any] | None:
    return dict(value) if isinstance(value, Mapping) else None


def _or_none(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else parse(value)


def _text(value: Any) -> str:
    return check_text(value, "text")


def _parse_backoff(found: Any) -> Backoff | None:
    if isinstance(found, Mapping):
        return Backoff(
            str(found.get("type", "fixed")),
            _whole(found.get("delay") or 0),
            _or_none(_whole)(found.get("maxDelay")),
            min(max(_number(found.get("jitter") or 0.0), 0.0), 1.0),
        )
    delay = 0 if found is None else _whole(found)
    return Backoff("fixed", delay) if delay else None  # BullMQ's short form


def _write_backoff(backoff: Backoff) -> dict[str, Any]:
    out: dict[str, Any] = {"type": backoff.kind, "delay": backoff.delay_ms}
    if backoff.cap_ms is not None:
        out["maxDelay"] = backoff.cap_ms
    if backoff.jitter:
        out["jitter"] = backoff.jitter
    return out


def _parse_keep(found: Any) -> Keep | None:
    if isinstance(found, Mapping):
        count, age = found.get("count"), found.get("age")
        count = None if count is None or _number(count) < 0 else _whole(count)  # -1 keeps all
        age = None if age is None else min(_number(age), LATEST_MS // 1000)
        return None if count is None and age is None else Keep(count, age)
    if found is None or isinstance(found, bool):
        return Keep.parse(found, "removeOnComplete")
    return None if _number(found) < 0 else Keep(_whole(found))


def _write_keep(keep: Keep) -> Any:
    if keep.age is None:
        return True if keep.count == 0 else {} if keep.count is None else keep.count
    out: dict[str, Any] = {"age": to_ms(keep.age, "age") / 1000}
    if keep.count is not None:
        out["count"] = keep.count
    return out


def _parse_deduplication(found: Any) -> Deduplication | None:
    if not isinstance(found, Mapping):
        return None
    key = found.get("id")
    return Deduplication(
        None if key is None else str(key),
        _limit(found.get("ttl")),
        bool(found.get("extend", False)),
        bool(found.get("replace", False)),
    )


def _write_deduplication(dedup: Deduplication) -> dict[str, Any]:
    out: dict[str, Any] = {} if dedup.key is None else {"id": dedup.key}
    if dedup.ttl_ms is not None:
        out["ttl"] = dedup.ttl_ms
    if dedup.extend:
        out["extend"] = True
    if dedup.replace:
        out["replace"] = True
    return out


def _write_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    encode(metadata, "metadata")  # raises if it has no JSON form
    return metadata


OPTIONS: tuple[Option, ...] = (
    Option("attempts", "attempts", "attempts", _read_attempts, _attempts),
    Option("metadata", "metadata", "metadata", _read_metadata, _mapping, _write_metadata),
    Option("priority", "priority", "priority", Priority.parse, _whole),
    Option("delay", "delay_ms", "delay", lambda value: to_delay_ms(value, "delay"), _whole),
    Option("job_id", "job_id", "jobId", check_job_id, _or_none(_text)),
    Option("lifo", "lifo", "lifo", _read_flag("lifo"), bool),
    Option("timeout", "timeout_ms", "timeout", _read_limit_ms("timeout"), _limit),
    Option("ttl", "ttl_ms", "ttl", _read_limit_ms("ttl"), _limit),
    Option("tags", "tags", "tags", _read_tags, _words),
    Option(
        "correlation_id",
        "correlation_id",
        "correlationId",
        _or_none(lambda value: check_text(value, "correlation_id")),
        _or_none(_text),
    ),
    Option(
        "scheduled_at",
        "scheduled_ms",
        "scheduledAt",
        lambda value: to_due_ms(value, "scheduled_at"),
        _or_none(_whole),
    ),
    Option("backoff", "backoff", "backoff", _read_backoff, _parse_backoff, _write_backoff),
    Option(
        "remove_on_complete",
        "keep_completed",
        "removeOnComplete",
        lambda value: Keep.parse(value, "remove_on_complete"),
        _parse_keep,
        _write_keep,
    ),
    Option(
        "remove_on_fail",
        "keep_failed",
        "removeOnFail",
        lambda value: Keep.parse(value, "remove_on_fail"),
        _parse_keep,
        _write_keep,
    ),
    Option(
        "deduplication",
        "deduplication",
        "de",
        _read_deduplication,
        _parse_deduplication,
        _write_deduplication,
    ),
)
"""All options, in the order of the stored JSON."""
