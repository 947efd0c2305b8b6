"""JSON in and out, within limits, and BullMQ's names of options; of `repeat` see repeating.py."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, NoReturn, TypeAlias

import msgspec

from toril.errors import ValidationError
from toril.model.checks import check_text, is_integer
from toril.model.durations import to_ms
from toril.model.job_options import JobOptions
from toril.model.options import Backoff, Deduplication, Keep

MAX_BYTES = 1 << 20
"""The largest payload, unless a queue allows another: 1 MiB."""

MAX_DEPTH = 64
"""How deep JSON may nest."""

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every reader of JSON keeps (RFC 8259, section 6)."""


def _plain(value: Any) -> Any:
    """Return a relative of a JSON type as that type: numpy's numbers, marked-up text, mappings."""
    for kind, make in _RELATIVES:
        if isinstance(value, kind):
            return make(value)
    raise TypeError(f"a {type(value).__name__} has no JSON form")


_RELATIVES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (Integral, int),
    (Real, float),
    (Mapping, dict),
)

_encoder = msgspec.json.Encoder(enc_hook=_plain)
_decoder = msgspec.json.Decoder()


def encode(value: Any, field: str, limit: int = MAX_BYTES) -> str:
    """Return a value as JSON that every language reads back as it was.

    Args:
        value: None, booleans, numbers, text, lists, tuples and mappings with text keys;
            also what msgspec writes: datetimes, UUIDs, dataclasses, enums, …
        field: The name to put into errors, for example "data".
        limit: The largest result, in bytes.

    Returns:
        The JSON text.

    Raises:
        ValidationError: A value has no JSON form, is NaN or infinite, an integer over
            2^53 - 1, a lone surrogate, nested too deeply, or the text is too long. The
            error's field is the path to it.
    """
    if fault := _fault(value, MAX_DEPTH):
        raise ValidationError(field + fault[0], fault[1])
    try:
        encoded = _encoder.encode(value)
    except UnicodeEncodeError:
        raise ValidationError(field, "has a lone surrogate, which is no text") from None
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise ValidationError(field, f"cannot be written as JSON: {error}") from None
    if len(encoded) > limit:
        raise ValidationError(
            field,
            f"{len(encoded):,} bytes of JSON are more than the {limit:,} allowed; "
            "store large content elsewhere and put a reference into the job",
        )
    return encoded.decode()


_Fault: TypeAlias = tuple[str, str]
"""Where in a value, and what JSON would lose of it."""

_SAFE = frozenset({str, bool, type(None)})


def _fault(value: Any, depth: int) -> _Fault | None:
    """Return what JSON would lose silently; types that it has not are the encoder's to judge."""
    kind = type(value)
    if kind in _SAFE:
        return None
    return _FAULTS.get(kind, _fault_of_foreign)(value, depth)


def _fault_of_int(value: int, _: int) -> _Fault | None:
    if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        return None
    return "", f"{value} is beyond 2^53; send it as text"


def _fault_of_float(value: float, _: int) -> _Fault | None:
    return None if math.isfinite(value) else ("", f"{value} is not JSON; send null or text")


def _fault_of_dict(value: dict[Any, Any], depth: int) -> _Fault | None:
    if depth == 0:
        return "", _TOO_DEEP
    for key, item in value.items():
        if not isinstance(key, str):
            return "", f"the key {key!r} is not text"
        if type(item) not in _SAFE and (fault := _fault(item, depth - 1)):
            return f".{key}{fault[0]}", fault[1]
    return None


def _fault_of_list(value: Sequence[Any], depth: int) -> _Fault | None:
    if depth == 0:
        return "", _TOO_DEEP
    for place, item in enumerate(value):
        if type(item) not in _SAFE and (fault := _fault(item, depth - 1)):
            return f"[{place}]{fault[0]}", fault[1]
    return None


