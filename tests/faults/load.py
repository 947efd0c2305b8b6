"""Workers and producers that are busy while something happens to their Redis server."""

from __future__ import annotations

from statistics import median
from typing import Any

from tests.faults.actor import Actor, StuckError
from tests.faults.ledger import Ok, Started, now
from tests.faults.programs.node import NodeConfig
from tests.faults.programs.worker import QUEUE
from tests.faults.stage import Stage

SLOTS = 10
LEASE = 3.0
JOB_MS = 10
AT_ONCE = 5.0
"""Seconds within which every worker of Toril's runs a job when its server is back."""


class Load:
    """Two workers of Toril's and two producers, and as many of BullMQ's where these are wanted.

    Attributes:
        workers: Toril's.
        producers: Toril's: one adds single jobs, the other batches.
        slots: How many jobs can run at once, so that a fault makes at most as many run again.
    """

    def __init__(self, stage: Stage) -> None:
        self.workers: list[Actor] = []
        self.producers: list[Actor] = []
        self.slots = 0
        self._stage = stage
        self._node_workers: list[Actor] = []
        self._node_producers: list[Actor] = []
        self._times: list[float] = []

    @classmethod
    async def start(
        cls, stage: Stage, *, node: bool = False, lease: float = LEASE, **config: Any
    ) -> Load:
        """Start them.

        Args:
            stage: Where.
            node: BullMQ's, too.
            lease: How long Toril's workers hold a job without renewing that, in seconds.
            **config: For Toril's, beside what all runs have.
        """
        load = cls(stage)
        for _ in range(2):
            worker = await stage.worker(concurrency=SLOTS, lease=lease, **config)
            load.workers.append(worker)
        load.slots = 2 * SLOTS
        if node:
            await load._start_node()
        for way in ({"bulk": 1, "lanes": 4, "pause_ms": 40}, {"bulk": 25, "pause_ms": 150}):
            load.producers.append(await stage.producer(ms=JOB_MS, **way, **config))
        return load

    async def _start_node(self) -> None:
        stage = self._stage
        where = {"port": stage.redis.port, "queue": QUEUE}
        for _ in range(2):
            config = NodeConfig(work=SLOTS, lock_ms=int(LEASE * 1000), **where)
            self._node_workers.append(await stage.start("node", config, "nodeworker"))
        self.slots += 2 * SLOTS
        for n, (bulk, pause_ms) in enumerate(((1, 20), (25, 150))):
            config = NodeConfig(name=f"node-{n}", bulk=bulk, pause_ms=pause_ms, ms=JOB_MS, **where)
            self._node_producers.append(await stage.start("node", config, "nodeproducer"))

    async def is_felt(self, runs: int) -> None:
        """Wait until so many further jobs have begun."""
        stage = self._stage
        enough = len(stage.said(Started)) + runs
        await stage.until(lambda: len(stage.said(Started)) >= enough, f"{runs} jobs have begun")

    async def goes_on(self, within: float = AT_ONCE) -> None:
        """Wait until every worker of Toril's runs a job that begins from now on."""
        since, seen = now(), len(self._stage.lines)
        firsts = [await self._first_run(worker, since, seen) for worker in self.workers]
        self._times.append(max(firsts))
        self._stage.claim(max(firsts) <= within, f"going on took {max(firsts):.1f} s")

    async def _first_run(self, worker: Actor, since: float, seen: int) -> float:
        """Return how long it took; what had been said before is not looked at again."""
        stage = self._stage
        runs: list[float] = []

        def begins() -> bool:
            nonlocal seen
            new, seen = stage.lines[seen:], len(stage.lines)
            runs.extend(
                line.entry.at
                for line in new
                if line.actor == worker.name
                and isinstance(line.entry, Started)
                and line.entry.at > since
            )
            return bool(runs)

        try:
            await stage.until(begins, f"{worker.name} runs a job again", 30)
        except StuckError as error:
            said = " / ".join(stage.warnings(worker)[-3:])
            raise StuckError(f"{error}; it said: {said}") from None
        return runs[0] - since

    async def end(self) -> None:
        """Add no more, let everything run to its end, and note what was measured."""
        stage = self._stage
        for actor in (*self.producers, *self._node_producers):
            await stage.stop(actor)
        await stage.drained(timeout=120)
        await stage.stop_all()
        for actor in (*self.workers, *self._node_workers):
            stage.claim(bool(stage.said(Started, actor)), f"{actor.name} got no work")
        for actor in (*self.producers, *self._node_producers):
            stage.claim(bool(stage.said(Ok, actor)), f"{actor.name} added nothing")
        if self._times:
            stage.notes.append(
                f"both workers ran a job again after {median(self._times):.2f} s in the median, "
                f"{max(self._times):.2f} s at worst"
            )
