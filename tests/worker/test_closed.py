"""Calls on a closed manager, or that wait while it closes, end with an error that says so."""

import asyncio
import threading

import pytest

from tests.worker import jobs
from tests.worker.waiting import until
from toril import QueueManager, Settings, StoreUnavailableError


@pytest.fixture
def task(queue):
    return queue.task(jobs.double)


CALLS = {
    "add": lambda m, h: m.add_job("q"),
    "add many": lambda m, h: m.add_bulk("q", [{"name": "x"}] * 3),
    "get": lambda m, h: m.get_job("q", h.id),
    "pause": lambda m, h: m.pause_queue("q"),
    "metrics": lambda m, h: m.get_queue_metrics("q"),
    "state": lambda m, h: h.state(),
    "result": lambda m, h: h.result(),
    "logs": lambda m, h: h.logs(),
    "cancel": lambda m, h: h.cancel(),
}


async def test_every_call_on_a_closed_manager_says_how_to_open_it(manager, task):
    handle = await task.enqueue(1)
    await manager.shutdown()

    for name, call in CALLS.items():
        with pytest.raises(StoreUnavailableError) as caught:
            await call(manager, handle)
        text = str(caught.value)
        assert "is closed; open the manager again: `await manager.open()`" in text, name


async def test_a_closed_manager_can_be_opened_again(manager, task, url):
    handle = await task.enqueue(1)
    await manager.shutdown()
    await manager.open()

    if url != "memory://":
        assert await handle.state() == "waiting"


async def test_waiting_for_a_result_ends_when_the_manager_closes(manager, task):
    handles = [await task.enqueue(n) for n in range(3)]
    waiting = [asyncio.create_task(handle.result()) for handle in handles]
    await until(lambda: manager._results._followers)
    await asyncio.sleep(0)

    await manager.shutdown()

    for error in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(error, StoreUnavailableError)
        assert "is closed; open the manager again" in str(error)


async def test_calls_in_flight_succeed_or_say_that_the_manager_is_closed(manager, task):
    handle = await task.enqueue(1)
    calls = [call for call in CALLS.values() for _ in range(20)]
    running = [asyncio.create_task(call(manager, handle)) for call in calls]
    await asyncio.sleep(0)

    await manager.shutdown()

    for answer in await asyncio.gather(*running, return_exceptions=True):
        assert not isinstance(answer, asyncio.CancelledError)
        if isinstance(answer, StoreUnavailableError):
            assert "is closed; open the manager again" in str(answer)


async def test_closing_while_the_first_calls_still_connect_cancels_none_of_them(url):
    manager = QueueManager(url, settings=Settings())
    running = [asyncio.create_task(manager.get_job("q", str(n))) for n in range(5)]
    await asyncio.sleep(0)

    await manager.shutdown()

    for answer in await asyncio.gather(*running, return_exceptions=True):
        assert answer is None or isinstance(answer, StoreUnavailableError)


def test_a_thread_that_waits_hears_that_the_manager_was_closed(url):
    manager = QueueManager(url, settings=Settings())
    manager.register_queue("q").task(jobs.double)
    handles = [manager.sync.add_job("q", "double", {"x": n}) for n in range(4)]
    started, heard = threading.Barrier(5), []

    def wait(handle):
        started.wait()
        try:
            heard.append(handle.result())
        except BaseException as error:  # noqa: BLE001 - whatever it is
            heard.append(error)

    threads = [threading.Thread(target=wait, args=(handle,)) for handle in handles]
    for thread in threads:
        thread.start()
    started.wait()
    manager.sync.close()
    for thread in threads:
        thread.join(20)

    assert [type(error) for error in heard] == [StoreUnavailableError] * 4
    assert all("closed" in str(error) for error in heard)
    with pytest.raises(StoreUnavailableError, match="open the manager again"):
        manager.sync.add_job("q")
    manager.sync.end_thread()


async def test_a_thread_that_waits_hears_it_when_an_event_loop_closes_the_manager(manager, task):
    handle = await asyncio.to_thread(manager.sync.enqueue, task, 1)
    waiting = asyncio.create_task(asyncio.to_thread(handle.result))
    await until(lambda: manager._results._followers)

    await manager.shutdown()

    with pytest.raises(StoreUnavailableError, match="closed"):
        await waiting
