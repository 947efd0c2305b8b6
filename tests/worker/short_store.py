"""A manager on a host that lacks something, in a process of its own.

python -m tests.worker.short_store files|threads URL: prints how calls end, then and later.
"""

import asyncio
import json
import sys
import time

from tests.worker.short_of import loosen, tighten
from toril import QueueManager, Settings
from toril.model.job import Lease, QueueRef

lack, url = sys.argv[1:]
LEASE = Lease(QueueRef("bull", "q"), "x", "w:1", "n", "null", "", 0, 0, 0, 1, 0, 0, None)

used = QueueManager(url, settings=Settings())
facade = QueueManager(url, settings=Settings())
fresh = QueueManager(url, settings=Settings())
keeper = used.engine.keeper()


async def use():
    """Add a job with the manager that is open, and with one that is not."""
    calls = {"add": used.add_job, "open and add": fresh.add_job}
    ended = {name: await end_of(call("q")) for name, call in calls.items()}
    ended["renew"] = await asyncio.get_running_loop().run_in_executor(None, renew)
    return ended


async def end_of(call):
    try:
        await asyncio.wait_for(call, 5)
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return type(error).__name__
    return "done"


def renew():
    try:
        keeper.extend([LEASE], 1_000)
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return type(error).__name__
    return "done"


def add_without_a_loop():
    try:
        facade.sync.add_job("q")
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return type(error).__name__
    return "done"


async def main():
    loop = asyncio.get_running_loop()
    await used.add_job("q")
    await asyncio.gather(*(loop.run_in_executor(None, time.sleep, 0.1) for _ in range(3)))
    told = {}
    for when, change in (("while short", lambda: tighten(lack)), ("later", loosen)):
        change()
        told[when] = await use()
        told[when]["sync"] = await loop.run_in_executor(None, add_without_a_loop)
    print(json.dumps(told))
    await asyncio.to_thread(keeper.close)
    for manager in (used, fresh, facade):
        await manager.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
