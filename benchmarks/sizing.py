"""What jobs take of Redis's memory and of a file, and what processes take of its connections.

python -m benchmarks.sizing: a server of its own, a minute, a table for each question.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apsw
from redis import Redis

from benchmarks.redis_server import HOST, redis_server
from toril import JobContext, QueueManager, Settings, WorkerSettings

JOBS = 20_000
A_CALL = 1_000
KEPT_EVENTS = 10_000
PAYLOADS = (10, 100, 300, 1_000, 10_000)  # bytes of JSON
LARGER = 1024  # of the longest field of a hash that Redis keeps packed, in bytes; it is 64
EVENTS = "bull:q:events"
BROKEN = "broken"


async def process(job: JobContext) -> Any:
    if job.name == BROKEN:
        raise ValueError("the mail server does not answer")
    return None


async def add(manager: QueueManager, *, name: str = "send", size: int = 10, **options: Any) -> None:
    data = {"n": "x" * (size - len('{"n":""}'))}
    one = {"name": name, "data": data, "options": options}
    for _ in range(0, JOBS, A_CALL):
        await manager.add_bulk("q", [one] * A_CALL)


async def work(manager: QueueManager) -> None:
    logging.getLogger("toril").setLevel(logging.CRITICAL)  # of failures that are meant
    settings = WorkerSettings(concurrency=100, report_every=0)
    await manager.run_workers(burst=True, settings=settings)


def make_manager(url: str) -> QueueManager:
    manager = QueueManager(url, settings=Settings())
    manager.register_processor("q", process)
    return manager


CASES: Mapping[str, dict[str, Any]] = {
    **{f"waiting, payload of {size:,} bytes": {"size": size} for size in PAYLOADS},
    "with a priority": {"priority": 3},
    "delayed": {"delay": "1h"},
    "with a tag": {"tags": ["customer-7"]},
    "with attempts and backoff": {"attempts": 5, "backoff": "5s"},
}

ENDED: Mapping[str, dict[str, Any]] = {
    "completed": {},
    "completed, payload of 300 bytes": {"size": 300},
    "failed": {"name": BROKEN},
    "failed, payload of 300 bytes": {"name": BROKEN, "size": 300},
}


async def measure_redis(client: "Redis[Any]", url: str) -> dict[str, float]:
    """Return bytes of Redis's memory by the job."""
    found: dict[str, float] = {}
    for case, given in CASES.items():
        async with make_manager(url) as manager:
            await fill_events(client, manager)
            before = used_memory(client)
            await add(manager, **given)
            found[case] = (used_memory(client) - before) / JOBS
    for case, given in ENDED.items():
        async with make_manager(url) as manager:
            await fill_events(client, manager)
            before = used_memory(client)
            await add(manager, **given)
            await work(manager)
            found[case] = (used_memory(client) - before) / JOBS
            events = client.memory_usage(EVENTS, samples=0)
            found[f"an event, after jobs that are {case}"] = events / client.xlen(EVENTS)
    return found


async def fill_events(client: "Redis[Any]", manager: QueueManager) -> None:
    """Begin with a queue whose stream of events is full, and which has no job."""
    client.flushall()
    await manager.add_bulk("q", [{}] * KEPT_EVENTS)
    await manager.queue("q").drain()


def used_memory(client: "Redis[Any]") -> int:
    memory: int = client.info("memory")["used_memory"]
    return memory


async def measure_file(folder: Path) -> dict[str, float]:
    """Return bytes of a file by the job."""
    found: dict[str, float] = {}
    for place, (case, given) in enumerate(CASES.items()):
        file = folder / f"{place}.db"
        async with make_manager(f"sqlite:///{file}") as manager:
            await add(manager, **given)
        found[case] = pages(file) / JOBS
    for case, given in ENDED.items():
        file = folder / f"{case}.db"
        async with make_manager(f"sqlite:///{file}") as manager:
            await add(manager, **given)
            await work(manager)
        found[case] = pages(file) / JOBS
    return found


def pages(file: Path) -> int:
    connection = apsw.Connection(str(file))
    (count,) = next(connection.execute("PRAGMA page_count"))
    (size,) = next(connection.execute("PRAGMA page_size"))
    connection.close()
    return int(count) * int(size)


async def count_connections(client: "Redis[Any]", url: str) -> dict[str, Counter[str]]:
    """Return the connections that a process holds, by their names."""
    found: dict[str, Counter[str]] = {}
    client.flushall()
    async with make_manager(url) as manager:
        await manager.add_job("q")
        found["producer after one add"] = named(client)
        await asyncio.gather(*(manager.add_job("q") for _ in range(1000)))
        found["producer, a thousand adds at once"] = named(client)
        later = await manager.add_job("q", delay="1h")
        waiting = [asyncio.create_task(later.result()) for _ in range(100)]
        await asyncio.sleep(0.5)
        found["producer, a hundred await results"] = named(client)
        for task in waiting:
            task.cancel()
    for concurrency in (10, 100):
        async with make_manager(url) as manager:
            await manager.start_workers(concurrency)
            await asyncio.sleep(1)
            found[f"worker, idle, concurrency {concurrency}"] = named(client)
            await add(manager)
            found[f"worker, busy, concurrency {concurrency}"] = named(client)
    async with make_manager(url) as manager:
        for name in "abcde":
            manager.register_processor(name, process)
        await manager.start_workers(10)
        await asyncio.sleep(1)
        found["worker, idle, six queues"] = named(client)
    return found


def named(client: "Redis[Any]") -> Counter[str]:
    own = client.client_id()
    return Counter(c["name"] for c in client.client_list() if int(c["id"]) != own)


def show(title: str, rows: Mapping[str, object]) -> None:
    print(f"\n{title}")
    for case, value in rows.items():
        print(f"  {case:<45} {f'{value:,.0f}' if isinstance(value, float) else value}")


async def main() -> None:
    with redis_server() as port, Redis(host=HOST, port=port, decode_responses=True) as client:
        url = f"redis://{HOST}:{port}/0"
        show("Bytes of Redis's memory", await measure_redis(client, url))
        client.config_set("hash-max-listpack-value", LARGER)
        show(f"With hash-max-listpack-value {LARGER}", await measure_redis(client, url))
        connections = await count_connections(client, url)
        show("Connections", {case: dict(names) for case, names in connections.items()})
    with TemporaryDirectory(prefix="toril-sizing-") as folder:
        show("Bytes of the file", await measure_file(Path(folder)))


if __name__ == "__main__":
    asyncio.run(main())
