"""What people do to queues and jobs, on both sides."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.differential.lab import PREFIX, QUEUE
from tests.differential.working import Working, has
from toril.model.options import RateLimit
from toril.model.state import FINAL, STORED, JobState

FORGOTTEN = ("failedReason", "returnvalue", "progress", "defa", "stc")
"""What Toril forgets when a finished job is run again, beyond what BullMQ forgets."""


class BothSides(Working):
    """All that is done."""

    @has("delayed")
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        ids = self.some(data, "delayed", "wait")
        self.run(self.engine.promote(QUEUE, ids))
        for one in ids:
            self.run(self.bullmq.promote(one))
        self.compare("promote")

    @has("wait", "prioritized", "delayed", "active", "completed", "failed")
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        ids = self.some(data, "wait", "prioritized", "delayed", "active", "completed", "failed")
        stalled = self.stalled()
        ids = [one for one in ids if one not in stalled]
        self.run(self.engine.remove(QUEUE, ids))
        for one in ids:
            self.run(self.bullmq.remove(one))
        self.compare("remove")

    @has("completed", "failed")
    @rule(data=st.data())
    def retry_finished(self, data: st.DataObject) -> None:
        ids = self.some(data, "completed", "failed")
        if "run a lifo job again" in self.left_out:
            jobs = self.space.jobs()
            ids = [one for one in ids if '"lifo":true' not in jobs[one]["opts"]]
        self.run(self.engine.retry(QUEUE, ids))
        for one in ids:
            state = "completed" if one in self.space.members("completed") else "failed"
            self.run(self.bullmq.retry_finished(one, state, FORGOTTEN))
        self.compare("retry finished")

    @has("wait", "prioritized", "delayed")
    @rule(data=st.data(), priority=st.integers(0, 2))
    def change_priority(self, data: st.DataObject, priority: int) -> None:
        one = self.some(data, "wait", "prioritized", "delayed")[0]
        self.run(self.engine.change(QUEUE, one, priority=priority))
        self.run(self.bullmq.change_priority(one, priority))
        self.compare("change priority")

    @has("delayed")
    @rule(data=st.data(), delay_ms=st.sampled_from([100, 500, 3_000]))
    def change_delay(self, data: st.DataObject, delay_ms: int) -> None:
        one = self.some(data, "delayed")[0]
        if self.space.contents["delayed"][one] // 0x1000 == self.lab.now + delay_ms:
            return
        self.run(self.engine.change(QUEUE, one, delay_ms=delay_ms))
        self.run(self.bullmq.change_delay(one, delay_ms))
        self.compare("change delay")

    @has("wait", "prioritized", "delayed", "active")
    @rule(data=st.data())
    def change_data(self, data: st.DataObject) -> None:
        one = self.some(data, "wait", "prioritized", "delayed", "active")[0]
        self.run(self.engine.change(QUEUE, one, data='{"number":2}'))
        self.run(self.bullmq.change_data(one, {"number": 2}))
        self.compare("change data")

    @precondition(lambda self: "paused" in self.space.contents["meta"])
    @rule()
    def resume(self) -> None:
        self.run(self.engine.resume(QUEUE))
        self.run(self.bullmq.scripts.pause(pause=False))
        self.compare("resume")

    @precondition(lambda self: len(self.space.jobs()) > 2)
    @rule(
        what=st.sampled_from(["pause", "concurrency", "rate", "obliterate", "wake"]),
        most=st.sampled_from([1, 3, 100]),
    )
    def configure(self, what: str, most: int) -> None:
        getattr(self, what)(most)
        self.compare(what)

    def pause(self, _: int) -> None:
        if "paused" not in self.space.contents["meta"]:
            self.run(self.engine.pause(QUEUE))
            self.run(self.bullmq.scripts.pause())

    def concurrency(self, most: int) -> None:
        self.run(self.engine.register(QUEUE, concurrency=most))
        self.run(self.bullmq.queue.setGlobalConcurrency(most))

    def rate(self, most: int) -> None:
        self.run(self.engine.register(QUEUE, rate_limit=RateLimit(most, 0.5)))
        self.run(self.bullmq.queue.setGlobalRateLimit(most, 500))

    def wake(self, _: int) -> None:
        """Take the marker away, as idle workers do."""
        for side in (self.lab.ours, self.lab.theirs):
            side.delete(f"{PREFIX}marker")

    def obliterate(self, _: int) -> None:
        self.run(self.engine.obliterate(QUEUE, force=True))
        self.run(self.bullmq.queue.obliterate(force=True))
        self.lab.theirs.delete(f"{PREFIX}limiter")
        self.comparison.restart()
        self.compare("obliterate")
        self.open()

    @has("wait", "prioritized", "delayed")
    @rule(delayed=st.booleans())
    def drain(self, *, delayed: bool) -> None:
        self.run(self.engine.drain(QUEUE, delayed=delayed))
        self.run(self.bullmq.queue.drain(delayed))
        self.compare("drain")

    @has("wait", "prioritized", "delayed", "completed", "failed")
    @rule(
        state=st.sampled_from(sorted(STORED - {JobState.ACTIVE, JobState.WAITING_CHILDREN})),
        grace_ms=st.sampled_from([0, 500]),
    )
    def clean(self, state: JobState, grace_ms: int) -> None:
        most = 2 if state in FINAL else 1_000
        name = "wait" if state is JobState.WAITING else state.value
        jobs = self.space.jobs()
        if state not in FINAL and any(
            "processedOn" in jobs[one] for one in self.space.members(name)
        ):
            grace_ms = 0
        self.run(self.engine.clean(QUEUE, state, grace_ms, most))
        self.run(self.bullmq.queue.clean(grace_ms, most, name))
        self.compare("clean")
