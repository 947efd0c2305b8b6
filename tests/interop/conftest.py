"""Toril and BullMQ on one real Redis server: the tests start it, and a Node process each."""

import asyncio
import sys
import tomllib
from pathlib import Path

import pytest

from tests.interop.agent import BULLMQ, Node
from tests.interop.handlers import Gate
from tests.redis_server import RedisServer
from toril import QueueManager, Settings, WorkerSettings

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]

collect_ignore = [] if BULLMQ else ["test_bullmq_5.py"]  # needs packages that interop-5 installs


def pytest_collection_modifyitems(items):
    """Let no test wait for long: a signal that does not come is a failure."""
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(60))
    if BULLMQ:
        expect_failures(items)


def expect_failures(items):
    """Mark the tests that cannot pass with an older BullMQ."""
    reasons = tomllib.loads((_HERE / "bullmq_5.toml").read_text())
    for item in items:
        of_file = reasons.get(item.path.name, {}) if item.path.parent == _HERE else {}
        reason = of_file.get(item.name) or of_file.get(item.name.partition("[")[0])
        if reason is not None:
            item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(redis_server):
    yield redis_server
    redis_server.flush()


@pytest.fixture
async def start_node(server):
    """Start Node processes; they have ended when the test has."""
    started = []

    async def start(**options):
        started.append(await Node.start(server.port, **options))
        return started[-1]

    yield start
    for node in started:
        await node.stop()


@pytest.fixture
async def node(start_node):
    return await start_node()


@pytest.fixture
def theirs(node):
    """The queue as BullMQ sees it."""
    return node.queue("q")


@pytest.fixture
async def manager(server):
    manager = QueueManager(server.url, settings=Settings())
    yield manager
    await manager.shutdown()


@pytest.fixture
async def ours(manager):
    """The queue as Toril sees it."""
    queue = manager.register_queue("q")
    await manager.open()
    return queue


@pytest.fixture
async def gate():
    """What keeps the jobs named `hold` of Toril's worker."""
    gate = Gate()
    yield gate
    gate.take_away()


@pytest.fixture
def work(manager, gate):
    """Start a Toril worker."""

    async def start(*names, **given):
        queues = names or ("q",)
        for name in queues:
            if not manager.queue(name).has_handlers:
                manager.register_processor(name, gate.process)
        settings = {"concurrency": 4, "grace": 2, "cancel_grace": 0.2, "report_every": 0, **given}
        return await manager.start_workers(queues=queues, settings=WorkerSettings(**settings))

    return start


@pytest.fixture
async def start_toril_worker(server):
    """Start Toril workers in processes of their own; they have ended when the test has."""
    started = []

    async def start(queue, *, lease):
        arguments = ("-m", "tests.interop.toril_worker", server.url, queue, str(lease))
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=_ROOT, stdin=asyncio.subprocess.PIPE
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def parents(node):
    """The parents' queue as BullMQ sees it."""
    return node.queue("parents")


@pytest.fixture
def our_parents(manager):
    return manager.queue("parents")
