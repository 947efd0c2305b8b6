"""The record of what happened: how long it is kept."""

from __future__ import annotations

import pytest

from tests.conformance.support import QUEUE, job, news_of, tail_of
from toril.engine.sqlite import SqliteEngine
from toril.engine.sqlite.storage.transaction import Transaction


async def test_the_record_of_events_does_not_grow_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def recorded(tx: Transaction) -> int:
        return tx.value("SELECT count(*) FROM event")

    monkeypatch.setattr("toril.engine.sqlite.event_log.KEPT_EVENTS", 200)
    engine = SqliteEngine(None)
    start = await tail_of(engine, QUEUE)
    for n in range(1_300):
        await engine.add(QUEUE, [job(f"j{n:04}")])
    assert 200 <= await engine._storage.writer.read(recorded) < 200 + 500
    told, _ = await news_of(engine, QUEUE, start, 2_000)
    assert [event.job_id for event in told[-200:]] == [f"j{n:04}" for n in range(1_100, 1_300)]
    await engine.close()
