"""The same operations through BullMQ's own scripts and through Toril leave the same keys."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

import pytest

from tests.differential import adding, controlling, working  # noqa: F401 - they hold the steps
from tests.differential.comparing import Difference
from tests.differential.dice import Dice
from tests.differential.lab import Lab
from tests.differential.scene import Scene
from tests.differential.steps import next_step

SEEDS = range(150)
STEPS = 50  # for each seed

Effects: TypeAlias = Counter[tuple[str, bool]]
"""How often each step was made, and how often it changed anything."""

DIFFERENCES = [
    Difference("key", "stalled-check", "several of Toril's rescues at once do no harm"),
    Difference("field", "errors", "Toril's own: each error with its type and times"),
    Difference("field", "pb", "BullMQ writes it for workers that were given a name"),
    Difference("field", "atm, ats, stc", "0 is as good as none"),
    Difference(
        "option", "jobId", "a batch that is alike shares its options: its ids are its keys'"
    ),
    Difference("option", "false, 0, null", "are as good as none: Toril leaves defaults out"),
    Difference("event field", "toril", "Toril's own: what an event is to Toril's followers"),
    Difference("event field", "error", "Toril's own: type and message, for Toril's followers"),
    Difference("event", "changed", "Toril's own: BullMQ tells nothing of a change"),
    *(
        Difference("step", f"{kind} and fetch: drained", "BullMQ looks before it fetches, or not")
        for kind in ("complete", "fail", "retry", "release", "settle several")
    ),
    Difference(
        "step",
        "settle several: drained",
        "Toril looks after all of them, BullMQ after each that completes or fails",
    ),
    Difference("step", "drain: removed", "Toril tells which jobs were drained, BullMQ nothing"),
    Difference("step", "clean: removed", "Toril tells which jobs were cleaned, BullMQ how many"),
    Difference("step", "clean: cleaned", "Toril tells nothing where nothing was removed"),
    Difference(
        "apart",
        "waiting-children",
        "Toril removes what is not kept after it has settled the batch: a parent that is waited"
        " for by none of the removed any more is told of then",
    ),
    Difference(
        "marker",
        "0",
        "Toril leaves it where a worker would get a job; BullMQ after each fetch, and not after"
        " a job that was settled without one",
    ),
    Difference(
        "marker",
        "1",
        "BullMQ's has a fraction, and may be the time of a job that is gone; Toril's is the next",
    ),
    Difference("how", "token", "Toril makes one for each exchange, and BullMQ is given the same"),
    Difference("how", "metrics", "BullMQ collects them when it is asked to, and so it is"),
    Difference("how", "pause", "once only: BullMQ tells of it again, Toril does nothing"),
    Difference(
        "how", "rescue", "BullMQ needs two sweeps, and takes several jobs in no order: one by one"
    ),
    Difference(
        "how",
        "rate",
        "not in the last millisecond of a window: jobs that are taken then count to the old one in"
        " BullMQ, to the new one in Toril",
    ),
    Difference(
        "how",
        "retry",
        "BullMQ lets due jobs wait before the one that is tried again; in Toril the next fetch"
        " does: the test fetches nothing first",
    ),
    Difference(
        "how",
        "retry finished",
        "with attempts and starts from 0, as BullMQ does when asked; Toril forgets more: FORGOTTEN",
    ),
    Difference(
        "how",
        "add",
        "no job that replaces and finds the holder of its key no longer delayed: Toril adds it"
        " beside the holder, BullMQ drops it",
    ),
    Difference("how", "remove", "no running job: BullMQ removes one whose lock is gone"),
    Difference("how", "change priority", "of jobs that have not started: Toril refuses others"),
    Difference("how", "change delay", "of delayed jobs only, BullMQ knows no other way"),
    Difference(
        "how",
        "change delay",
        "not to the time that it has: BullMQ's score grows by 1, alone or not",
    ),
    Difference(
        "how",
        "clean",
        "unfinished jobs that ran go by when they were added, in BullMQ by when they last ran, and"
        " its limit counts the jobs that it looks at",
    ),
    Difference("how", "obliterate", "Toril removes `limiter`, too; BullMQ lets it run out"),
]


def go(scene: Scene, effects: Effects) -> None:
    """Make steps, and count those that change anything."""
    for _ in range(STEPS):
        chosen, before = next_step(scene), scene.space
        chosen.run(scene)
        effects[chosen.name, scene.space != before] += 1


@pytest.mark.timeout(400)  # 20 s of work, and others may want the processor, too
def test_toril_and_bullmq_leave_the_same_keys(lab: Lab) -> None:
    effects: Effects = Counter()
    for seed in SEEDS:
        dice = Dice(seed)
        scene = Scene(lab, dice, DIFFERENCES)
        try:
            go(scene, effects)
        except Exception as error:
            error.add_note("\n".join([f"seed {seed}:", *dice.log]))
            raise
        finally:
            scene.close()
    had_effect = sum(n for (_, did), n in effects.items() if did)
    assert had_effect > 0.9 * effects.total()
