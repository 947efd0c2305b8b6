"""The suite of scenarios complains of what was not to be expected, and of nothing else."""

import pytest

from tests.interop.suite.verdict import (
    Played,
    complaints,
    read_differences,
    rows_of,
    unknown,
)

NAME = "flows: a parent waits"


def played(error=None, wrong=()):
    return [Played("flows", "a parent waits", error, tuple(wrong))]


def complaint(*, bullmq=None, toril=None, reasons=None):
    rows = rows_of({"bullmq": bullmq or played(), "toril": toril or played()}, reasons or {})
    return "; ".join([*complaints(rows), *unknown(rows, reasons or {})])


def test_nothing_is_said_if_both_pass():
    assert complaint() == ""


def test_nothing_is_said_of_a_difference_with_a_reason():
    assert complaint(toril=played("it ran"), reasons={NAME: "Toril has no such call"}) == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"toril": played("it ran")}, "fails with Toril: it ran"),
        ({"bullmq": played("it ran")}, "fails with BullMQ's own worker: it ran"),
        ({"reasons": {NAME: "why"}}, "passes with Toril; remove it"),
        ({"reasons": {"flows: gone": "why"}}, "there is no such scenario"),
        ({"toril": played(wrong=["j is in no list"])}, "lost or doubled: j is in no list"),
        (
            {"toril": played("late", ["j is in 2 places"]), "reasons": {NAME: "why"}},
            "lost or doubled: late; j is in 2 places",
        ),
    ],
    ids=["toril fails", "bullmq fails", "passes", "gone", "lost", "doubled with a reason"],
)
def test_what_was_not_to_be_expected_is_said(given, said):
    assert said in complaint(**given)


def test_each_difference_has_a_reason():
    differences = read_differences()

    assert differences
    assert all(reason.strip() for reason in differences.values())