def _fault_of_foreign(value: Any, depth: int) -> _Fault | None:
    """Check what is not JSON itself in the form that it will have."""
    try:
        plain = msgspec.to_builtins(value, enc_hook=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        return "", f"cannot be written as JSON: {error}"
    return None if type(plain) is type(value) else _fault(plain, depth)


_FAULTS: dict[type, Callable[[Any, int], _Fault | None]] = {
    int: _fault_of_int,
    float: _fault_of_float,
    dict: _fault_of_dict,
    list: _fault_of_list,
    tuple: _fault_of_list,
}

_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"


def decode(text: str | bytes) -> Any:
    """Return JSON that this library stored as a value."""
    return _decoder.decode(text)


def decode_untrusted(text: str | bytes, field: str, limit: int = MAX_BYTES) -> Any:
    """Return JSON from outside as a value, refusing what readers disagree about.

    Args:
        text: The JSON.
        field: The name to put into errors.
        limit: The longest text, in bytes; longer text is not parsed at all.

    Returns:
        The value.

    Raises:
        ValidationError: It is not JSON, too long or too deep, or has NaN, Infinity,
            duplicate keys, lone surrogates, or numbers that would lose digits.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > limit:
        raise ValidationError(field, f"{len(raw):,} bytes are more than the {limit:,} allowed")
    try:
        value = json.loads(
            raw.decode(),
            object_pairs_hook=_unique_pairs,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError:
        raise ValidationError(field, "is not UTF-8") from None
    except RecursionError:
        raise ValidationError(field, _TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise ValidationError(
            field, f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:
        raise ValidationError(field, f"is not accepted: {error}") from None
    encode(value, field, limit=max(limit, len(raw) * 6))
    return value


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def payload_hash(name: str, data: str) -> str:
    """Return the deduplication key of a job without one: a hash of its name and data.

    Args:
        name: The job's name.
        data: Its data as JSON. Objects that differ only in the order of keys are equal.
    """
    canonical = json.dumps(decode(data), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{name}\n{canonical}".encode()).hexdigest()[:40]


def encode_options(options: JobOptions) -> str:
    """Return options as BullMQ's JSON, with our own beside them; defaults are left out.

    Source: BullMQ 6, the job hash's `opts` field; `de` is its short name for
    deduplication, times are milliseconds, ages of what is kept are seconds.

    Raises:
        ValidationError: The metadata have no JSON form.
    """
    out: dict[str, Any] = {"attempts": options.attempts}
    if options.metadata is not None:
        encode(options.metadata, "metadata")
        out["metadata"] = options.metadata
    for ours, theirs in _PLAIN:
        value = getattr(options, ours)
        if value:
            out[theirs] = value
    if options.scheduled_ms is not None:
        out["scheduledAt"] = options.scheduled_ms
    if options.backoff is not None:
        out["backoff"] = _backoff_out(options.backoff)
    if options.keep_completed is not None:
        out["removeOnComplete"] = _keep_out(options.keep_completed)
    if options.keep_failed is not None:
        out["removeOnFail"] = _keep_out(options.keep_failed)
    if options.deduplication is not None:
        out["de"] = _deduplication_out(options.deduplication)
    return _encoder.encode(out).decode()


_PLAIN = (
    ("priority", "priority"),
    ("delay_ms", "delay"),
    ("job_id", "jobId"),
    ("lifo", "lifo"),
    ("timeout_ms", "timeout"),
    ("ttl_ms", "ttl"),
    ("tags", "tags"),
    ("correlation_id", "correlationId"),
)


def _backoff_out(backoff: Backoff) -> dict[str, Any]:
    out: dict[str, Any] = {"type": backoff.kind, "delay": backoff.delay_ms}
    if backoff.cap_ms is not None:
        out["maxDelay"] = backoff.cap_ms
    if backoff.jitter:
        out["jitter"] = backoff.jitter
    return out


def _keep_out(keep: Keep) -> Any:
    if keep.age is None:
        return True if keep.count == 0 else {} if keep.count is None else keep.count
    out: dict[str, Any] = {"age": to_ms(keep.age, "age") / 1000}
    if keep.count is not None:
        out["count"] = keep.count
    return out


def _deduplication_out(dedup: Deduplication) -> dict[str, Any]:
    out: dict[str, Any] = {} if dedup.key is None else {"id": dedup.key}
    if dedup.ttl_ms is not None:
        out["ttl"] = dedup.ttl_ms
    if dedup.extend:
        out["extend"] = True
    if dedup.replace:
        out["replace"] = True
    return out


def decode_options(text: str) -> JobOptions:
    """Return a job's options from BullMQ's JSON. What we do not know is passed over.

    Jobs of one kind share their options' text, so the answers are kept; but not where
    they hold metadata, which a handler could change under the next job.
    """
    return _parse_options(text) if '"metadata"' in text else _known_options(text)


@lru_cache(maxsize=1024)
def _known_options(text: str) -> JobOptions:
    return _parse_options(text)


def _parse_options(text: str) -> JobOptions:
    """Read what can be read: one job that another program wrote must not end a worker."""
    try:
        found = decode(text)
    except (ValueError, RecursionError):
        found = {}
    if not isinstance(found, dict):
        found = {}
    values: dict[str, Any] = {}
    for ours, theirs, read in _READERS:
        if theirs in found:
            try:
                values[ours] = read(found[theirs])
            except (TypeError, ValueError, OverflowError):
                continue
    return JobOptions(**values)


def _whole(value: Any) -> int:
    if not is_integer(value) or not 0 <= value <= MAX_SAFE_INTEGER:
        raise ValueError(value)
    found: int = value
    return found


def _whole_or_none(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _limit_or_none(value: Any) -> int | None:
    """Read a limit of time; 0 is none, as it is for most who write it."""
    return None if value is None else _whole(value) or None


def _text_or_none(value: Any) -> str | None:
    return None if value is None else check_text(value, "text")


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(value)
    return tuple(check_text(word, "tag") for word in value)


def _mapping_or_none(value: Any) -> dict[str, Any] | None:
    return dict(value) if isinstance(value, Mapping) else None


def _backoff_in(found: Any) -> Backoff | None:
    if isinstance(found, Mapping):
        return Backoff(
            str(found.get("type", "fixed")),
            int(found.get("delay", 0)),
            found.get("maxDelay"),
            float(found.get("jitter", 0.0)),
        )
    if isinstance(found, int | float) and not isinstance(found, bool) and found > 0:
        return Backoff("fixed", int(found))  # BullMQ's short form
    return None


def _keep_in(found: Any) -> Keep | None:
    if isinstance(found, Mapping):
        return Keep(found.get("count"), found.get("age")) if found else None
    return Keep.parse(found, "removeOnComplete")


def _deduplication_in(found: Any) -> Deduplication | None:
    if not isinstance(found, Mapping):
        return None
    return Deduplication(
        found.get("id"),
        found.get("ttl"),
        bool(found.get("extend", False)),
        bool(found.get("replace", False)),
    )


_READERS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("priority", "priority", _whole),
    ("delay_ms", "delay", _whole),
    ("scheduled_ms", "scheduledAt", _whole_or_none),
    ("attempts", "attempts", lambda value: max(1, _whole(value))),
    ("backoff", "backoff", _backoff_in),
    ("job_id", "jobId", _text_or_none),
    ("keep_completed", "removeOnComplete", _keep_in),
    ("keep_failed", "removeOnFail", _keep_in),
    ("lifo", "lifo", bool),
    ("timeout_ms", "timeout", _limit_or_none),
    ("ttl_ms", "ttl", _limit_or_none),
    ("tags", "tags", _words),
    ("metadata", "metadata", _mapping_or_none),
    ("correlation_id", "correlationId", _text_or_none),
    ("deduplication", "de", _deduplication_in),
)
