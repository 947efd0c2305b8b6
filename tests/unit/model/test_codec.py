import json
import math
import re
from collections import OrderedDict, namedtuple
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toril.errors import ValidationError
from toril.model.codec import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_SAFE_INTEGER,
    decode,
    decode_as,
    decode_untrusted,
    dump,
    encode,
    encode_reported,
    payload_hash,
)

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner),
    max_leaves=30,
)


def nested(depth, kind=list):
    value = 1
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


# What goes through


@given(_JSON)
@example(-0.0)
@example(5e-324)
@example("\u2028\x00\x7f")
@example({"": {"": []}})
def test_any_json_comes_back_as_it_was(value):
    assert decode(encode(value, "data")) == value
    assert decode_untrusted(encode(value, "data"), "data") == value


@given(_JSON)
def test_what_is_stored_is_what_every_reader_of_json_reads(value):
    assert json.loads(encode(value, "data")) == value


def test_the_largest_integers_go_through():
    assert encode([MAX_SAFE_INTEGER, -MAX_SAFE_INTEGER], "data") == (
        "[9007199254740991,-9007199254740991]"
    )


@pytest.mark.parametrize("kind", [list, dict])
def test_the_deepest_nesting_goes_through(kind):
    value = nested(MAX_DEPTH, kind)

    assert decode(encode(value, "data")) == value
    assert decode_untrusted(json.dumps(value), "data") == value


def test_a_text_of_exactly_the_limit_goes_through():
    assert len(encode("x" * (MAX_BYTES - 2), "data")) == MAX_BYTES


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 2


class Word(StrEnum):
    YES = "yes"


@dataclass
class Point:
    x: int
    y: float = 0.5


class Struct(msgspec.Struct):
    a: int


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - as users write it


class Text(str):
    __slots__ = ()


class Number(int):
    pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, 2), "[1,2]"),
        ({5}, "[5]"),
        (frozenset({5}), "[5]"),
        (datetime(2030, 1, 2, tzinfo=UTC), '"2030-01-02T00:00:00Z"'),
        (date(2030, 1, 2), '"2030-01-02"'),
        (UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
        (Decimal("1.10"), '"1.10"'),
        (b"\xff", '"/w=="'),
        (Colour.RED, '"red"'),
        (Level.HIGH, "2"),
        (Word.YES, '"yes"'),
        (Point(1), '{"x":1,"y":0.5}'),
        (Struct(1), '{"a":1}'),
        (Pair(1, 2), "[1,2]"),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (Text("word"), '"word"'),
        (Number(5), "5"),
        (MappingProxyType({"a": 1}), '{"a":1}'),
        ({Word.YES: 1}, '{"yes":1}'),
        ([{"deep": {"in": Point(1)}}], '[{"deep":{"in":{"x":1,"y":0.5}}}]'),
    ],
    ids=repr,
)
def test_what_has_an_obvious_json_form_is_written_in_it(value, text):
    assert encode(value, "data") == text


# What is refused, and how it is named


