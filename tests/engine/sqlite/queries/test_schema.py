"""The schema and the queries: they fit one another, and the model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import apsw
import apsw.ext
import pytest

import toril.engine.sqlite
from tests.conformance.support import QUEUE, fail, job, retry
from tests.engine.sqlite.support import batch, exchange, opened, raw
from toril.engine.contract.hot_path import Note
from toril.engine.sqlite.queries import load
from toril.engine.sqlite.storage.connection import connect
from toril.engine.sqlite.storage.migrations import APPLICATION_ID, migrations, pragma
from toril.model.options import Deduplication, Keep
from toril.model.settlement import Complete
from toril.model.state import STORED, TRANSITIONS, JobState

PACKAGE = files(toril.engine.sqlite)
ROOM = Path(toril.engine.sqlite.__file__).parent
QUERY_FILES = sorted(
    file.name.removesuffix(".sql")
    for file in (PACKAGE / "queries").iterdir()
    if file.name.endswith(".sql")
)
QUERIES = [(file, name) for file in QUERY_FILES for name in load(file)]

COMMENT = re.compile(r"--.*$", re.MULTILINE)
LITERAL = re.compile(r"'([^']*)'")

each_query = pytest.mark.parametrize(("file", "name"), QUERIES)


@pytest.fixture
def store() -> Iterator[apsw.Connection]:
    """A new store in memory."""
    connection = connect(":memory:")
    yield connection
    connection.close()


# Queries


def test_there_are_queries_in_every_file() -> None:
    assert len(QUERY_FILES) >= 6
    assert all(load(file) for file in QUERY_FILES)


def test_no_query_stands_before_the_first_name_or_has_another_ones_name() -> None:
    for file in QUERY_FILES:
        text = (PACKAGE / "queries" / f"{file}.sql").read_text(encoding="utf-8")
        head, *_ = re.split(r"^-- name:", text, maxsplit=1, flags=re.MULTILINE)
        assert COMMENT.sub("", head).strip() == ""
        assert len(load(file)) == len(re.findall(r"^-- name:", text, re.MULTILINE))


@each_query
def test_every_named_query_is_one_statement_of_the_schema(
    store: apsw.Connection, file: str, name: str
) -> None:
    sql = load(file)[name]
    info = apsw.ext.query_info(store, sql)
    assert info.query_remaining is None
    assert set(info.bindings_names) == set(re.findall(r":(\w+)", COMMENT.sub("", sql)))


def test_every_named_query_is_run_by_somebody() -> None:
    code = "".join(file.read_text(encoding="utf-8") for file in ROOM.rglob("*.py"))
    patterns = set(re.findall(r'\[f"(\w+)\{\w+\}"\]', code))  # for example forget_{what}
    unused = [
        name
        for _, name in QUERIES
        if f'"{name}"' not in code and not any(name.startswith(p) for p in patterns)
    ]
    assert unused == []


# States


def literals(sql: str) -> set[str]:
    """Return the text literals of some SQL."""
    return set(LITERAL.findall(COMMENT.sub("", sql)))


def sql_files() -> dict[str, str]:
    return {
        file.name: file.read_text(encoding="utf-8")
        for folder in ("schema", "queries")
        for file in (PACKAGE / folder).iterdir()
        if file.name.endswith(".sql")
    }


@pytest.mark.parametrize("file", sorted(sql_files()))
def test_every_literal_in_the_sql_is_a_state_that_is_stored(file: str) -> None:
    texts = {text for text in literals(sql_files()[file]) if text and " " not in text}
    assert texts <= {state.value for state in STORED}


def insert(store: apsw.Connection, **values: object) -> None:
    columns = {"seq": 1, "queue": 1, "id": "a", "priority": 0, "position": 1, "created_at": 1}
    columns |= values
    names = ", ".join(columns)
    places = ", ".join(f":{name}" for name in columns)
    store.execute(f"INSERT INTO job ({names}) VALUES ({places})", columns)


def fitting(state: str) -> dict[str, object]:
    """Return the columns that a job has in a state."""
    active = state == "active"
    return {
        "state": state,
        "priority": int(state == "prioritized"),
        "due_at": 5 if state == "delayed" else None,
        "lease_token": "worker:1" if active else None,
        "lease_until": 9 if active else None,
        "finished_at": 7 if state in {"completed", "failed"} else None,
    }


@pytest.mark.parametrize("state", [state.value for state in JobState] + ["nonsense", "", "WAITING"])
def test_the_store_takes_just_the_states_that_are_stored(
    store: apsw.Connection, state: str
) -> None:
    if state in STORED:
        insert(store, **fitting(state))
    else:
        with pytest.raises(apsw.ConstraintError, match="CHECK"):
            insert(store, **fitting(state))


COUNTED_BY_BATCH = {JobState.ACTIVE, JobState.COMPLETED}


@pytest.mark.parametrize("after", sorted(STORED))
@pytest.mark.parametrize("before", sorted(STORED))
def test_the_store_lets_a_job_go_just_the_ways_of_the_table(
    store: apsw.Connection, before: JobState, after: JobState
) -> None:
    store.execute("INSERT INTO queue (id, prefix, name) VALUES (1, 'bull', 'work')")
    insert(store, **fitting(before))
    store.execute("UPDATE tally SET n = 1 WHERE state = ?", [before])
    columns = fitting(after)
    change = ", ".join(f"{name} = :{name}" for name in columns)
    if before is after or after in TRANSITIONS[before]:
        store.execute(f"UPDATE job SET {change}", columns)
        tally = store.execute("SELECT state, n FROM tally WHERE n <> 0").fetchall()
        assert tally == [(before if after in COUNTED_BY_BATCH else after, 1)]
    else:
        with pytest.raises(apsw.ConstraintError, match="cannot go this way"):
            store.execute(f"UPDATE job SET {change}", columns)


def test_the_table_of_transitions_has_a_row_for_each_stored_state() -> None:
    assert set(TRANSITIONS) == STORED
    assert set().union(*TRANSITIONS.values()) <= STORED


# Invariants

INVALID: dict[str, dict[str, object]] = {
    "waiting with a priority": {"state": "waiting", "priority": 3},
    "prioritized without one": {"state": "prioritized", "priority": 0},
    "delayed without a due time": {"state": "delayed"},
    "waiting with a due time": {"state": "waiting", "due_at": 5},
    "active with a due time": {
        "state": "active",
        "due_at": 5,
        "lease_token": "t",
        "lease_until": 9,
    },
    "active without a lease": {"state": "active"},
    "active with a token only": {"state": "active", "lease_token": "t"},
    "waiting with a lease": {"state": "waiting", "lease_token": "t", "lease_until": 9},
    "waiting with a lease's end only": {"state": "waiting", "lease_until": 9},
    "completed without a finish": {"state": "completed"},
    "failed without a finish": {"state": "failed"},
    "waiting with a finish": {"state": "waiting", "finished_at": 7},
    "completed with a lease": {
        "state": "completed",
        "finished_at": 7,
        "lease_token": "t",
        "lease_until": 9,
    },
    "a request to cancel that is no flag": {"state": "waiting", "cancel_requested": 2},
    "no state": {"state": None},
    "no id": {"state": "waiting", "id": None},
    "a priority that is text": {"state": "waiting", "priority": "high"},
}


@pytest.mark.parametrize("columns", INVALID.values(), ids=INVALID)
def test_the_store_refuses_a_job_that_cannot_be(
    store: apsw.Connection, columns: dict[str, object]
) -> None:
    with pytest.raises(apsw.ConstraintError):
        insert(store, **columns)


def test_the_store_refuses_a_second_job_of_one_id(store: apsw.Connection) -> None:
    insert(store, state="waiting")
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        insert(store, state="waiting", seq=2)
    insert(store, state="waiting", seq=2, queue=2)


@pytest.mark.parametrize(
    "columns",
    ["paused = 2", "concurrency = 0", "rate_max = 0, rate_per = 1", "rate_max = 1", "rate_per = 1"],
)
def test_the_store_refuses_a_queue_that_cannot_be(store: apsw.Connection, columns: str) -> None:
    store.execute("INSERT INTO queue (prefix, name) VALUES ('bull', 'work')")
    with pytest.raises(apsw.ConstraintError):
        store.execute(f"UPDATE queue SET {columns}")


def test_every_table_is_strict(store: apsw.Connection) -> None:
    tables = store.execute(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table' "
        "AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    assert len(tables) > 10
    assert [name for name, strict in tables if not strict] == []


# Versions


def test_versions_follow_one_another_from_the_first() -> None:
    assert list(migrations()) == list(range(1, len(migrations()) + 1))


def test_a_new_store_is_of_the_newest_version_and_ours(store: apsw.Connection) -> None:
    assert pragma(store, "user_version") == max(migrations())
    assert pragma(store, "application_id") == APPLICATION_ID


def test_a_store_keeps_a_log_whose_commits_wait_for_no_disk(tmp_path: Path) -> None:
    connection = connect(str(tmp_path / "jobs.db"))
    normal = 1
    assert pragma(connection, "synchronous") == normal
    assert pragma(connection, "journal_mode") == "wal"
    connection.close()


def test_the_sqlite_in_use_does_not_corrupt_a_shared_file() -> None:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    assert version >= (3, 51, 3)


# What removal leaves


async def test_jobs_that_are_gone_leave_no_rows_behind(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    async with opened(path) as engine:
        rule = Deduplication.simple("key")
        await engine.add(QUEUE, [job("a", tags=["t"], deduplication=rule), job("b", tags=["t"])])
        await engine.add(QUEUE, [*batch(20), job("later", delay=60, tags=["t"])])
        leases = list((await exchange(engine, fetch=16)).leases)
        await engine.note(QUEUE, [Note(lease, "1", ["line"]) for lease in leases])
        await exchange(engine, [retry(lease) for lease in leases[:4]])
        await exchange(
            engine,
            [Complete(lease, "1", Keep(count=n)) for n, lease in enumerate(leases[4:8])]
            + [fail(lease, Keep(count=n)) for n, lease in enumerate(leases[8:12])],
        )
        await exchange(engine, [Complete(lease, "1", Keep(age=0)) for lease in leases[12:14]])
        await exchange(engine, [Complete(lease, "1") for lease in leases[14:]])
        await engine.queues.drain(QUEUE, delayed=True)
        for state in (JobState.COMPLETED, JobState.FAILED):
            await engine.queues.clean(QUEUE, state, 0, 1_000)
        assert set((await engine.queues.counts(QUEUE)).values()) == {0}
    connection = raw(path)
    for table in ("job", "body", "result", "progress", "error", "log", "tag", "dedup"):
        rows = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
        assert (table, rows) == (table, [(0,)])
    connection.close()


async def test_an_obliterated_queue_leaves_no_rows_behind(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    async with opened(path) as engine:
        await engine.add(QUEUE, [job("a", tags=["t"], deduplication=Deduplication.throttle(60))])
        await exchange(engine, fetch=1)
        await engine.queues.obliterate(QUEUE, force=True)
    connection = raw(path)
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
        "AND name <> 'ticket'"
    ).fetchall()
    for (table,) in tables:
        assert (table, connection.execute(f"SELECT * FROM {table}").fetchall()) == (table, [])
    connection.close()
