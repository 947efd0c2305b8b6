"""A cluster: each queue on the node of its slot, wherever that goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conformance.support import PROMPT, QUEUE, job
from tests.redis_groups import Cluster
from tests.redis_server import RedisServer, free_port
from tests.worker.waiting import until
from toril import JobContext, QueueManager, Settings, WorkerSettings
from toril.application.stores import open_engine
from toril.engine.contract.engine import Engine
from toril.engine.contract.hot_path import Fetch
from toril.engine.redis.connection.slots import hash_tag, slot_of, slot_of_queue
from toril.engine.redis.scripts.keys import QUEUES
from toril.errors import ConfigurationError, EngineError, StoreUnavailableError
from toril.model.job import QueueRef
from toril.model.options import Keep
from toril.model.settlement import Complete
from toril.queues.results import Results

PREFIX = "{shop}"
SLOT = slot_of(PREFIX)


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"), options=["--appendonly", "yes"])
    made.start()
    yield made
    made.stop()


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The shared cluster, empty and whole."""
    yield shared_cluster
    for node in shared_cluster.nodes:
        node.flush()


@pytest.fixture
async def engine(cluster: Cluster) -> AsyncIterator[Engine]:
    made = open_engine(cluster.url)
    yield made
    await made.close()


class Work:
    """A manager with a worker, and what its jobs did.

    Attributes:
        ran: How often each job ran, by its number.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.ran: Counter[int] = Counter()
        self.manager = QueueManager(cluster.url, prefix=PREFIX, settings=Settings())
        self.manager.register_processor("q", self._process)

    async def _process(self, job: JobContext) -> int:
        await asyncio.sleep(0.005)
        self.ran[job.data] += 1
        return int(job.data)

    async def start(self) -> None:
        settings = WorkerSettings(concurrency=5, lease=30, report_every=0)
        await self.manager.start_workers(settings=settings)

    async def all_ran_once(self, n: int) -> None:
        """Wait until all have run, and see that it was once each."""
        await until(lambda: len(self.ran) == n)
        queue = self.manager.queue("q")

        async def ended() -> bool:
            return (await queue.counts())["completed"] == n

        await until(ended)
        assert sum((await queue.counts()).values()) == n
        assert max(self.ran.values()) == 1


@pytest.fixture
async def work(cluster: Cluster) -> AsyncIterator[Work]:
    made = Work(cluster)
    yield made
    await made.manager.shutdown()


class Move:
    """A slot on its way from its node to another, key by key."""

    def __init__(self, cluster: Cluster, slot: int) -> None:
        self._slot = slot
        self._nodes = cluster.nodes
        self.source = cluster.owner(slot)
        self.target = next(node for node in cluster.nodes if node is not self.source)
        self._source_id, self._target_id = (
            n.ask("CLUSTER", "MYID") for n in (self.source, self.target)
        )

    def begin(self) -> None:
        self.target.ask("CLUSTER", "SETSLOT", self._slot, "IMPORTING", self._source_id)
        self.source.ask("CLUSTER", "SETSLOT", self._slot, "MIGRATING", self._target_id)

    def move_keys(self, most: int) -> int:
        """Move some keys, and return how many those were."""
        keys = self.source.ask("CLUSTER", "GETKEYSINSLOT", self._slot, most).split()
        if keys:
            there = ("127.0.0.1", self.target.port)
            moved = self.source.ask("MIGRATE", *there, "", 0, 5000, "KEYS", *keys)
            assert moved == "OK"
        return len(keys)

    def end(self) -> None:
        for node in (self.target, self.source, *self._nodes):
            node.ask("CLUSTER", "SETSLOT", self._slot, "NODE", self._target_id)


async def test_a_slot_moves_while_a_worker_takes_jobs_out_of_it(
    cluster: Cluster, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    await work.manager.add_bulk("q", [{"data": n} for n in range(300)])
    await work.start()
    await until(lambda: len(work.ran) > 50)
    move = Move(cluster, SLOT)
    move.begin()
    for _ in iter(lambda: move.move_keys(20), 0):
        await asyncio.sleep(0.01)  # the worker goes on to ask meanwhile
    move.end()
    await work.all_ran_once(300)
    handle = await work.manager.add_job("q", data=300)
    assert await handle.result(timeout=10) == 300
    assert f"hash slot {SLOT} has moved to 127.0.0.1:{move.target.port}" in caplog.text
    assert "the cluster is moving these keys" in caplog.text


async def test_no_script_runs_on_a_queue_of_which_a_part_has_moved(
    cluster: Cluster, engine: Engine
) -> None:
    await engine.add(QUEUE, [job(f"j{n}") for n in range(50)])
    move = Move(cluster, slot_of_queue(QUEUE))
    move.begin()
    for most in (10, 1000):  # a part of it, and all
        move.move_keys(most)
        with pytest.raises(StoreUnavailableError, match="is moving these keys"):
            await engine.add(QUEUE, [job("late")])
        with pytest.raises(StoreUnavailableError, match="is moving these keys"):
            await engine.queues.counts(QUEUE)
    move.end()
    await engine.add(QUEUE, [job("late")])
    assert sum((await engine.queues.counts(QUEUE)).values()) == 51


async def test_the_set_of_queues_is_found_while_it_moves(cluster: Cluster, engine: Engine) -> None:
    await engine.queues.register(QUEUE)
    move = Move(cluster, slot_of(QUEUES))
    move.begin()
    move.move_keys(10)
    assert [info.ref for info in await engine.queues.all()] == [QUEUE]  # the target is asked
    await engine.queues.register(QueueRef(PREFIX, "new"))
    move.end()
    assert len(await engine.queues.all()) == 2


async def test_who_waits_for_work_waits_where_the_queue_has_gone(
    cluster: Cluster, work: Work
) -> None:
    await work.start()
    first = await work.manager.add_job("q", data=0)
    assert await first.result(timeout=10) == 0
    move = Move(cluster, SLOT)
    await until(lambda: "cmd=bzpopmin" in move.source.ask("CLIENT", "LIST"))
    move.begin()
    move.move_keys(1000)
    move.end()
    await until(lambda: "cmd=bzpopmin" in move.target.ask("CLIENT", "LIST"))
    second = await work.manager.add_job("q", data=1)
    async with asyncio.timeout(4):  # a marker that nobody waits for costs five
        assert await second.result() == 1


async def test_a_worker_goes_on_when_the_node_of_its_queue_was_killed_and_comes_back(
    cluster: Cluster, work: Work
) -> None:
    await work.manager.add_bulk("q", [{"data": n} for n in range(300)])
    await work.start()
    await until(lambda: len(work.ran) > 50)
    node = cluster.owner(SLOT)
    node.kill()
    node.start()
    cluster.wait_until_whole()
    await until(lambda: len(work.ran) == 300)
    handle = await work.manager.add_job("q", data=300)
    assert await handle.result(timeout=10) == 300
    assert (await work.manager.queue("q").counts())["completed"] == 301


async def test_queues_of_other_nodes_live_on_while_one_is_away(
    cluster: Cluster, engine: Engine
) -> None:
    there = cluster.owner(slot_of_queue(QUEUE))
    other = next(
        QueueRef(f"{{{n}}}", "q")
        for n in range(100)
        if cluster.owner(slot_of(f"{{{n}}}")) is not there
    )
    for node in cluster.nodes:
        node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    await engine.add(other, [job("a")])
    await engine.add(QUEUE, [job("a")])
    there.kill()
    try:
        with pytest.raises(EngineError):
            await engine.queues.counts(QUEUE)
        assert sum((await engine.queues.counts(other)).values()) == 1
    finally:
        there.start()
        cluster.wait_until_whole()
    assert sum((await engine.queues.counts(QUEUE)).values()) == 1


async def test_results_in_queues_of_many_slots_come_to_those_who_wait(
    cluster: Cluster, engine: Engine
) -> None:
    elsewhere = open_engine(cluster.url)
    queues = [QueueRef(f"{{{n}}}", "q") for n in range(12)]
    assert len({cluster.owner(slot_of_queue(queue)).port for queue in queues}) > 1
    results = Results(lambda: engine)
    waiting = []
    for queue in queues:
        await elsewhere.add(queue, [job("a")])
        waiting.append(asyncio.create_task(results.of(queue, "a")))
    await until(lambda: len(next(iter(results._followers.values()))._cursors) == len(queues))
    for queue in queues:
        (lease,) = (await elsewhere.exchange(queue, [], Fetch(1, "worker", 30_000))).leases
        # It leaves no record: its event has to tell.
        await elsewhere.exchange(queue, [Complete(lease, '"done"', Keep(count=0))], None)
    async with asyncio.timeout(PROMPT):
        found = await asyncio.gather(*waiting)
    assert [ending.result_json for ending in found if ending] == ['"done"'] * len(queues)
    await elsewhere.close()


async def test_a_job_in_a_queue_of_any_slot_wakes_its_waiter(
    cluster: Cluster, engine: Engine
) -> None:
    elsewhere = open_engine(cluster.url)
    # Several queues of each slot, so that they share what waits for them.
    queues = [QueueRef(f"{{{slot}}}", f"q{n:02}") for slot in range(2) for n in range(20)]
    waiting = {}
    for queue in queues:
        answer = await engine.exchange(queue, [], Fetch(1, "worker", 30_000))
        waiting[queue] = asyncio.create_task(engine.wait(queue, None, answer.token))
    await asyncio.sleep(0.1)
    for queue in (queues[0], queues[19], queues[20], queues[39]):
        await elsewhere.add(queue, [job("a")])
        async with asyncio.timeout(PROMPT):
            await waiting[queue]
    assert sum(not task.done() for task in waiting.values()) == len(queues) - 4
    for task in waiting.values():
        task.cancel()
    await asyncio.gather(*waiting.values(), return_exceptions=True)
    await elsewhere.close()


async def test_any_node_tells_of_the_others(cluster: Cluster) -> None:
    url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{cluster.nodes[2].port}"
    engine = open_engine(url)
    for n in range(20):
        await engine.queues.register(QueueRef(f"{{{n}}}", "q"))
    assert len(await engine.queues.all()) == 20
    await engine.close()


async def test_the_doctor_looks_at_every_master(cluster: Cluster, engine: Engine) -> None:
    findings = [finding for finding in await engine.examine() if finding.check == "role"]
    told = {finding.message for finding in findings}
    assert told == {
        f"redis://127.0.0.1:{node.port}/0: this is the primary" for node in cluster.nodes
    }


async def test_a_queue_whose_prefix_has_no_hash_tag_is_refused(cluster: Cluster) -> None:
    manager = QueueManager(cluster.url, settings=Settings())
    manager.register_queue("q")
    with pytest.raises(ConfigurationError, match=r"'bull' has none: name it \{bull\}"):
        await manager.open()
    await manager.shutdown()


async def test_a_server_that_is_no_node_of_a_cluster_says_so(server: RedisServer) -> None:
    engine = open_engine(f"redis+cluster://127.0.0.1:{server.port}")
    with pytest.raises(StoreUnavailableError, match="cluster support disabled"):
        await engine.open()
    await engine.close()


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        ("bull:q:wait", ""),
        ("{bull}:q:wait", "bull"),
        ("a{b}c:{d}", "b"),
        ("{}bull:{q}", ""),
        ("{bull:q", ""),
        ("{{a}}:q", "{a"),
    ],
)
def test_a_hash_tag_is_what_redis_takes_for_one(cluster: Cluster, key: str, tag: str) -> None:
    assert hash_tag(key) == tag
    assert slot_of(key) == int(cluster.nodes[0].ask("CLUSTER", "KEYSLOT", key))


@pytest.mark.parametrize("prefix", ["{bull}", "shop-{a}", "bull"])
def test_all_keys_of_a_queue_are_in_its_slot(prefix: str) -> None:
    from toril.engine.redis.scripts.keys import keys_of  # noqa: PLC0415

    queue = QueueRef(prefix, "{q}")
    keys = keys_of(queue)
    names = {*keys.in_cluster, keys.logs("a"), keys.tag("{t}")}
    assert {slot_of(key) for key in names} == {slot_of_queue(queue)}
