"""Toril and BullMQ on one cluster, where a hash tag ties a queue's keys together."""

import asyncio

import pytest

from tests.interop.agent import Node
from tests.redis_groups import Cluster
from toril import QueueManager, Settings, WorkerSettings

PREFIX = "{bull}"
PATIENCE = 15


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def node(cluster):
    made = await Node.start(*(node.port for node in cluster.nodes), prefix=PREFIX)
    yield made
    await made.stop()


async def test_each_side_works_on_what_the_other_adds_to_a_cluster(cluster, node):
    manager = QueueManager(cluster.url, prefix=PREFIX, settings=Settings())

    async def double(job):
        return job.data["n"] * 2

    manager.register_processor("for-toril", double)
    async with manager:
        await node.queue("for-node").work()
        handles = await manager.add_bulk(
            "for-node", [{"name": "echo", "data": {"n": n}} for n in range(50)]
        )
        assert [await handle.result(PATIENCE) for handle in handles] == [
            {"n": n} for n in range(50)
        ]

        await manager.start_workers(settings=WorkerSettings(report_every=0))
        theirs = node.queue("for-toril")
        ids = [await theirs.add("double", {"n": n}) for n in range(10)]
        results = await asyncio.gather(*(theirs.finished(job_id) for job_id in ids))
        assert results == [n * 2 for n in range(10)]
