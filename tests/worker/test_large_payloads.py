"""Large payloads: kept in a store of their own, and handlers see no difference."""

import asyncio
import os
from pathlib import Path

import fsspec
import pytest

from tests.worker import jobs
from tests.worker.kinds import KINDS, as_task
from tests.worker.waiting import failure_of
from toril import (
    ConfigurationError,
    Deduplication,
    JobRetrying,
    PayloadLostError,
    QueueManager,
    Settings,
    StoreFullError,
    StoreUnavailableError,
    ValidationError,
)
from toril.model.job import NewJob
from toril.model.job_options import JobOptions

THRESHOLD = 1024
LARGE = "🐂é\n" * 1000


@pytest.fixture
def payloads(tmp_path):
    return tmp_path / "payloads"


@pytest.fixture
async def manager(url, payloads):
    manager = QueueManager(
        url, settings=Settings(), payload_store=payloads, payload_threshold=THRESHOLD
    )
    yield manager
    await manager.shutdown()


@pytest.fixture
async def without(manager):
    """Another manager of the same jobs that was given no store of payloads."""
    return QueueManager(settings=Settings(), engine=manager.engine)


def hashes_in(payloads):
    """What is kept, whatever the day: one may end while a test runs."""
    return {file.name for file in payloads.rglob("*") if file.is_file()}


def echo(job):
    return job.data


def only_file(payloads):
    (file,) = (file for file in payloads.rglob("*") if file.is_file())
    return file


# What handlers see


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_gets_a_payload_that_is_larger_than_any_job_may_be(
    queue, work, payloads, kind
):
    measure = as_task(queue, jobs.measure, kind)
    text = LARGE * 400
    handle = await measure.enqueue(text)
    await work()

    assert await handle.result(20) == [len(text), True]
    stored = (await handle.job()).data_json
    assert len(stored) < 200
    assert stored.startswith('{"$payload":{"day":')
    assert len(hashes_in(payloads)) == 1


async def test_a_processor_and_middleware_get_it_too(manager, queue, work):
    seen = []

    @manager.add_middleware
    async def look(job, call_next):
        seen.append(job.data)
        return await call_next()

    queue.processor(echo)
    handle = await queue.add("any", {"text": LARGE})
    await work()

    assert await handle.result(10) == {"text": LARGE}
    assert seen == [{"text": LARGE}]


async def test_an_attempt_after_a_failed_one_gets_it_again(queue, work):
    @queue.task(attempts=2)
    async def second(text: str) -> int:
        lengths.append(len(text))
        if len(lengths) == 1:
            raise ValueError("not yet")
        return len(text)

    lengths = []
    handle = await second.enqueue(LARGE)
    await work()

    assert await handle.result(10) == len(LARGE)
    assert lengths == [len(LARGE)] * 2


async def test_fsspec_keeps_payloads_as_a_folder_does(url, settings):
    manager = QueueManager(
        url, settings=Settings(), payload_store="memory://jobs", payload_threshold=THRESHOLD
    )
    try:
        manager.register_processor("q", echo)
        handle = await manager.add_job("q", data=LARGE)
        await manager.start_workers(settings=settings())

        assert await handle.result(10) == LARGE
        assert len(fsspec.filesystem("memory").find("/jobs")) == 1
    finally:
        await manager.shutdown()
        fsspec.filesystem("memory").store.clear()


