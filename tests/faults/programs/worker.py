"""A worker: `python -m tests.faults.programs.worker CONFIG`."""

from __future__ import annotations

import asyncio
import logging
import sys
from urllib.parse import urlsplit

import msgspec

from tests.faults import ledger as book
from tests.faults.programs import handlers
from tests.faults.programs.engine import FaultyEngine, JumpingClock
from tests.faults.programs.faultpoint import Faultpoint, Hook
from tests.faults.programs.tether import tie_to_stage
from toril import JobCompleted, JobStalled, LeaseLost, QueueManager, WorkerSettings
from toril.application.stores import open_engine
from toril.engine.contract.engine import Engine
from toril.engine.sqlite import SqliteEngine
from toril.model.job import NewJob, QueueRef
from toril.model.job_options import DEFAULT_OPTIONS, encode_options
from toril.model.settlement import Complete, Fail, FollowUp, Settlement, follow_up_id

QUEUE = "work"


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told on its command line."""

    url: str
    concurrency: int = 10
    lease: float = 5.0
    grace: float = 30.0
    cancel_grace: float = 2.0
    max_stalls: int = 20
    hook: Hook | None = None
    clock: str | None = None
    follow_ups: bool = False


FOLLOW_UPS = QueueRef("bull", "follow-ups")


def followed(settlement: Settlement) -> Settlement:
    """Let each job that ends be followed by one that says whose end it was."""
    if not isinstance(settlement, Complete | Fail):
        return settlement
    data = msgspec.json.encode({"of": settlement.lease.id}).decode()
    job = NewJob(
        follow_up_id(settlement.lease),
        "after",
        data,
        DEFAULT_OPTIONS,
        encode_options(DEFAULT_OPTIONS),
    )
    then = (FollowUp(FOLLOW_UPS, job, with_errors=True),)
    return msgspec.structs.replace(settlement, then=then)


class Scribe(logging.Handler):
    """Puts what is logged into the ledger."""

    def __init__(self, ledger: book.Ledger) -> None:
        super().__init__(logging.INFO)
        self._ledger = ledger

    def emit(self, record: logging.LogRecord) -> None:
        self._ledger.write(book.Said(record.levelname, record.getMessage()))


def listen(manager: QueueManager, ledger: book.Ledger) -> None:
    """Write down what the worker announces."""

    @manager.on(JobCompleted)
    def _(event: JobCompleted) -> None:
        ledger.write(book.Heard(event.lease.id, event.lease.token))

    @manager.on(LeaseLost)
    def _(event: LeaseLost) -> None:
        ledger.write(book.Lost(event.lease.id, event.lease.token))

    @manager.on(JobStalled)
    def _(event: JobStalled) -> None:
        ledger.write(book.Stalled(event.job_id, event.poisoned))


def _open(config: WorkerConfig) -> Engine:
    if config.clock is None:
        return open_engine(config.url)
    path = urlsplit(config.url).path.removeprefix("/")
    return SqliteEngine(path, clock=JumpingClock(config.clock))


async def work(config: WorkerConfig) -> None:
    ledger = handlers.ledger()
    logger = logging.getLogger("toril")
    logger.setLevel(logging.INFO)
    logger.addHandler(Scribe(ledger))
    faultpoint = Faultpoint(config.hook, ledger)
    handlers.reach = faultpoint.reach
    manager = QueueManager(engine=FaultyEngine(_open(config), ledger, faultpoint))
    handlers.register(manager.register_queue(QUEUE))
    if config.follow_ups:
        manager._hooks.append(followed)
    listen(manager, ledger)
    settings = WorkerSettings(
        concurrency=config.concurrency,
        processes=2,
        lease=config.lease,
        grace=config.grace,
        cancel_grace=config.cancel_grace,
        max_stalls=config.max_stalls,
        report_every=0,
    )
    async with manager:
        await manager.run_workers(settings=settings)


if __name__ == "__main__":
    tie_to_stage()
    asyncio.run(work(msgspec.json.decode(sys.argv[1], type=WorkerConfig)))
