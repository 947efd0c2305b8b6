"""docs/keys.md names what the store has: each table, index and trigger, and no other."""

import re
from contextlib import closing

import pytest

from tests.docs.pages import ROOT
from toril.engine.sqlite.storage.connection import MEMORY, connect

PAGE = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)


@pytest.fixture(scope="module")
def store():
    with closing(connect(MEMORY)) as connection:
        found = connection.execute(
            "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
        ).fetchall()
    return set(found)


@pytest.mark.parametrize(
    ("heading", "kind"), [("Tables", "table"), ("Indexes", "index"), ("Triggers", "trigger")]
)
def test_the_page_names_exactly_what_the_store_has(heading, kind, store):
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]

    assert sorted(_ROW.findall(section)) == sorted(name for k, name in store if k == kind)
