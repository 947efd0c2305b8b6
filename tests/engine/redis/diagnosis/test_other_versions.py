"""The doctor and workers name the queues that another major version of BullMQ uses too."""

from __future__ import annotations

import pytest

from tests.redis_server import RedisServer
from toril import JobContext, QueueManager, Settings


async def process(job: JobContext) -> None: ...


async def findings(server: RedisServer, versions: dict[str, str]) -> list[str]:
    """Return what is found if BullMQ has written these versions to queues."""
    manager = QueueManager(server.url, settings=Settings())
    for queue, version in versions.items():
        manager.register_queue(queue)
        if version:
            server.ask("HSET", f"bull:{queue}:meta", "version", version)
    async with manager:
        found = [one for one in await manager.examine() if one.check == "bullmq"]
    assert all(one.level == "warning" for one in found)
    return [one.message for one in found]


async def test_queues_that_bullmq_5_uses_are_named_with_what_to_do(server: RedisServer) -> None:
    versions = {"mails": "bullmq:5.81.3", "pdfs": "bullmq-pro:5.22.0", "ours": "", "six": ""}

    (message,) = await findings(server, versions | {"six": "bullmq:6.7.0"})

    assert message.startswith("BullMQ 5 uses mails, pdfs too: ")
    assert "upgrade all services of these queues to BullMQ 6" in message


async def test_a_newer_major_version_is_named(server: RedisServer) -> None:
    (message,) = await findings(server, {"mails": "bullmq:7.0.0"})

    assert message.startswith("BullMQ 7 uses mails too: ")


async def test_of_many_queues_a_few_are_named(server: RedisServer) -> None:
    (message,) = await findings(server, {f"q{n}": "bullmq:5.30.0" for n in range(9)})

    assert message.startswith("BullMQ 5 uses q0, q1, q2, q3, q4 and 4 more")


@pytest.mark.parametrize("version", ["", "bullmq:6.0.1", "6", "bullmq:", "?"])
async def test_nothing_is_said_of_other_queues(server: RedisServer, version: str) -> None:
    assert await findings(server, {"mails": version}) == []


@pytest.mark.parametrize("production", [False, True])
async def test_a_worker_warns_of_a_queue_that_bullmq_5_uses(
    server: RedisServer, caplog: pytest.LogCaptureFixture, *, production: bool
) -> None:
    server.ask("HSET", "bull:q:meta", "version", "bullmq:5.81.3")
    settings = Settings(production=production, allow_volatile=True)
    manager = QueueManager(server.url, settings=settings)
    manager.register_processor("q", process)

    await manager.run_workers(burst=True)
    await manager.shutdown()

    assert caplog.text.count("BullMQ 5 uses q too") == 1
