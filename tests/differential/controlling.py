"""What people do to queues and jobs."""

from __future__ import annotations

from tests.differential.drawing import DELAYS_MS
from tests.differential.lab import PARENTS, PREFIX, QUEUE
from tests.differential.scene import Scene
from tests.differential.steps import step
from toril.model.limits import Limits, RateLimit
from toril.model.state import FINAL, STORED, JobState

FORGOTTEN = ("failedReason", "returnvalue", "progress", "defa", "stc")
"""What Toril forgets when a finished job is run again, beyond what BullMQ forgets."""

NOT_STARTED = ("wait", "prioritized", "delayed")
CLEANABLE = {
    "wait" if state is JobState.WAITING else state.value: state
    for state in sorted(STORED - {JobState.ACTIVE})
}


# Jobs


@step(2, lambda scene: scene.there("delayed"))
def promote(scene: Scene) -> None:
    ids = scene.dice.some([*scene.there("delayed"), *scene.there("wait")[:1]])
    scene.run(scene.engine.jobs.promote(QUEUE, ids))
    for one in ids:
        scene.run(scene.bullmq.promote(one))
    scene.compare("promote")


@step(3, lambda scene: scene.there(*CLEANABLE))
def remove(scene: Scene) -> None:
    ids = [one for one in scene.dice.some(scene.there(*CLEANABLE, "active")) if may_go(scene, one)]
    scene.run(scene.engine.jobs.remove(QUEUE, ids))
    for one in ids:
        scene.run(scene.bullmq.remove(one))
    scene.compare("remove")


@step(1, lambda scene: scene.parents.jobs())
def remove_a_parent_elsewhere(scene: Scene) -> None:
    [one] = scene.dice.some(sorted(scene.parents.jobs()), 1)
    if set(scene.children(one, scene.parents)) & set(scene.stalled()):
        return
    scene.run(scene.engine.jobs.remove(PARENTS, [one]))
    scene.run(scene.lab.their_parents.remove(one))
    scene.compare("remove")


def may_go(scene: Scene, job_id: str) -> bool:
    """Return whether both sides think alike of its removal: nothing of it has stalled."""
    return not {job_id, *scene.children(job_id)} & set(scene.stalled())


@step(4, lambda scene: scene.there("completed", "failed"))
def retry_finished(scene: Scene) -> None:
    ids = scene.dice.some(scene.there("completed", "failed"))
    scene.run(scene.engine.jobs.retry(QUEUE, ids))
    for one in ids:
        state = "completed" if one in scene.space.members("completed") else "failed"
        scene.run(scene.bullmq.retry_finished(one, state, FORGOTTEN))
    scene.compare("retry finished")


@step(3, lambda scene: scene.there(*NOT_STARTED))
def change_priority(scene: Scene) -> None:
    [one] = scene.dice.some(scene.there(*NOT_STARTED), 1)
    priority = scene.dice.number(0, 2)
    scene.run(scene.engine.jobs.change(QUEUE, one, priority=priority))
    scene.run(scene.bullmq.change_priority(one, priority))
    scene.compare("change priority")


@step(2, lambda scene: scene.there("delayed"))
def change_delay(scene: Scene) -> None:
    [one] = scene.dice.some(scene.there("delayed"), 1)
    delay_ms = scene.dice.one(DELAYS_MS)
    if scene.space.contents["delayed"][one] // 0x1000 == scene.lab.now + delay_ms:
        delay_ms += 7
    scene.run(scene.engine.jobs.change(QUEUE, one, delay_ms=delay_ms))
    scene.run(scene.bullmq.change_delay(one, delay_ms))
    scene.compare("change delay")


@step(1, lambda scene: scene.there(*NOT_STARTED, "active"))
def change_data(scene: Scene) -> None:
    [one] = scene.dice.some(scene.there(*NOT_STARTED, "active"), 1)
    number = scene.dice.number(2, 9)
    scene.run(scene.engine.jobs.change(QUEUE, one, data=f'{{"number":{number}}}'))
    scene.run(scene.bullmq.change_data(one, {"number": number}))
    scene.compare("change data")


