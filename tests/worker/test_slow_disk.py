"""What a worker does while its outcomes are not on the disk yet."""

import asyncio
import errno
import os
import threading

import pytest

from tests.worker.waiting import until
from toril import JobCompleted


@pytest.fixture
async def slow(another):
    """A manager whose disk takes its time, or fails."""
    manager = another()
    manager.register_queue("q")
    await manager.open()
    await manager.add_job("q", "first")
    syncer = manager.engine._storage.writer._thread.syncer
    real, manager.disk, manager.fails = syncer._sync, threading.Event(), False

    def sync():
        manager.disk.wait()
        if manager.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real()

    manager.disk.set()
    syncer._sync = sync
    yield manager
    manager.disk.set()


async def test_jobs_run_on_while_outcomes_wait_for_the_disk(slow, settings):
    ran, told = [], []

    async def process(job):
        ran.append(job.id)

    slow.register_processor("q", process)
    slow.on(JobCompleted, lambda event: told.append(event.lease.id))
    await slow.add_bulk("q", [{} for _ in range(19)])
    slow.disk.clear()
    await slow.start_workers(settings=settings(concurrency=2))
    await until(lambda: len(ran) == 20)
    assert told == []
    slow.disk.set()
    await until(lambda: len(told) == 20)
    assert sorted(told) == sorted(ran)


async def test_a_worker_ends_when_its_outcomes_are_kept(slow, settings):
    ended, told = asyncio.Event(), []

    async def process(job):
        ended.set()

    slow.register_processor("q", process)
    slow.on(JobCompleted, lambda event: told.append(event.lease.id))
    slow.disk.clear()
    await slow.start_workers(settings=settings())
    await ended.wait()
    shutdown = asyncio.create_task(slow.shutdown())
    await asyncio.sleep(0)
    assert not told
    slow.disk.set()
    await shutdown
    assert len(told) == 1


async def test_outcomes_that_the_disk_refused_are_named(slow, settings, caplog):
    async def process(job):
        pass

    slow.register_processor("q", process)
    slow.fails = True
    await slow.start_workers(settings=settings())
    await until(lambda: "a power failure may make the jobs run again" in caplog.text)
    assert "Input/output error" in caplog.text
    slow.fails = False
