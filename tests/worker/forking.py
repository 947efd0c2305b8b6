"""Programs that fork after they have used a manager.

python -m tests.worker.forking SCENARIO URL: prints, as JSON, what both processes found.
"""

import asyncio
import json
import logging
import os
import sys
import warnings

from toril import QueueManager, Settings

scenario, url = sys.argv[1:] if len(sys.argv) == 3 else ("", "memory://")
N = 20


class Heard(logging.Handler):
    """Counts the warnings of a fork."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def emit(self, record):
        self.count += "was forked" in record.getMessage()


heard = Heard()
manager = QueueManager(url, settings=Settings())
queue = manager.register_queue("q")


@queue.task
async def double(x: int) -> int:
    return 2 * x


def in_child(what):
    """Run a function in a forked child, and return what it returned and how often it was warned."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        try:
            found = what()
        except BaseException as error:  # noqa: BLE001 - the parent reports it
            found = f"{type(error).__name__}: {error}"
        os.write(write, json.dumps([found, heard.count]).encode())
        os._exit(0)
    os.close(write)

    def wait():
        with os.fdopen(read) as pipe:
            found = json.load(pipe)
        os.wait()
        return found

    return wait


async def add(n):
    return [(await double.enqueue(k)).id for k in range(n)]


async def add_and_close(n):
    async with manager:
        return await add(n)


def counts():
    with QueueManager(url, settings=Settings()).sync as fresh:
        return sum(fresh.queue("q").counts().values())


def sync():
    """Both sides go on with the facade without an event loop."""
    own = [manager.sync.enqueue(double, k).id for k in range(N)]
    handle = manager.sync.add_job("q")
    wait = in_child(
        lambda: [
            [manager.sync.enqueue(double, k).id for k in range(N)],
            "waiting" if url == "memory://" else handle.state(),
        ]
    )
    own += [manager.sync.enqueue(double, k).id for k in range(N)]
    return own, wait(), 1


def other_loop():
    """Both sides go on with an event loop of their own."""

    async def use():
        await manager.open()
        return await add(N)

    own = asyncio.run(use())
    wait = in_child(lambda: [asyncio.run(add_and_close(N)), "waiting"])
    own += asyncio.run(add(N))
    return own, wait(), 0


def within_a_loop():
    """The parent forks while its loop is running, as a handler may."""

    async def use():
        own = await add(N)
        wait = in_child(child_of_a_loop)
        own += await add(N)
        found = await asyncio.to_thread(wait)
        await manager.shutdown()
        return own, found, 0

    return asyncio.run(use())


def child_of_a_loop():
    asyncio.set_event_loop(None)
    asyncio.events._set_running_loop(None)
    return [asyncio.run(add_and_close(N)), "waiting"]


def parent_leaves():
    """The parent closes the store before the child uses it."""
    own = [manager.sync.enqueue(double, k).id for k in range(N)]
    read, write = os.pipe()

    def child():
        first = [manager.sync.enqueue(double, k).id for k in range(N)]
        os.close(write)
        os.read(read, 1)
        return [first + [manager.sync.enqueue(double, k).id for k in range(N)], "waiting"]

    wait = in_child(child)
    manager.sync.close()
    os.close(write)
    return own, wait(), 0


def beside_a_worker():
    """The parent's worker goes on; the child does not have it."""
    manager.sync.start_workers()
    first = manager.sync.enqueue(double, 1)
    first.result(20)

    def child():
        ids = [manager.sync.enqueue(double, k).id for k in range(N)]
        manager.sync.close()
        return [ids, "waiting"]

    wait = in_child(child)
    found = wait()
    if url == "memory://":
        done = [manager.sync.enqueue(double, 4).result(20)]
    else:
        done = [manager.sync.queue("q").handle(i).result(20) for i in found[0][0]]
    assert 8 in done or 38 in done
    return [first.id], found, 0


def prepared_worker():
    """A worker that was made before the fork runs on both sides, as two workers."""
    worker = manager.worker()

    def work():
        asyncio.run(worker.run(burst=True))
        return [[worker.id], "waiting"]

    wait = in_child(work)
    ids, _ = work()
    return ids, wait(), -2


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
    logging.getLogger("toril.engine").addHandler(heard)
    own, (theirs, warned), extra = globals()[scenario]()
    assert heard.count == 0
    manager.sync.close()
    ids, state = theirs if isinstance(theirs, list) else ([], theirs)
    stored = None if url == "memory://" else counts()
    print(
        json.dumps(
            {
                "child": state,
                "warned": warned,
                "ids": len({*own, *ids}),
                "expected": len(own) + len(ids),
                "missing": 0 if stored is None else len(own) + len(ids) + extra - stored,
            }
        )
    )
