"""Both sides, what stands on them now, and what their workers hold."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.differential.comparing import Comparison, Difference
from tests.differential.dice import Dice
from tests.differential.keyspace import KeySpace, read
from tests.differential.lab import PARENTS, QUEUE, Lab, prefix_of
from tests.differential.oracle import Taken
from toril.model.job import Lease

T = TypeVar("T")


@dataclass(frozen=True)
class Held:
    """A job that a worker of each side holds, or held."""

    lease: Lease
    taken: Taken

    def __repr__(self) -> str:
        return self.lease.id


class Scene:
    """What a test goes on with from step to step.

    Attributes:
        lab: Where.
        dice: What is drawn from.
        space: What BullMQ's side holds of the queue, after the last step.
        parents: The same of the queue of some jobs' parents.
        held: What was taken and not settled.
        former: Some of what was settled: nobody holds it any more.
        flows: How many flows were added.
        lasts: How many jobs with keepLastIfActive.
    """

    def __init__(self, lab: Lab, dice: Dice, differences: Iterable[Difference]) -> None:
        self.lab = lab
        self.dice = dice
        self.bullmq = lab.bullmq
        self.engine = lab.engine()
        self.keeper = self.engine.keeper()
        self.held: list[Held] = []
        self.former: list[Held] = []
        self.flows = self.lasts = 0
        table = list(differences)
        self._comparisons = {queue: Comparison(table) for queue in (QUEUE, PARENTS)}
        self.space = self.parents = KeySpace({}, {}, {}, [])
        lab.theirs.flushall()
        self.open()

    def open(self) -> None:
        """Make the queues, as a first look at them does."""
        for queue, theirs in ((QUEUE, self.bullmq), (PARENTS, self.lab.their_parents)):
            self.run(self.engine.queues.register(queue))
            self.run(theirs.open())
        self.compare("open")

    def close(self) -> None:
        self.keeper.close()
        self.run(self.engine.close())

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.lab.runner.run(call)

    # Comparing

    def compare(self, step: str) -> None:
        """Compare all keys of both sides after a step."""
        self.space = self._compare(QUEUE, step)
        self.parents = self._compare(PARENTS, step)

    def _compare(self, queue: Any, step: str) -> KeySpace:
        prefix = prefix_of(queue)
        ours, theirs = read(self.lab.ours, prefix), read(self.lab.theirs, prefix)
        differing = self._comparisons[queue].differing(ours, theirs, step, self.lab.now)
        assert not differing, "\n".join([f"after {step}:", *differing])
        return theirs

    def restart_events(self) -> None:
        """The queue was obliterated, and its events with it."""
        self._comparisons[QUEUE].restart()

    # What stands there

    def there(self, *states: str) -> list[str]:
        """Return the jobs in some of the queue's lists and sets."""
        return sorted({member for state in states for member in self.space.members(state)})

    def ready(self) -> bool:
        return bool(self.there("wait", "prioritized"))

    def due(self) -> bool:
        """Return whether a delayed job is due."""
        first = min(self.space.contents.get("delayed", {}).values(), default=None)
        return first is not None and first // 0x1000 <= self.lab.now

    def meta(self) -> dict[str, str]:
        found: dict[str, str] = self.space.contents.get("meta", {})
        return found

    def is_full(self) -> bool:
        most = self.meta().get("concurrency")
        return most is not None and len(self.space.members("active")) >= int(most)

    def is_limited(self) -> bool:
        most = self.meta().get("max")
        return most is not None and int(self.space.contents.get("limiter", 0)) >= int(most)

    def gives(self) -> bool:
        """Return whether a worker that asks would get a job."""
        closed = "paused" in self.meta() or self.is_full() or self.is_limited()
        return not closed and (self.ready() or self.due())

    def stalled(self) -> list[str]:
        """Return the jobs that run without a lock, the newest first."""
        return [
            one for one in self.space.members("active") if f"{one}:lock" not in self.space.kinds
        ]

    def holding(self) -> list[Held]:
        """Return those of the held whose locks are there."""
        return [one for one in self.held if self.holds(one)]

    def holds(self, one: Held) -> bool:
        return self.space.contents.get(f"{one.lease.id}:lock") == one.taken.token

    def waits_for(self, ids: Iterable[str]) -> bool:
        """Return whether a parent waits for one of these jobs."""
        jobs = self.space.jobs()
        waiting = {f"bull:work:{one}" for one in self.space.members("waiting-children")}
        waiting |= {f"bull:parents:{one}" for one in self.parents.members("waiting-children")}
        return any(jobs.get(one, {}).get("parentKey") in waiting for one in ids)

    def children(self, job_id: str, space: KeySpace | None = None) -> list[str]:
        """Return the ids of a parent's children."""
        space = space or self.space
        kept = ("dependencies", "processed", "failed", "unsuccessful")
        keys = [key for what in kept for key in space.members(f"{job_id}:{what}")]
        return [key.removeprefix("bull:work:") for key in keys]
