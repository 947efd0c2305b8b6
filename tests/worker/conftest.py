"""Producer and worker together, on the real embedded engine: in memory and in a file."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from toril import JobStarted, QueueManager, Settings, WorkerSettings

_HERE = Path(__file__).parent
_FAST = {
    "concurrency": 4,
    "processes": 2,
    "lease": 2,
    "grace": 5,
    "cancel_grace": 0.2,
    "report_every": 0,
}


def pytest_collection_modifyitems(items):
    """Let no test wait for long: a signal that does not come is a failure."""
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(30))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """Start a server when the first test wants it."""
    started = []

    def server():
        if not started:
            started.append(RedisServer(tmp_path_factory.mktemp("redis")))
            started[0].start()
        return started[0]

    yield server
    for made in started:
        made.stop()


@pytest.fixture(params=["memory", "file", "redis"])
def url(request, tmp_path, redis_server):
    match request.param:
        case "memory":
            yield "memory://"
        case "file":
            yield f"sqlite:///{tmp_path}/toril.db"
        case "redis":
            server = redis_server()
            yield server.url
            server.flush()


@pytest.fixture
def file_url(tmp_path):
    return f"sqlite:///{tmp_path}/toril.db"


@pytest.fixture
async def manager(url):
    manager = QueueManager(url, settings=Settings())
    yield manager
    await manager.shutdown()


@pytest.fixture
async def another(file_url):
    """Make managers of their own on one file, as other processes would have them."""
    made = []

    def make():
        made.append(QueueManager(file_url, settings=Settings()))
        return made[-1]

    yield make
    for manager in reversed(made):
        await manager.shutdown()


@pytest.fixture
def queue(manager):
    return manager.register_queue("q")


@pytest.fixture
def settings():
    """Make a worker's settings: quick ones, but for those that a test is about."""
    return lambda **given: WorkerSettings(**{**_FAST, **given})


@pytest.fixture
def work(manager, settings):
    """Start a worker that serves the manager's queues."""

    async def start(*, queues=None, **given):
        return await manager.start_workers(queues=queues, settings=settings(**given))

    return start


@pytest.fixture
def started(manager):
    """Wait for the next jobs to start; returns their leases."""
    leases, changed = [], asyncio.Event()

    def hear(event):
        leases.append(event.lease)
        changed.set()

    manager.on(JobStarted, hear)

    async def wait(n=1):
        while len(leases) < n:
            changed.clear()
            await changed.wait()
        return leases[:n]

    return wait


@pytest.fixture
def release():
    """A gate for handlers in threads, which is open at the end whatever happens."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    """Every test closes what it opened: Toril leaves no thread behind."""
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + 5
    while left := [t for t in set(threading.enumerate()) - before if t.name.startswith("toril")]:
        assert time.monotonic() < until, f"still running: {left}"
        time.sleep(0.01)
