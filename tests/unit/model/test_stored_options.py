"""Options as BullMQ stores them: its names in the JSON, ours in Python."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from toril.errors import ValidationError
from toril.model.job_options import DEFAULT_OPTIONS, JobOptions, decode_options, encode_options
from toril.model.options import Backoff, Deduplication, Keep

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
_SECONDS = st.integers(1, 10**9).map(lambda ms: ms / 1000)
_BACKOFFS = st.builds(
    Backoff.exponential, _SECONDS, cap=st.none() | _SECONDS, jitter=st.floats(0, 1)
) | st.builds(Backoff.fixed, _SECONDS, jitter=st.floats(0, 1))
_KEEPS = (
    st.booleans()
    | st.integers(0, 10**6)
    | st.builds(Keep, st.none() | st.integers(0, 2**53 - 1), _SECONDS)
)
_DEDUPLICATIONS = st.one_of(
    st.builds(Deduplication.simple, st.none() | _TEXT),
    st.builds(Deduplication.throttle, _SECONDS, st.none() | _TEXT),
    st.builds(Deduplication.debounce, _SECONDS, st.none() | _TEXT),
)
_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.integers(0, 2**21),
        "delay": _SECONDS,
        "attempts": st.integers(1, 10_000),
        "backoff": st.none() | _BACKOFFS,
        "job_id": _TEXT.map(lambda text: "id-" + text.replace(":", "-")),
        "remove_on_complete": _KEEPS,
        "remove_on_fail": _KEEPS,
        "lifo": st.booleans(),
        "timeout": _SECONDS,
        "ttl": _SECONDS,
        "tags": st.lists(_TEXT, max_size=5),
        "metadata": st.none() | st.dictionaries(_TEXT, st.integers(0, 9) | _TEXT, min_size=1),
        "correlation_id": _TEXT,
        "deduplication": _DEDUPLICATIONS,
    },
)


def comparable(options):
    """Options in a form in which what means the same is the same."""
    keeps = [options.keep_completed, options.keep_failed]
    ages = [(None, None) if keep is None else (keep.count, keep.age_ms) for keep in keeps]
    fields = {name: getattr(options, name) for name in options.__struct_fields__}
    return {**fields, "keep_completed": ages[0], "keep_failed": ages[1]}


@given(_OPTIONS)
def test_options_come_back_as_they_were(written):
    options = JobOptions.of(written)

    assert comparable(decode_options(encode_options(options))) == comparable(options)


def test_a_scheduled_job_comes_back_scheduled():
    options = JobOptions.of({"scheduled_at": 5.25})

    assert json.loads(encode_options(options)) == {"attempts": 1, "scheduledAt": 5250}
    assert decode_options(encode_options(options)) == options


def test_options_are_stored_under_bullmqs_names():
    options = JobOptions.of(
        {
            "priority": "high",
            "delay": 2,
            "attempts": 7,
            "backoff": Backoff.exponential(1, cap=60, jitter=0.5),
            "job_id": "order-5",
            "remove_on_complete": True,
            "remove_on_fail": Keep(count=10, age="1h"),
            "lifo": True,
            "timeout": "1m",
            "ttl": "1d",
            "tags": ["a", "b"],
            "metadata": {"tenant": 5},
            "correlation_id": "request-5",
            "deduplication": Deduplication.debounce(5, "key"),
        }
    )

    assert json.loads(encode_options(options)) == {
        "priority": 2,
        "delay": 2000,
        "attempts": 7,
        "backoff": {"type": "exponential", "delay": 1000, "maxDelay": 60_000, "jitter": 0.5},
        "jobId": "order-5",
        "removeOnComplete": True,
        "removeOnFail": {"age": 3600, "count": 10},
        "lifo": True,
        "timeout": 60_000,
        "ttl": 86_400_000,
        "tags": ["a", "b"],
        "metadata": {"tenant": 5},
        "correlationId": "request-5",
        "de": {"id": "key", "ttl": 5000, "extend": True, "replace": True},
    }


def test_defaults_are_left_out_but_for_the_attempts():
    assert encode_options(DEFAULT_OPTIONS) == '{"attempts":1}'


@pytest.mark.parametrize(
    ("text", "attribute", "expected"),
    [
        ("", "attempts", 1),
        ("{}", "attempts", 1),
        ('{"attempts":0}', "attempts", 1),
        ('{"removeOnComplete":{"count":5}}', "keep_completed", Keep(5)),
        ('{"removeOnComplete":5}', "keep_completed", Keep(5)),
        ('{"removeOnComplete":false}', "keep_completed", None),
        ('{"removeOnFail":-1}', "keep_failed", None),
        ('{"backoff":5000}', "backoff", Backoff.fixed(5)),
        ('{"backoff":{"type":"mine"}}', "backoff", Backoff.custom("mine")),
        ('{"parent":{"id":"1"},"kl":5}', "attempts", 1),
        ('{"timeout":0}', "timeout_ms", None),
        ('{"ttl":0}', "ttl_ms", None),
        ('{"timeout":-5}', "timeout_ms", None),
        ('{"attempts":"3"}', "attempts", 3),
        ('{"attempts":2.5}', "attempts", 3),
        ('{"attempts":-2}', "attempts", 1),
        ('{"attempts":true}', "attempts", 1),
        ('{"attempts":1e400}', "attempts", 1),
        ('{"attempts":"many"}', "attempts", 1),
        ('{"delay":12.7}', "delay_ms", 12),
        ('{"delay":"1500"}', "delay_ms", 1500),
        ('{"priority":"3"}', "priority", 3),
        ('{"timeout":"1500.5"}', "timeout_ms", 1500),
        ('{"removeOnComplete":"100"}', "keep_completed", Keep(100)),
        ('{"removeOnComplete":99.9}', "keep_completed", Keep(99)),
        ('{"removeOnFail":{"count":"5","age":"3600"}}', "keep_failed", Keep(5, 3600)),
        ('{"removeOnFail":{"count":-1}}', "keep_failed", None),
        ('{"removeOnFail":{"age":0.5,"limit":100}}', "keep_failed", Keep(None, 0.5)),
        ('{"backoff":"1500"}', "backoff", Backoff.fixed(1.5)),
        ('{"backoff":1500.5}', "backoff", Backoff.fixed(1.5)),
        (
            '{"backoff":{"type":"exponential","delay":"1000","maxDelay":"60000.5","jitter":"0.5"}}',
            "backoff",
            Backoff.exponential(1, cap=60, jitter=0.5),
        ),
        (
            '{"backoff":{"type":"fixed","delay":null,"jitter":7}}',
            "backoff",
            Backoff("fixed", 0, None, 1.0),
        ),
        ('{"de":{"id":5,"ttl":"1000.5"}}', "deduplication", Deduplication("5", 1000)),
        ('{"metadata":{"a":"\\ud83d"}}', "metadata", {"a": "\ud83d"}),
    ],
)
def test_options_that_node_wrote_are_read_and_the_unknown_passed_over(text, attribute, expected):
    assert getattr(decode_options(text), attribute) == expected


_NAMES = [
    *("attempts", "priority", "delay", "jobId", "lifo", "timeout", "ttl", "tags", "metadata"),
    *("correlationId", "backoff", "removeOnComplete", "removeOnFail", "de", "scheduledAt"),
    *("type", "jitter", "maxDelay", "count", "age", "id", "extend", "replace", "keepLogs"),
]
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=5)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(_NAMES), _ANYTHING).map(json.dumps) | st.text(max_size=20))
def test_whatever_another_program_wrote_is_read_as_options_that_can_be(text):
    options = decode_options(text)

    assert options.attempts >= 1
    assert all(isinstance(tag, str) for tag in options.tags)
    assert options.backoff is None or options.backoff.delay_ms >= 0
    own = structs.replace(options, metadata=None)  # what others wrote into it may be beyond ours
    assert comparable(decode_options(encode_options(own))) == comparable(own)


def test_what_is_done_to_a_jobs_metadata_is_not_seen_by_the_next_job():
    text = encode_options(JobOptions.of({"metadata": {"list": [1]}}))

    decode_options(text).metadata["list"].append(2)

    assert decode_options(text).metadata == {"list": [1]}


@pytest.mark.parametrize(
    "metadata",
    [{"a": float("nan")}, {"a": "\ud800"}, {1: "a"}, {"a": ...}, {"a": "x" * 2**20}],
    ids=lambda value: repr(value)[:20],
)
def test_metadata_are_held_to_the_limits_of_json(metadata):
    with pytest.raises(ValidationError, match=r"^metadata"):
        encode_options(JobOptions.of({"metadata": metadata}))
