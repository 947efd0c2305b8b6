"""JSON encoding and decoding, limited to what parsers in all languages read alike."""

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
"""The default size limit of a payload: 1 MiB."""

MAX_DEPTH = 64
"""The maximum nesting depth."""

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON parser reads exactly (RFC 8259, section 6)."""


def _plain(value: Any) -> Any:
    """Convert a value to the JSON type it derives from: numpy numbers, marked-up text, mappings."""
    for kind, make in _CONVERSIONS:
        if isinstance(value, kind):
            return make(value)
    raise TypeError(f"type {type(value).__name__} has no JSON form")


_CONVERSIONS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
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
    """Encode a value as JSON that every language reads back unchanged.

    Args:
        value: None, booleans, numbers, text, lists, tuples and mappings with text keys;
            also types that msgspec encodes: datetimes, UUIDs, dataclasses, enums, …
        field: The field name for errors, for example "data".
        limit: The maximum length of the result, in bytes.

    Returns:
        The JSON text.

    Raises:
        ValidationError: A value has no JSON form, is NaN or infinite, is an integer over
            2^53 - 1, contains a lone surrogate or is nested too deeply, or the JSON is too
            long. The error's field is the path to the value.
    """
    if fault := _fault(value, MAX_DEPTH):
        raise ValidationError(field + fault[0], fault[1])
    try:
        encoded = _encoder.encode(value)
    except UnicodeEncodeError:
        raise ValidationError(field, "contains a lone surrogate, which is not valid text") from None
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise ValidationError(field, f"cannot be written as JSON: {error}") from None
    if len(encoded) > limit:
        raise ValidationError(
            field,
            f"{len(encoded):,} bytes of JSON are more than the {limit:,} allowed; "
            "store large content elsewhere and put a reference in the job",
        )
    return encoded.decode()


_Fault: TypeAlias = tuple[str, str]
"""The path to a part of a value, and why JSON cannot represent that part."""

_SAFE = frozenset({str, bool, type(None)})


def _fault(value: Any, depth: int) -> _Fault | None:
    """Return what JSON would lose silently. Unknown types are left for the encoder to refuse."""
    kind = type(value)
    if kind in _SAFE:
        return None
    return _FAULTS.get(kind, _fault_of_other)(value, depth)


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
    for index, item in enumerate(value):
        if type(item) not in _SAFE and (fault := _fault(item, depth - 1)):
            return f"[{index}]{fault[0]}", fault[1]
    return None


def _fault_of_other(value: Any, depth: int) -> _Fault | None:
    """Check a value of another type after converting it to JSON types."""
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


def encode_reported(value: Any, field: str, limit: int = MAX_BYTES) -> str:
    """Encode what a handler returned or reported; see `encode`.

    The work is done, so this accepts more: text with lone surrogates, as JavaScript's strings may
    have and JSON can escape, and integers of any size, of which Node.js reads the nearest number.
    """
    try:
        return encode(value, field, limit)
    except ValidationError:
        if not _is_only_odd(value):
            raise
    text = dump(value)
    if len(text) > limit:
        encode("x" * (len(text) - 2), field, limit)  # raises the error that names both sizes
    return text


def _is_only_odd(value: Any) -> bool:
    """Return whether a value is JSON but for large integers and lone surrogates."""
    try:
        plain = msgspec.to_builtins(value, enc_hook=_plain)
        return _fault(_with_small_integers(plain), MAX_DEPTH) is None
    except (TypeError, ValueError, RecursionError):
        return False


def _with_small_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_small_integers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_small_integers(item) for item in value]
    return 0 if isinstance(value, int) else value


def dump(value: Any) -> str:
    """Encode a value that was decoded from JSON; lone surrogates are escaped."""
    try:
        return _encoder.encode(value).decode()
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(msgspec.to_builtins(value, enc_hook=_plain), separators=(",", ":"))


def decode(text: str | bytes) -> Any:
    """Decode stored JSON, which Node.js may have written.

    Raises:
        ValueError: The text is not JSON.
    """
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        if not _has_surrogate(text):
            raise
        return _decode_leniently(text)


def decode_as(text: str, kind: Any) -> Any:
    """Decode stored JSON as a type.

    Args:
        text: The JSON.
        kind: The type.

    Raises:
        msgspec.ValidationError: The value does not fit the type.
        ValueError: The text is not JSON.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if not _has_surrogate(text):
            raise
        plain = _decode_leniently(text)
    try:
        return msgspec.convert(plain, kind, str_keys=True)
    except UnicodeEncodeError:  # for example a date of which half a character is left
        raise msgspec.ValidationError("a text with a lone surrogate does not fit") from None


def _has_surrogate(text: str | bytes) -> bool:
    r"""Return whether JSON may have a lone surrogate, which `JSON.stringify` writes as `\ud83d`."""
    return ("\\ud" if isinstance(text, str) else b"\\ud") in text.lower()  # type: ignore[operator]


def _decode_leniently(text: str | bytes) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def decode_untrusted(text: str | bytes, field: str, limit: int = MAX_BYTES) -> Any:
    """Decode JSON from outside, refusing what JSON parsers disagree about.

    Args:
        text: The JSON.
        field: The field name for errors.
        limit: The maximum length, in bytes; longer text is not parsed.

    Returns:
        The value.

    Raises:
        ValidationError: The text is not JSON, is too long or nested too deeply, or contains
            NaN, Infinity, duplicate keys, lone surrogates, or numbers that would lose digits.
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
        raise ValueError(f"the key {twice!r} appears twice in one object")
    return found


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def payload_hash(name: str, data: str) -> str:
    """Return a hash of a job's name and data: the deduplication key if the caller set none.

    Args:
        name: The job's name.
        data: The job's data as JSON. Objects that differ only in key order hash alike.
    """
    canonical = json.dumps(decode(data), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{name}\n{canonical}".encode()).hexdigest()[:40]
