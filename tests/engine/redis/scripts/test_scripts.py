"""The Lua files: what they say of themselves, and what they may not do."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

import toril.engine.redis
from toril.engine.redis.scripts.script import script
from toril.model.checks import RESERVED_IDS
from toril.model.outcome import CANCEL_REASON, STALL_REASON
from toril.model.state import STORED, JobState

PACKAGE = files(toril.engine.redis)
ROOM = Path(toril.engine.redis.__file__).parent
LUA = PACKAGE / "lua"
SCRIPTS = sorted(f.name.removesuffix(".lua") for f in LUA.iterdir() if f.name.endswith(".lua"))
PIECES = sorted(f.name.removesuffix(".lua") for f in (LUA / "include").iterdir())
INCLUDED = re.compile(r"^ *-- (?:include|insert): (\w+)$", re.MULTILINE)
COMMENT = re.compile(r"--.*$", re.MULTILINE)
LITERAL = re.compile(r"'([^']*)'")


def text_of(name: str) -> str:
    return (LUA / f"{name}.lua").read_text(encoding="utf-8")


def piece(name: str) -> str:
    return (LUA / "include" / f"{name}.lua").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_begins_with_what_it_takes_and_returns(name: str) -> None:
    header = text_of(name).split("-- include:")[0]
    assert header.startswith("-- ")
    code = COMMENT.sub("", text_of(name))
    answers = re.search(r"^(if .* then )?return (?!missing)", code, re.MULTILINE)
    assert ("-- Returns:" in header) == (answers is not None)
    assert ("-- ARGV:" in header) == ("ARGV" in COMMENT.sub("", text_of(name)))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_includes_what_it_uses_and_no_more(name: str) -> None:
    included = INCLUDED.findall(text_of(name))
    assert included[0] == "queue"
    assert set(included) <= set(PIECES)
    for one in included:
        needs = re.search(r"^-- needs: (.+)$", piece(one), re.MULTILINE)
        wanted = needs[1].split(", ") if needs else []
        assert set(wanted) <= set(included[: included.index(one)]), one


def test_every_piece_is_included_and_every_script_is_run() -> None:
    assert {one for name in SCRIPTS for one in INCLUDED.findall(text_of(name))} == set(PIECES)
    code = "".join(f.read_text(encoding="utf-8") for f in ROOM.rglob("*.py"))
    assert [name for name in SCRIPTS if f'"{name}"' not in code] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_walks_through_the_whole_database(name: str) -> None:
    plain, _ = script(name).text_for((6, 2, 0))
    assert re.findall(r"call\('(KEYS|SCAN|FLUSH\w*|CONFIG|RANDOMKEY)'", plain) == []


def test_a_server_before_7_is_given_no_flags() -> None:
    old, _ = script("exchange").text_for((6, 2, 14))
    new, _ = script("exchange").text_for((7, 0, 15))
    assert not old.startswith("#!")
    assert new.startswith("#!lua flags=allow-oom\n")
    assert new.endswith(old)


def states_in(text: str) -> set[str]:
    """Return the states that Lua code names, but for the lists that bear BullMQ's own names."""
    literals = set(LITERAL.findall(COMMENT.sub("", text)))
    return literals & {state.value for state in JobState}


def test_scripts_name_only_states_that_are_stored_and_find_finds_all_of_them() -> None:
    stored = {state.value for state in STORED}
    for name in SCRIPTS:
        assert states_in(text_of(name)) - {"paused"} <= stored, name
    assert states_in(piece("find")) - {"paused", "unknown"} == stored


def test_reasons_are_those_of_the_model() -> None:
    text = "".join([*map(text_of, SCRIPTS), *map(piece, PIECES)])
    assert f"'{CANCEL_REASON}'" in text
    assert f"'{STALL_REASON}'" in text


def test_no_job_can_be_called_what_a_queues_own_keys_are() -> None:
    from toril.engine.redis.scripts.keys import QueueKeys  # noqa: PLC0415
    from toril.model.job import QueueRef  # noqa: PLC0415

    keys = QueueKeys(QueueRef("bull", "q")).all
    names = {key.removeprefix("bull:q:") for key in keys if key.startswith("bull:q:")}
    assert names <= RESERVED_IDS


def test_the_scripts_are_in_the_wheel(tmp_path: Path) -> None:
    root = Path(__file__).parents[4]
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, check=True, cwd=root, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {f"toril/engine/redis/lua/{name}.lua" for name in SCRIPTS}
    wanted |= {f"toril/engine/redis/lua/include/{name}.lua" for name in PIECES}
    assert wanted <= names