# The queue


@step(1, lambda scene: "paused" not in scene.meta())
def pause(scene: Scene) -> None:
    scene.run(scene.engine.queues.pause(QUEUE))
    scene.run(scene.bullmq.scripts.pause())
    scene.compare("pause")


@step(10, lambda scene: "paused" in scene.meta())
def resume(scene: Scene) -> None:
    scene.run(scene.engine.queues.resume(QUEUE))
    scene.run(scene.bullmq.scripts.pause(pause=False))
    scene.compare("resume")


def set_concurrency(scene: Scene, most: int) -> None:
    scene.run(scene.engine.queues.register(QUEUE, Limits(concurrency=most)))
    scene.run(scene.bullmq.queue.setGlobalConcurrency(most))
    scene.compare("concurrency")


def set_rate(scene: Scene, most: int) -> None:
    scene.run(scene.engine.queues.register(QUEUE, Limits(rate=RateLimit(most, 0.5))))
    scene.run(scene.bullmq.queue.setGlobalRateLimit(most, 500))
    scene.compare("rate")


@step(1, lambda scene: not scene.is_full())
def limit_the_concurrency(scene: Scene) -> None:
    set_concurrency(scene, scene.dice.number(1, 4))


@step(5, Scene.is_full)
def lift_the_concurrency(scene: Scene) -> None:
    set_concurrency(scene, 100)


@step(1, lambda scene: not scene.is_limited())
def limit_the_rate(scene: Scene) -> None:
    set_rate(scene, scene.dice.number(1, 4))


@step(3, Scene.is_limited)
def raise_the_rate(scene: Scene) -> None:
    set_rate(scene, scene.dice.one([3, 100]))


@step(1, lambda scene: scene.space.members("marker"))
def wake(scene: Scene) -> None:
    """Take the marker away, as idle workers do."""
    for side in (scene.lab.ours, scene.lab.theirs):
        side.delete(f"{PREFIX}marker")
    scene.compare("wake")


# Ending it all: seldom, for it makes the queue poor


def ends_no_parent(scene: Scene, *states: str) -> bool:
    """Return whether no parent waits for jobs in these states: BullMQ would end it with them."""
    return not scene.waits_for(scene.there(*states))


@step(1, lambda scene: scene.there(*NOT_STARTED) and ends_no_parent(scene, *NOT_STARTED))
def drain(scene: Scene) -> None:
    delayed = not scene.ready() or scene.dice.one([False, True])
    scene.run(scene.engine.queues.drain(QUEUE, delayed=delayed))
    scene.run(scene.bullmq.queue.drain(delayed))
    scene.compare("drain")


def cleanable(scene: Scene) -> list[str]:
    return [name for name in CLEANABLE if scene.there(name) and ends_no_parent(scene, name)]


@step(2, cleanable)
def clean(scene: Scene) -> None:
    name = scene.dice.one(cleanable(scene))
    state = CLEANABLE[name]
    most = scene.dice.number(1, 3) if state in FINAL else 1_000
    jobs = scene.space.jobs()
    ran = any("processedOn" in jobs[one] for one in scene.space.members(name))
    grace_ms = 0 if ran and state not in FINAL else scene.dice.one([0, 500])
    scene.run(scene.engine.queues.clean(QUEUE, state, grace_ms, most))
    scene.run(scene.bullmq.queue.clean(grace_ms, most, name))
    scene.compare("clean")


@step(1, lambda scene: len(scene.space.jobs()) > 5 and ends_no_parent(scene, *CLEANABLE, "active"))
def obliterate(scene: Scene) -> None:
    scene.run(scene.engine.queues.obliterate(QUEUE, force=True))
    scene.run(scene.bullmq.queue.obliterate(force=True))
    scene.lab.theirs.delete(f"{PREFIX}limiter")
    scene.restart_events()
    scene.compare("obliterate")
    scene.open()
