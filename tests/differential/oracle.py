"""BullMQ itself: its own scripts, through its own package, on the server's time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import bullmq.job
import bullmq.scripts
import pytest
from bullmq import FlowProducer, Job, Queue
from bullmq.custom_errors import UnrecoverableError
from bullmq.redis_connection import loadScript

METRICS_KEPT = 20160
"""BullMQ collects metrics when it is told how many points to keep; Toril keeps this many."""


REFUSED = (TypeError, UnrecoverableError)
"""The package's errors for what its scripts refuse."""


class ServerClock:
    """Stands for the module `time` where the package asks it."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms

    def time(self) -> float:
        return self._now_ms() / 1000


def let_time_be(monkeypatch: pytest.MonkeyPatch, now_ms: Callable[[], int]) -> None:
    """Let the package take the server's time for its timestamps."""
    for module in (bullmq.scripts, bullmq.job):
        monkeypatch.setattr(module, "time", ServerClock(now_ms))


@dataclass(frozen=True)
class Taken:
    """A job that a worker holds."""

    job: Job
    token: str


class BullMQ:
    """A queue of BullMQ's, with the calls that its workers and its users make."""

    def __init__(self, url: str, name: str, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._options: dict[str, Any] = {
            "connection": url,
            "metrics": {"maxDataPoints": METRICS_KEPT},
            "lockDuration": 30_000,
        }
        self.queue = Queue(name, self._options)
        self.flows = FlowProducer({"connection": url})
        self.scripts = self.queue.scripts
        self.client = self.queue.client
        self._more = {
            file: self.client.register_script(loadScript(file))
            for file in ("changeDelay-4.lua", "moveJobFromActiveToWait-9.lua")
        }

    async def close(self) -> None:
        await self.queue.close()
        await self.flows.close()

    async def open(self) -> None:
        """Do what BullMQ on Node does when a queue is made."""
        meta = {"opts.maxLenEvents": 10000, "version": "bullmq:6.7.0"}
        await self.client.hset(self.scripts.keys["meta"], mapping=meta)

    # The hot path

    async def add(self, jobs: Sequence[tuple[str, Any, Mapping[str, Any]]]) -> None:
        """Add jobs: name, data and options of each.

        Those with a priority that are to go first go one by one, and are put where Toril puts
        them: BullMQ puts them last.
        """
        if len(jobs) == 1 or any(_is_first(options) for _, _, options in jobs):
            for name, data, options in jobs:
                await self._add_one(name, data, options)
        elif jobs:
            await self._add_at_once(jobs)

    async def _add_one(self, name: str, data: Any, options: Mapping[str, Any]) -> None:
        key = self.scripts.toKey(options["jobId"])
        was_there = await self.client.exists(key)
        await self.queue.add(name, data, options)
        if _is_first(options) and not was_there and await self.client.exists(key):
            await self._put_first(options["jobId"], options["priority"])
            if await self.client.decr(self.scripts.keys["pc"]) == 0:
                await self.client.delete(self.scripts.keys["pc"])

    async def _put_first(self, job_id: str, priority: int) -> None:
        named = self.scripts.keys
        await self.client.lrem(named["wait"], 1, job_id)
        await self.client.zadd(named["prioritized"], {job_id: priority * 0x100000000})

    async def add_one(self, options: Mapping[str, Any]) -> None:
        """Add a job as Node.js does."""
        await self.queue.add("send", {"number": 1}, options)

    async def add_flow(self, parent: Mapping[str, Any], children: Sequence[Any]) -> None:
        """Add a parent, of whatever queue, and its children in this one."""

        def node(queue: str, job: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
            options = {**job["opts"], "jobId": job["id"]}
            return {"name": "send", "queueName": queue, "data": {}, "opts": options, **rest}

        await self.flows.add(
            node(
                parent["queue"],
                parent,
                children=[node(self.queue.name, child) for child in children],
            )
        )

    async def _add_at_once(self, jobs: Sequence[tuple[str, Any, Mapping[str, Any]]]) -> None:
        await self.queue.addBulk(
            [{"name": name, "data": data, "opts": options} for name, data, options in jobs]
        )

    async def fetch(self, limit: int, token: str, lease_ms: int) -> list[Taken]:
        """Take jobs, one by one."""
        taken: list[Taken] = []
        for _ in range(limit):
            found = await self.scripts.moveToActive(token, {"lockDuration": lease_ms})
            if not found[0]:
                break
            taken.append(self._taken(found, token))
        return taken

    def _taken(self, found: Sequence[Any], token: str) -> Taken:
        return Taken(Job.fromJSON(self.queue, found[0], found[1]), token)

    async def complete(self, taken: Taken, result: Any) -> bool:
        keep = taken.job.opts.get("removeOnComplete", False)
        return await self._finish(
            self.scripts.moveToCompleted(taken.job, result, keep, taken.token, fetchNext=False)
        )

    async def fail(self, taken: Taken, reason: str, traceback: str) -> bool:
        keep = taken.job.opts.get("removeOnFail", False)
        keys, args = self.scripts.moveToFailedArgs(
            taken.job, reason, keep, taken.token, False, self._told(taken, reason, traceback)
        )
        return await self._finish(self.scripts.moveToFinished(taken.job.id, keys, args))

    async def complete_and_fetch(
        self, taken: Taken, result: Any, token: str, lease_ms: int
    ) -> list[Taken] | None:
        """Finish a job and take the next in one call, as workers on Node do; None where refused.

        BullMQ takes the next under the token of the one before. Toril has a new one for each
        exchange, and so the lock is given that.
        """
        keep = taken.job.opts.get("removeOnComplete", False)
        self._options["lockDuration"] = lease_ms
        try:
            found = await self.scripts.moveToCompleted(taken.job, result, keep, taken.token)
        except REFUSED:
            return None
        if not found or not found[0]:
            return []
        lock = self.scripts.toKey(found[1]) + ":lock"
        await self.client.set(lock, token, px=lease_ms)
        return [self._taken(found, token)]

    async def retry(self, taken: Taken, reason: str, traceback: str, delay_ms: int) -> bool:
        """Fail an attempt that another follows."""
        told = {"fieldsToUpdate": self._told(taken, reason, traceback)}
        job = taken.job
        if delay_ms:
            move = self.scripts.moveToDelayed(job.id, self._now_ms(), delay_ms, taken.token, told)
        else:
            lifo = job.opts.get("lifo", False)
            move = self.scripts.retryJob(job.id, lifo, taken.token, told)
        return await self._finish(move)

    async def release(self, taken: Taken, delay_ms: int) -> bool:
        """Give a job back without using up an attempt."""
        if delay_ms:
            return await self._finish(
                self.scripts.moveToDelayed(
                    taken.job.id, self._now_ms(), delay_ms, taken.token, {"skipAttempt": True}
                )
            )
        named = self.scripts.keys
        names = "active wait stalled paused meta limiter prioritized marker events"
        answer = await self._more["moveJobFromActiveToWait-9.lua"](
            keys=[named[name] for name in names.split()],
            args=[taken.job.id, taken.token, self.scripts.toKey(taken.job.id)],
        )
        return int(answer) >= 0

    @staticmethod
    def _told(taken: Taken, reason: str, traceback: str) -> dict[str, str]:
        stack = [*taken.job.stacktrace, traceback]
        return {"failedReason": reason, "stacktrace": json.dumps(stack, separators=(",", ":"))}

    @staticmethod
    async def _finish(move: Any) -> bool:
        """Return whether the lock was held."""
        with suppress(*REFUSED):
            await move
            return True
        return False

    async def extend(self, taken: Taken, lease_ms: int) -> bool:
        return bool(await self.scripts.extendLock(taken.job.id, taken.token, lease_ms))

    async def progress(self, job_id: str, progress: Any) -> None:
        await self.scripts.updateProgress(job_id, progress)

    async def log(self, job_id: str, line: str) -> None:
        await self.queue.backend.addLog(job_id, line)

    async def rescue(self, priorities: Mapping[str, int], max_stalls: int) -> None:
        """Take jobs from workers without a lock, in this order; those with a priority stay in it.

        A sweep marks all that run, and the next one takes those of the marked that have no
        lock, in the order of a set, which is none: here it finds one at a time.
        """
        stalled, check = self.scripts.keys["stalled"], self.scripts.keys["stalled-check"]
        marked = await self.client.smembers(stalled) - set(priorities)
        for job_id, priority in priorities.items():
            await self.client.delete(stalled, check)
            await self.scripts.moveStalledJobsToWait(max_stalls, 1)
            await self.client.delete(stalled, check)
            await self.client.sadd(stalled, job_id)
            await self.scripts.moveStalledJobsToWait(max_stalls, 1)
            if priority:
                await self._put_first(job_id, priority)
        await self.client.delete(stalled)
        if marked:
            await self.client.sadd(stalled, *marked)

    async def mark_active(self) -> None:
        """Do what a sweep does when no marked job lacks its lock: mark those that run."""
        await self.client.delete(self.scripts.keys["stalled-check"])
        await self.scripts.moveStalledJobsToWait(1, 1)

    # Control

    async def promote(self, job_id: str) -> None:
        with suppress(TypeError):
            await self.scripts.promote(job_id)

    async def retry_finished(self, job_id: str, state: str, forgotten: Sequence[str]) -> None:
        key = self.scripts.toKey(job_id)
        job = Job.fromJSON(self.queue, await self.client.hgetall(key), job_id)
        every = {"resetAttemptsMade": True, "resetAttemptsStarted": True}
        await self.scripts.reprocessJob(job, state, every)
        await self.client.hdel(key, *forgotten)

    async def remove(self, job_id: str) -> None:
        await self.scripts.remove(job_id, remove_children=True)

    async def change_priority(self, job_id: str, priority: int) -> None:
        await self.scripts.changePriority(job_id, priority)

    async def change_delay(self, job_id: str, delay_ms: int) -> None:
        named = self.scripts.keys
        await self._more["changeDelay-4.lua"](
            keys=[named[name] for name in ("delayed", "meta", "marker", "events")],
            args=[delay_ms, self._now_ms(), job_id, self.scripts.toKey(job_id)],
        )

    async def change_data(self, job_id: str, data: Any) -> None:
        await self.scripts.updateData(job_id, data)


def _is_first(options: Mapping[str, Any]) -> bool:
    return bool(options["lifo"] and options["priority"] and not options["delay"])
