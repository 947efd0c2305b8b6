"""docs/states.md draws the table of transitions: every arrow of it, and no other."""

import re

import pytest

from tests.docs.pages import ROOT, blocks
from toril.model.state import INITIAL, STORED, TRANSITIONS

PAGE = ROOT / "docs" / "states.md"
TABLE = {(before.value, after.value) for before in TRANSITIONS for after in TRANSITIONS[before]}

_ARROW = re.compile(r"^ *(\[\*\]|\w+) --> (\[\*\]|\w+): (\S.*)$", re.MULTILINE)
_ROW = re.compile(r"^\| ([a-z-]+) \| ([a-z-]+) \| (\S.*) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def drawing():
    (block,) = [block for block in blocks(PAGE) if block.language == "mermaid"]
    return block.text


@pytest.fixture(scope="module")
def arrows(drawing):
    found = [(a.replace("_", "-"), b.replace("_", "-")) for a, b, _ in _ARROW.findall(drawing)]
    assert len(found) == drawing.count("-->"), "an arrow has no reason"
    assert len(found) == len(set(found)), "an arrow is drawn twice"
    return set(found)


def test_the_drawing_has_exactly_the_arrows_of_the_table(arrows):
    assert {(a, b) for a, b in arrows if "[*]" not in {a, b}} == TABLE


def test_the_drawing_begins_in_the_states_in_which_jobs_are_added(arrows):
    assert {b for a, b in arrows if a == "[*]"} == {state.value for state in INITIAL}


def test_the_drawing_names_every_stored_state(arrows):
    assert {state for arrow in arrows for state in arrow} - {"[*]"} == {s.value for s in STORED}


def test_the_list_below_gives_a_reason_for_exactly_the_arrows_of_the_table():
    rows = [(a, b) for a, b, _ in _ROW.findall(PAGE.read_text(encoding="utf-8")) if a != "from"]

    assert len(rows) == len(set(rows))
    assert set(rows) == TABLE
