"""What the pages say of the code: names, files and links are there, and nothing is left out."""

import ast
import re

import pytest

from tests.docs.pages import ROOT, name_of, pages, prose
from toril import WorkerSettings
from toril.cli.exits import Exit
from toril.model.job_options import JobOptionArgs
from toril.model.outcome import ErrorKind

DOCS = ROOT / "docs"
GUIDES = DOCS / "guides"
ADRS = sorted((DOCS / "adr").glob("*.md"))
PACKAGE = ROOT / "src/toril"
PLACES = (
    ROOT,
    ROOT / "examples",
    PACKAGE,
    *(PACKAGE / room for room in ("worker", "engine/sqlite", "engine/redis", "engine/redis/lua")),
)

_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
_FILE = re.compile(r"`([\w./-]+\.(?:py|sql|md|toml|lua))`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_PAGE_LINES = 60


def anchors(page):
    headings = _HEADING.findall(prose(page))
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_link_leads_somewhere(page):
    for target, anchor in _LINK.findall(prose(page)):
        if "://" in target:
            continue
        found = page if not target else (page.parent / target).resolve()
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), f"{target}#{anchor}"


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_file_that_a_page_names_is_there(page):
    for file in _FILE.findall(prose(page)):
        assert any((place / file).exists() for place in PLACES), file


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_page_begins_with_its_title(page):
    assert page.read_text(encoding="utf-8").startswith("# ")


def test_the_readme_leads_to_every_guide():
    found = {(ROOT / target).resolve() for target, _ in _LINK.findall(prose(ROOT / "README.md"))}

    assert set(GUIDES.glob("*.md")) | set(DOCS.glob("*.md")) <= found


def test_decisions_are_numbered_without_a_gap():
    assert [int(page.name[:4]) for page in ADRS] == list(range(1, len(ADRS) + 1))


@pytest.mark.parametrize("page", ADRS, ids=name_of)
def test_a_decision_has_its_three_parts_on_a_page(page):
    text = page.read_text(encoding="utf-8")

    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert len(text.splitlines()) <= _PAGE_LINES


@pytest.mark.parametrize("option", sorted(JobOptionArgs.__annotations__))
def test_an_option_has_its_row(option):
    assert f"| `{option}` |" in (GUIDES / "options.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", WorkerSettings.__struct_fields__)
def test_a_worker_setting_has_its_row(setting):
    assert f"| `{setting}` |" in (GUIDES / "workers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ErrorKind)
def test_an_error_type_of_torils_own_has_its_row(kind):
    assert f"| `{kind}` |" in (GUIDES / "workers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", Exit, ids=str)
def test_an_exit_code_has_its_row(code):
    assert f"| {code.value} |" in (GUIDES / "command-line.md").read_text(encoding="utf-8")


def variables():
    """Return the names of the environment's variables that the settings read."""
    tree = ast.parse((ROOT / "src/toril/config.py").read_text(encoding="utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return sorted(t for t in texts if isinstance(t, str) and re.fullmatch(r"[A-Z]+(_[A-Z]+)+", t))


@pytest.mark.parametrize("variable", variables())
def test_a_variable_of_the_environment_has_its_row(variable):
    assert f"`{variable}`" in (GUIDES / "command-line.md").read_text(encoding="utf-8")
