"""The one table of options: a row is all that reading, storing and parsing need."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from toril.errors import ValidationError
from toril.model import job_options
from toril.model.checks import check_integer
from toril.model.job_options import (
    DEFAULT_OPTIONS,
    JobOptionArgs,
    JobOptions,
    decode_options,
    encode_options,
)
from toril.model.option_table import OPTIONS, Option
from toril.model.options import Backoff, Deduplication, Keep

WRITTEN = {
    "attempts": (7, 7, 7),
    "metadata": ({"tenant": 5}, {"tenant": 5}, {"tenant": 5}),
    "priority": ("high", 2, 2),
    "delay": ("2s", 2000, 2000),
    "job_id": ("order-5", "order-5", "order-5"),
    "lifo": (True, True, True),
    "timeout": ("1m", 60_000, 60_000),
    "ttl": ("1d", 86_400_000, 86_400_000),
    "tags": (["a", "b", "a"], ("a", "b"), ["a", "b"]),
    "correlation_id": ("request-5", "request-5", "request-5"),
    "scheduled_at": (datetime(2030, 1, 1, tzinfo=UTC), 1_893_456_000_000, 1_893_456_000_000),
    "backoff": (5, Backoff.fixed(5), {"type": "fixed", "delay": 5000}),
    "remove_on_complete": (3, Keep(3), 3),
    "remove_on_fail": (True, Keep(0), True),
    "deduplication": (Deduplication.simple("k"), Deduplication.simple("k"), {"id": "k"}),
}
"""For each option what a caller writes, the field's value, and the JSON that is stored."""

each_option = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)


def test_every_option_has_its_example():
    assert set(WRITTEN) == {option.name for option in OPTIONS}


@each_option
def test_an_option_is_read_stored_and_parsed_by_its_row(option):
    written, value, stored = WRITTEN[option.name]
    options = JobOptions.of({option.name: written})

    assert getattr(options, option.field) == value
    assert json.loads(encode_options(options))[option.key] == stored
    assert getattr(decode_options(json.dumps({option.key: stored})), option.field) == value
    assert decode_options(encode_options(options)) == options


@each_option
def test_an_options_default_is_not_stored(option):
    default = getattr(DEFAULT_OPTIONS, option.field)
    others = {"attempts": 2} if option.name != "attempts" else {"priority": 9}

    assert getattr(JobOptions.of(others), option.field) == default
    assert option.key == "attempts" or option.key not in json.loads(
        encode_options(JobOptions.of(others))
    )


@each_option
@pytest.mark.parametrize("nonsense", [{"a": [object]}, "\ud800", -5, [[]]], ids=repr)
def test_json_that_an_option_cannot_have_is_passed_over_and_ends_nobody(option, nonsense):
    try:
        parsed = option.parse(nonsense)
    except (TypeError, ValueError, OverflowError):
        return
    assert isinstance(JobOptions(**{option.field: parsed}), JobOptions)


def test_the_table_the_fields_and_the_keywords_are_of_the_same_options():
    assert [option.name for option in OPTIONS] == list(
        dict.fromkeys(option.name for option in OPTIONS)
    )
    assert {option.name for option in OPTIONS} == set(JobOptionArgs.__annotations__)
    assert {option.field for option in OPTIONS} == set(JobOptions.__struct_fields__)
    assert len({option.key for option in OPTIONS}) == len(OPTIONS)


@pytest.fixture
def another_option(monkeypatch):
    """A further row in the table, whose field is the one of `attempts`' neighbour."""
    row = Option(
        "weight",
        "weight",
        "wt",
        lambda value: check_integer(value, "weight", 1, 9),
        lambda value: min(int(value), 9),
        lambda value: value * 10,
    )
    wider = msgspec.defstruct("JobOptions", [("weight", int, 1)], bases=(JobOptions,), frozen=True)
    monkeypatch.setattr(job_options, "JobOptions", wider)
    monkeypatch.setattr(job_options, "OPTIONS", (*OPTIONS, row))
    monkeypatch.setitem(job_options._BY_NAME, row.name, row)
    monkeypatch.setitem(job_options._DEFAULTS, row.field, 1)
    job_options._cached_options.cache_clear()
    yield wider
    job_options._cached_options.cache_clear()


def test_a_new_row_and_its_field_are_enough_for_a_new_option(another_option):
    options = another_option.of({"weight": 5, "tags": ["a"]})

    assert options.weight == 5
    assert json.loads(encode_options(options)) == {"attempts": 1, "tags": ["a"], "wt": 50}
    assert decode_options('{"wt":4}').weight == 4
    assert decode_options('{"wt":"heavy"}').weight == 1
    with pytest.raises(ValidationError, match=r"^weight: "):
        another_option.of({"weight": 10})
    with pytest.raises(ValidationError, match="did you mean 'weight'"):
        another_option.of({"wieght": 5})