# What goes to the store


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("x" * (THRESHOLD - 2), 0),  # and two quotes
        ("x" * (THRESHOLD - 1), 1),
        ("é" * (THRESHOLD // 2 - 1), 0),
        ("é" * (THRESHOLD // 2 - 1) + "x", 1),
        ("🐂" * (THRESHOLD // 4 - 1) + "xx", 0),
        ("🐂" * (THRESHOLD // 4 - 1) + "xxx", 1),
    ],
    ids=lambda value: str(value)[:1],
)
async def test_a_payload_over_the_threshold_goes_to_the_store_and_no_other(
    queue, payloads, text, stored
):
    handle = await queue.add(data=text)

    assert len(hashes_in(payloads)) == stored
    assert ((await handle.job()).data == text) is not stored
    assert (await handle.job()).data_json.startswith('{"$payload":') is bool(stored)


async def test_a_payload_that_the_queue_would_refuse_goes_to_the_store(manager, payloads):
    manager.register_queue("small", max_data_bytes=200)
    await manager.add_job("small", data="x" * 200)

    assert len(hashes_in(payloads)) == 1


async def test_a_payload_that_is_too_large_for_the_store_is_refused(url, payloads):
    manager = QueueManager(
        url, settings=Settings(), payload_store=payloads, payload_max_bytes=2 << 20
    )
    try:
        await manager.add_job("q", data="x" * (2 << 20 - 1))
        with pytest.raises(ValidationError, match="more than the 2,097,152 allowed"):
            await manager.add_job("q", data="x" * (2 << 20))
    finally:
        await manager.shutdown()


async def test_many_jobs_of_one_call_keep_their_order_and_equal_payloads_are_one(
    manager, queue, work, payloads
):
    queue.processor(echo)
    data = [f"{n}" if n % 2 else f"{n % 10}{LARGE}" for n in range(40)]
    handles = await queue.add_bulk([{"data": text} for text in data])
    await work()

    assert [await handle.result(10) for handle in handles] == data
    assert len(hashes_in(payloads)) == 5


async def test_adding_the_same_again_makes_no_second_payload(queue, work, payloads):
    queue.processor(echo)
    first = await queue.add(data=LARGE, job_id="order-5")
    again = await queue.add(data=LARGE, job_id="order-5")
    other = await queue.add(data=LARGE)
    await work()

    assert (first.created, again.created, other.created) == (True, False, True)
    assert [await handle.result(10) for handle in (again, other)] == [LARGE] * 2
    assert len(hashes_in(payloads)) == 1


async def test_deduplication_by_content_looks_at_the_payload(manager, without, queue):
    rule = {"deduplication": Deduplication.simple()}
    first = await queue.add("n", {"a": LARGE, "b": 1}, **rule)
    again = await queue.add("n", {"b": 1, "a": LARGE}, **rule)
    other = await queue.add("n", {"a": LARGE, "b": 2}, **rule)
    whole = await without.add_job("q", "n", {"a": LARGE, "b": 1}, **rule)

    assert (again.deduplicated, again.id) == (True, first.id)
    assert not other.deduplicated
    assert (whole.deduplicated, whole.id) == (True, first.id)


async def test_a_payload_that_is_changed_to_a_large_one_goes_to_the_store(queue, work, payloads):
    queue.processor(echo)
    handle = await queue.add(data="small")
    await handle.change_data(LARGE)
    await work()

    assert await handle.result(10) == LARGE
    assert len(hashes_in(payloads)) == 1


@pytest.mark.parametrize("data", [{"$payload": 1}, {"$payload": {"bytes": 1}, "more": 2}], ids=str)
async def test_data_of_a_callers_own_that_look_like_a_claim_are_refused(manager, without, data):
    for one in (manager, without):
        with pytest.raises(ValidationError) as caught:
            await one.add_job("q", data=data)
        assert caught.value.field == "data.$payload"


# What cannot be kept


async def test_a_store_that_cannot_be_written_adds_no_job(queue, payloads):
    payloads.write_text("a file in the place of the folder")

    with pytest.raises(StoreUnavailableError, match="payload store"):
        await queue.add(data=LARGE)
    with pytest.raises(StoreUnavailableError, match="payload store"):
        await queue.add_bulk([{"data": "small"}, {"data": LARGE}, {"data": LARGE + "x"}])
    handle = await queue.add(data="small")

    assert [job.id for job in (await queue.jobs()).jobs] == [handle.id]


async def test_a_full_disk_adds_no_job(queue, monkeypatch):
    handle = await queue.add(data="small")
    monkeypatch.setattr(queue.payloads, "_blobs", FullDisk())

    with pytest.raises(StoreFullError, match="is full"):
        await queue.add_bulk([{"data": f"{n}{LARGE}"} for n in range(20)])

    assert [job.id for job in (await queue.jobs()).jobs] == [handle.id]


class FullDisk:
    """What a disk says when nothing goes onto it."""

    def write(self, path, content):
        Path("/dev/full").write_bytes(content)


# What cannot be read


@pytest.mark.parametrize("damage", ["removed", "damaged"])
async def test_a_payload_that_is_lost_fails_its_job_for_good(queue, work, payloads, damage):
    queue.processor(echo)
    handle = await queue.add(data=LARGE, attempts=3)
    await queue.add(data=LARGE + "other")
    claim = (await handle.job()).data["$payload"]
    file = payloads / claim["day"] / claim["sha256"][:2] / claim["sha256"]
    file.unlink() if damage == "removed" else file.write_text("x")
    await work()

    error = await failure_of(handle)

    assert error.error_type == "PayloadLost"
    assert claim["sha256"] in error.reason
    assert payloads.as_uri() in error.reason
    assert (await handle.job()).attempts_made == 1


async def test_a_store_that_is_away_costs_attempts_until_it_is_back(manager, queue, work, payloads):
    retrying = asyncio.Event()
    manager.on(JobRetrying, lambda _: retrying.set())
    queue.processor(echo)
    handle = await queue.add(data=LARGE, attempts=50, backoff=0.05)
    payloads.rename(payloads.with_name("away"))
    await work()
    await retrying.wait()
    payloads.with_name("away").rename(payloads)

    assert await handle.result(10) == LARGE
    first = (await handle.job()).errors[0]
    assert first.type == "StoreUnavailableError"
    assert "is its disk mounted" in first.message


async def test_a_worker_without_the_store_says_which_setting_it_lacks(
    manager, without, settings, queue
):
    handle = await queue.add(data=LARGE, attempts=2)
    without.register_processor("q", echo)
    await without.start_workers(settings=settings())
    try:
        error = await failure_of(handle)

        assert error.error_type == "ConfigurationError"
        assert "TORIL_PAYLOAD_STORE" in error.reason
        assert (await handle.job()).attempts_made == 2
    finally:
        await without.shutdown()


@pytest.mark.parametrize(
    "claim",
    [
        '{"day":"2026-03-01","sha256":"../../secret","bytes":6}',
        '{"day":"..","sha256":"' + "0a" * 32 + '","bytes":6}',
        '{"path":"/etc/passwd"}',
    ],
    ids=["hash", "day", "path"],
)
async def test_a_job_from_elsewhere_cannot_read_other_files(queue, work, tmp_path, claim):
    (tmp_path / "secret").write_text('"hush"')
    ran = []
    queue.processor(ran.append)
    job = NewJob("evil", "n", f'{{"$payload":{claim}}}', JobOptions(), "{}")
    (handle,) = await queue.add_jobs([job])
    await work()

    assert (await failure_of(handle)).error_type == "PayloadLost"
    assert ran == []


async def test_a_payload_that_does_not_come_in_time_is_a_timeout(queue, work, payloads):
    queue.processor(echo)
    handle = await queue.add(data=LARGE, timeout=0.1)
    file = only_file(payloads)
    file.unlink()
    os.mkfifo(file)  # whoever opens it waits for one who writes
    await work()
    try:
        assert (await failure_of(handle)).error_type == "Timeout"
    finally:
        os.close(os.open(file, os.O_WRONLY))


# Looking


async def test_a_payload_can_be_loaded_for_a_job_that_one_looks_at(manager, without, queue):
    large, small = await queue.add_bulk([{"data": LARGE}, {"data": "small"}])

    assert (await large.job()).data.keys() == {"$payload"}
    assert await manager.load_payload(await large.job()) == LARGE
    assert await manager.load_payload(await small.job()) == "small"
    with pytest.raises(ConfigurationError, match="payload_store"):
        await without.load_payload(await large.job())


async def test_old_payloads_are_removed_and_todays_stay(manager, without, queue, payloads):
    old, new = await queue.add(data=LARGE), await queue.add(data=LARGE + "x")
    claim = (await old.job()).data["$payload"]
    (payloads / "2020-01-01").mkdir()
    (payloads / claim["day"] / claim["sha256"][:2]).rename(payloads / "2020-01-01" / "00")

    assert await manager.clean_payloads(older_than="30d") == 1
    with pytest.raises(PayloadLostError):
        await manager.load_payload(await old.job())
    assert await manager.load_payload(await new.job()) == LARGE + "x"
    with pytest.raises(ConfigurationError, match="payload_store"):
        await without.clean_payloads(older_than="30d")


async def test_the_sync_facade_has_the_same(payloads):
    def use():
        manager = QueueManager(
            "memory://", settings=Settings(), payload_store=payloads, payload_threshold=THRESHOLD
        )
        with manager.sync as sync:
            job = sync.add_job("q", data=LARGE).job()
            return sync.load_payload(job), sync.clean_payloads(older_than="1d")

    assert await asyncio.to_thread(use) == (LARGE, 0)
