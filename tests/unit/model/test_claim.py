"""What a claim looks like, and what is none."""

import json

import pytest

from toril.model.claim import Claim, decode_claim, encode_claim, has_claim

CLAIM = Claim("2026-03-01", "0a" * 32, 300_000)
FIELDS = {"day": "2026-03-01", "sha256": "0a" * 32, "bytes": 300_000}


def data(**changed):
    return json.dumps({"$payload": {**FIELDS, **changed}}, separators=(",", ":"))


def test_a_claim_is_a_small_json_object_that_other_languages_read():
    assert encode_claim(CLAIM) == data()
    assert decode_claim(data()) == CLAIM


def test_a_claim_says_where_its_payload_is():
    assert CLAIM.path == f"2026-03-01/0a/{'0a' * 32}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (data(), True),
        (json.dumps({"$payload": 1}), True),
        ('{"a":{"$payload":{}}}', False),
        ('"$payload"', False),
        ("null", False),
    ],
)
def test_only_the_first_key_of_the_data_makes_them_a_claim(text, expected):
    assert has_claim(text) is expected


@pytest.mark.parametrize(
    "changed",
    [
        {"sha256": "../../../../etc/passwd"},
        {"sha256": "0A" * 32},
        {"sha256": "0a" * 32 + "\n"},
        {"sha256": "0a" * 31 + "/."},
        {"day": ".."},
        {"day": "../../../2026-03-01"},
        {"day": "2026-03-01\n"},
        {"day": "\N{FULLWIDTH DIGIT TWO}026-03-01"},
        {"day": None},
        {"bytes": 0},
        {"bytes": -1},
        {"bytes": "300000"},
        {"ref": "more than there is"},
    ],
    ids=repr,
)
def test_what_is_not_exactly_a_claim_is_refused(changed):
    with pytest.raises(ValueError, match=r"\$payload|Invalid|Expected"):
        decode_claim(data(**changed))


@pytest.mark.parametrize("text", ['{"$payload":1}', '{"$payload":{}}', data()[:-1], data() + "1"])
def test_what_has_no_claim_in_it_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        decode_claim(text)