@pytest.mark.parametrize(
    ("value", "field", "reason"),
    [
        (math.nan, "data", "nan is not JSON; send null or text"),
        (math.inf, "data", "inf is not JSON"),
        (-math.inf, "data", "-inf is not JSON"),
        ({"a": {"b": [0, math.nan]}}, "data.a.b[1]", "nan is not JSON"),
        (MAX_SAFE_INTEGER + 1, "data", "beyond 2^53; send it as text"),
        (-(MAX_SAFE_INTEGER + 1), "data", "beyond 2^53"),
        ({"id": 2**64}, "data.id", "beyond 2^53"),
        ({"id": 10**400}, "data.id", "beyond 2^53"),
        ("\ud800", "data", "lone surrogate"),
        ({"\ud800": 1}, "data", "lone surrogate"),
        (["\udfff"], "data", "lone surrogate"),
        ({1: "a"}, "data", "the key 1 is not text"),
        ({"a": {None: 1}}, "data.a", "the key None is not text"),
        ({("a", "b"): 1}, "data", "is not text"),
        (..., "data", "cannot be written as JSON"),
        ({"a": [{"b": ...}]}, "data.a[0].b", "cannot be written as JSON"),
        (1j, "data", "cannot be written as JSON"),
        ({math.nan}, "data[0]", "nan is not JSON"),
        ([{2**60}], "data[0][0]", "beyond 2^53"),
        (Point(2**60), "data.x", "beyond 2^53"),
        (Point(1, math.inf), "data.y", "inf is not JSON"),
        (Struct("\ud800"), "data", "lone surrogate"),
        (Struct({1: 2}), "data.a", "the key 1 is not text"),
        (Number(2**60), "data", "beyond 2^53"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_json_would_lose_is_refused_with_the_path_to_it(value, field, reason):
    with pytest.raises(ValidationError, match=re.escape(reason)) as caught:
        encode(value, "data")

    assert caught.value.field == field


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_what_is_nested_too_deeply_is_refused(kind, depth):
    with pytest.raises(ValidationError, match="nested deeper than 64 levels"):
        encode(nested(depth, kind), "data")


def test_a_value_that_holds_itself_is_refused():
    value = []
    value.append(value)

    with pytest.raises(ValidationError, match="nested deeper"):
        encode(value, "data")


def test_depth_is_counted_within_dataclasses_too():
    with pytest.raises(ValidationError, match="nested deeper"):
        encode(Struct(nested(MAX_DEPTH)), "data")


def test_what_is_too_large_is_refused_with_both_sizes_and_the_way_out():
    with pytest.raises(ValidationError, match=r"1,048,577 bytes .*more than the 1,048,576.*refer"):
        encode("x" * (MAX_BYTES - 1), "data")


def test_a_queue_may_allow_less():
    with pytest.raises(ValidationError, match="more than the 10 allowed"):
        encode("x" * 9, "data", limit=10)


@given(st.from_type(type).flatmap(st.from_type) | st.from_type(object))
def test_whatever_is_given_is_encoded_or_refused_and_nothing_else(value):
    try:
        text = encode(value, "data")
    except ValidationError:
        return
    decode_untrusted(text, "data")


# JSON from outside


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON: .* at line 1, column 2"),
        ("[1,]", "is not JSON"),
        ("'a'", "is not JSON"),
        ("1 2", "is not JSON"),
        ("NaN", "NaN is not JSON"),
        ("[Infinity]", "Infinity is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ("1e400", "inf is not JSON"),
        ("-1e400", "-inf is not JSON"),
        ("9007199254740992", "beyond 2"),
        ("9" * 5000, "(beyond 2|is not accepted)"),
        ('"\\ud800"', "lone surrogate"),
        ('{"\\udfff":1}', "lone surrogate"),
        ("\ud800", "is not UTF-8"),
        ('{"a":1,"a":2}', "the key 'a' appears twice"),
        ('{"a":{"b":1,"c":2,"b":1}}', "the key 'b' appears twice"),
        (b"\xff", "is not UTF-8"),
        (b'"\xed\xa0\x80"', "is not UTF-8"),
        (b'\xef\xbb\xbf"bom"', "is not JSON"),
        ("[" * 65 + "]" * 65, "nested deeper"),
        ("[" * 200_000 + "]" * 200_000, "nested deeper"),
        ('{"a":' * 200_000 + "1" + "}" * 200_000, "nested deeper"),
        ("[" * 200_000, "(nested deeper|is not JSON)"),
    ],
    ids=lambda value: f"{value!r:.20}~{len(value)}",
)
def test_json_that_readers_disagree_about_is_refused(text, reason):
    with pytest.raises(ValidationError, match=reason) as caught:
        decode_untrusted(text, "body", limit=10**7)

    assert caught.value.field.startswith("body")


def test_text_over_the_limit_is_not_even_parsed():
    with pytest.raises(ValidationError, match="11 bytes are more than the 10 allowed"):
        decode_untrusted("not json at", "body", limit=10)


def test_the_limit_counts_bytes_and_not_characters():
    with pytest.raises(ValidationError, match="12 bytes are more"):
        decode_untrusted('"äääää"', "body", limit=11)


def test_a_surrogate_pair_is_one_character():
    assert decode_untrusted('"\\ud83d\\ude00"', "body") == "😀"


def test_numbers_that_grow_when_they_are_written_out_stay_within_the_limit():
    text = json.dumps([1e15] * 1000).replace("1000000000000000.0", "1e15")

    assert decode_untrusted(text, "body", limit=len(text)) == [1e15] * 1000


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(raw):
    with suppress(ValidationError):
        decode_untrusted(raw, "body")


@given(st.text(st.characters(), max_size=100))
def test_arbitrary_text_is_read_or_refused_and_nothing_else(text):
    with suppress(ValidationError):
        decode_untrusted(text, "body")


_TOKENS = [
    *'{}[],:"\\',
    *("0", "-", "1e400", "1e15", "9007199254740993", "NaN", "-Infinity", "null", "true"),
    *("\\ud800", "\\u0000", '"a":', '"a"', " ", "\n", "\ufeff"),
]


@given(st.lists(st.sampled_from(_TOKENS), max_size=40))
def test_what_almost_is_json_is_read_or_refused_and_nothing_else(tokens):
    try:
        value = decode_untrusted("".join(tokens), "body")
    except ValidationError:
        return
    assert decode(encode(value, "body")) == value


# Hashes of payloads


def test_payloads_that_differ_in_the_order_of_keys_have_one_hash():
    assert payload_hash("n", '{"a":1,"b":{"c":2,"d":3}}') == (
        payload_hash("n", '{"b":{"d":3,"c":2},"a":1}')
    )


@pytest.mark.parametrize(
    ("name", "data"),
    [("m", '{"a":1}'), ("n", '{"a":2}'), ("n", '{"a":"1"}'), ("n", '{"a":1.5}'), ("n", "[1]")],
)
def test_payloads_that_differ_in_anything_else_do_not(name, data):
    assert payload_hash(name, data) != payload_hash("n", '{"a":1}')


# What only Node.js writes, or a handler returns


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"\\ud83d"', "\ud83d"),
        ('{"\\uDC00":["\\ud83d\\ude00","\\ud83d"]}', {"\udc00": ["\U0001f600", "\ud83d"]}),
        ("9007199254740993", 2**53 + 1),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_what_javascript_writes_is_read_and_written_again(text, value):
    assert decode(text) == value
    assert decode(dump(value)) == value
    assert json.loads(encode_reported(value, "result")) == value
    encode_reported(value, "result").encode()


@pytest.mark.parametrize("value", [{1: "\ud83d"}, [float("nan"), 2**60], {"a": object()}, Ellipsis])
def test_what_is_no_json_is_no_report_either(value):
    with pytest.raises(ValidationError, match=r"^result"):
        encode_reported(value, "result")


def test_a_report_with_a_lone_surrogate_is_within_the_limit_too():
    with pytest.raises(ValidationError, match="more than the 20 allowed"):
        encode_reported("\ud83d" * 10, "result", 20)


@pytest.mark.parametrize("text", ["{", '"\\ud83d', '"\\ud83d" x', '["\\ud83d",NaN]', ""])
def test_what_is_no_json_is_not_read_because_of_a_surrogate(text):
    with pytest.raises(ValueError, match=r"."):
        decode(text)


def test_a_lone_surrogate_is_read_as_a_type():
    assert decode_as('{"a":"\\ud83d","b":5}', dict[str, str | int]) == {"a": "\ud83d", "b": 5}
    with pytest.raises(msgspec.ValidationError):
        decode_as('{"a":"\\ud83d"}', dict[str, int])
