"""Hooks that put follow-ups on settlements, as a worker runs them."""

import pytest
from msgspec.structs import replace

from tests.worker.waiting import until
from toril import JobFailedError, JobState
from toril.errors import UnsupportedError
from toril.model.job import NewJob, QueueRef
from toril.model.job_options import DEFAULT_OPTIONS, encode_options
from toril.model.outcome import ErrorKind
from toril.model.settlement import Complete, Fail, FollowUp, follow_up_id

AFTER = QueueRef("bull", "after")


def follow_up(settlement, data='{"a":1}'):
    lease, place = settlement.lease, len(settlement.then)
    options = encode_options(DEFAULT_OPTIONS)
    job = NewJob(follow_up_id(lease, place), "after", data, DEFAULT_OPTIONS, options)
    return FollowUp(AFTER, job, with_errors=True)


def followed(settlement):
    """Let every end be followed."""
    if isinstance(settlement, Complete | Fail):
        return replace(settlement, then=(*settlement.then, follow_up(settlement)))
    return settlement


async def after(manager):
    """Return the follow-ups that the store has."""
    page = await manager.queue("after").jobs()
    return list(page.jobs)


async def test_a_job_that_completes_is_followed(manager, queue, work):
    @queue.task
    async def task() -> int:
        return 5

    manager._hooks.append(followed)
    manager.register_queue("after")
    await work(queues=["q"])
    assert await (await task.enqueue()).result(10) == 5

    (job,) = await after(manager)
    assert (job.name, job.state, job.data) == ("after", JobState.WAITING, {"a": 1, "errors": []})


async def test_a_job_that_fails_for_good_is_followed_once_with_all_its_errors(manager, queue, work):
    @queue.task(attempts=3)
    async def task() -> None:
        raise ValueError("no")

    manager._hooks.append(followed)
    manager.register_queue("after")
    await work(queues=["q"])
    with pytest.raises(JobFailedError):
        await (await task.enqueue()).result(10)

    (job,) = await after(manager)
    assert [(e["attempt"], e["type"], e["message"]) for e in job.data["errors"]] == [
        (n, "ValueError", "no") for n in (1, 2, 3)
    ]


async def test_hooks_add_to_one_another(manager, queue, work):
    @queue.task
    async def task() -> None:
        pass

    manager._hooks += [followed, followed]
    manager.register_queue("after")
    await work(queues=["q"])
    await (await task.enqueue()).result(10)

    assert len(await after(manager)) == 2


async def test_a_follow_up_runs_at_once_in_the_same_worker(manager, queue, work):
    ran = []

    @queue.task
    async def task() -> None:
        pass

    manager._hooks.append(lambda one: followed(one) if one.lease.queue != AFTER else one)
    manager.register_processor("after", lambda job: ran.append(job.data["a"]))
    await work()
    await task.enqueue()

    await until(lambda: ran == [1])


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("a bug"), UnsupportedError("not in one slot")], ids=["bug", "slot"]
)
async def test_a_job_whose_follow_ups_cannot_be_fails_and_says_why(manager, queue, work, error):
    def hook(settlement):
        if isinstance(settlement, Complete):
            raise error
        return settlement

    @queue.task(attempts=3)
    async def task() -> None:
        pass

    manager._hooks.append(hook)
    await work()
    handle = await task.enqueue()
    with pytest.raises(JobFailedError, match=str(error)) as failed:
        await handle.result(10)

    assert failed.value.error_type == ErrorKind.FOLLOW_UP_REFUSED
    assert (await handle.job()).attempts_made == 1
