"""Adding: jobs of Toril's, and what only Node.js adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.differential.drawing import (
    FLAGS,
    IDS,
    new_job,
    new_jobs,
    node_options,
    options,
    theirs_of,
)
from tests.differential.lab import QUEUE
from tests.differential.oracle import BullMQ
from tests.differential.scene import Scene
from tests.differential.steps import step
from toril.model.codec import decode
from toril.model.job import NewJob


def free_ids(scene: Scene) -> list[str]:
    there = scene.space.jobs()
    return [one for one in IDS if one not in there]


def draw_ids(scene: Scene) -> list[str]:
    """Draw ids, mostly new ones."""
    bag = [*IDS, *(free_ids(scene) * 4)]
    return scene.dice.many(bag, 6)


def has_free_ids(scene: Scene) -> bool:
    return len(free_ids(scene)) > 2


@step(5, has_free_ids)
def add_some_alike(scene: Scene) -> None:
    put(scene, new_jobs(draw_ids(scene), options(scene.dice)))


@step(6, has_free_ids)
def add_some_with_options_of_their_own(scene: Scene) -> None:
    put(scene, [new_job(one, options(scene.dice)) for one in draw_ids(scene)])


@step(1)
def add_what_may_be_there(scene: Scene) -> None:
    put(scene, new_jobs(scene.dice.many(IDS, 3), {}))


def put(scene: Scene, new: Sequence[NewJob]) -> None:
    """Add jobs on both sides, but for those that would take another job's place, or nobody's."""
    new = [one for one in new if not replaces_another(scene, one)]
    new = [one for one in new if not replaces_none(scene, one, new)]
    scene.run(scene.engine.add(QUEUE, new))
    scene.run(scene.bullmq.add([(one.name, decode(one.data), theirs_of(one)) for one in new]))
    scene.compare("add")


def holder_of(scene: Scene, new: NewJob) -> str | None:
    """Return who holds the key of a job that replaces."""
    rule = new.options.deduplication
    if rule is None or not rule.replace:
        return None
    found: str | None = scene.space.contents.get(f"de:{rule.key}")
    return found


def replaces_none(scene: Scene, new: NewJob, batch: Sequence[NewJob]) -> bool:
    """Return whether it may find a holder of its key that is not delayed."""
    rule = new.options.deduplication
    if rule is None or not rule.replace:
        return False
    holder = holder_of(scene, new)
    mates = [one for one in batch if key_of(one) == rule.key]
    return (holder is not None and holder not in scene.space.members("delayed")) or (
        len(mates) > 1 and not all(one.options.delay_ms for one in mates)
    )


def key_of(new: NewJob) -> str | None:
    rule = new.options.deduplication
    return None if rule is None else rule.key


def replaces_another(scene: Scene, new: NewJob) -> bool:
    """Return whether the holder of its key is gone, and another job may get the id."""
    rule, holder = new.options.deduplication, holder_of(scene, new)
    if rule is None or holder is None:
        return False
    return scene.space.jobs().get(holder, {}).get("deid") != rule.key


# What Node.js alone adds is added by its own scripts, on our side too


def by_node(scene: Scene, what: str, *args: Any) -> None:
    for side in (scene.bullmq, scene.lab.guest):
        scene.run(getattr(BullMQ, what)(side, *args))


@step(3)
def add_a_flow(scene: Scene) -> None:
    scene.flows += 1
    number = scene.flows
    many = scene.dice.number(1, 3)
    children = []
    for n in range(many):
        flag = scene.dice.seldom(FLAGS, one_in=2)
        given = node_options(scene.dice) | ({flag: True} if flag else {})
        children.append({"id": f"child-{number}-{n}", "opts": given})
    where = scene.dice.one(["work", "work", "parents"])
    flow = {"queue": where, "id": f"parent-{number}", "opts": node_options(scene.dice)}
    by_node(scene, "add_flow", flow, children)
    scene.compare("add a flow")


@step(2)
def add_the_last_while_active(scene: Scene) -> None:
    """Add with BullMQ's keepLastIfActive: it comes later, and BullMQ does not look for its id."""
    scene.lasts += 1
    rule = {"id": "last", "keepLastIfActive": True}
    given = node_options(scene.dice) | {"deduplication": rule}
    given["jobId"] = f"last-{scene.lasts}"
    by_node(scene, "add_one", given)
    scene.compare("add the last while active")
