"""JSON in and out, within the limits that every language's reader keeps."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NoReturn, TypeAlias

import msgspec

from toril.errors import ValidationError

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
