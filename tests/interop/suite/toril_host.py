"""Toril workers whose processors run in Node (node/suite/toril.js).

It reads commands as lines of JSON from stdin, and writes what happens as lines of JSON to stdout:

  {"do": "work", "worker": 1, "queue": "q", …}      starts a worker
  {"run": 7, "worker": 1, "job": {…}}               a job runs: Node calls the processor,
  {"do": "answer", "run": 7, "return": 42}          and says how it ended
  {"event": "completed", "worker": 1, …}            what the worker published

It ends when stdin does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import count
from typing import Any

from toril import (
    Event,
    JobCompleted,
    JobContext,
    JobFailed,
    JobRetrying,
    JobStalled,
    JobStarted,
    QueueManager,
    RateLimit,
    Settings,
    Snooze,
    Unrecoverable,
    WorkerSettings,
)

_LONGEST_LINE = 1 << 24


class Hosted:
    """One worker, and the jobs that its processor has in Node."""

    def __init__(self, number: int, numbers: count[int]) -> None:
        self._number = number
        self._numbers = numbers
        self._delays: dict[tuple[int, str], float] = {}
        self._manager: QueueManager | None = None
        self.jobs: dict[int, JobContext] = {}
        self.answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def start(self, given: dict[str, Any]) -> None:
        manager = QueueManager(given["url"], prefix=given["prefix"], settings=Settings())
        limit = given.get("limiter")
        self.queue = manager.register_queue(
            given["queue"],
            rate_limit=limit and RateLimit(limit["max"], per=limit["duration"] / 1000),
        )
        manager.register_processor(given["queue"], self._process)
        for name in given["strategies"]:
            manager.register_backoff(name, self._delay)
        manager.on(Event, self._publish)
        self._manager = manager
        await manager.start_workers(settings=WorkerSettings(**given["settings"]))

    async def stop(self) -> None:
        if self._manager is not None:  # it may be that it could not be started
            await self._manager.shutdown()

    async def _process(self, job: JobContext) -> Any:
        run = next(self._numbers)
        self.jobs[run] = job
        answer = self.answers[run] = asyncio.get_running_loop().create_future()
        say(run=run, worker=self._number, job=_described(job))
        try:
            return self._ended(job, await answer)
        except asyncio.CancelledError:
            say(interrupted=run, worker=self._number)
            raise
        finally:
            del self.jobs[run], self.answers[run]

    def _ended(self, job: JobContext, answer: dict[str, Any]) -> Any:
        """Return or raise what the processor in Node returned or threw."""
        if "snooze" in answer:
            raise Snooze(answer["snooze"] / 1000)
        if "unrecoverable" in answer:
            raise Unrecoverable(answer["unrecoverable"])
        if "error" in answer:
            name, message = answer["error"]["name"], answer["error"]["message"]
            if "backoff" in answer:
                self._delays[job.attempt, message] = answer["backoff"] / 1000
            raise type(name, (Exception,), {})(message)
        return answer.get("return")

    def _delay(self, made: int, error: Any) -> float:
        """Return the delay that the strategy in Node chose for this error."""
        return self._delays[made, error.message]

    def _publish(self, event: Event) -> None:
        match event:
            case JobStarted(lease=lease):
                self._say("active", id=lease.id)
            case JobCompleted(lease=lease):
                self._say("completed", id=lease.id)
            case JobRetrying(lease=lease, error=error) | JobFailed(lease=lease, error=error):
                self._say("failed", id=lease.id, reason=error.message, made=error.attempt)
            case JobStalled():
                self._say("stalled", id=event.job_id)

    def _say(self, event: str, **fields: Any) -> None:
        say(event=event, worker=self._number, **fields)


def _described(job: JobContext) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "data": job.data,
        "token": job.lease.token,
        "attemptsMade": job.attempt - 1,
        "attemptsStarted": job.lease.attempts_started,
        "priority": job.priority,
    }


def say(**line: Any) -> None:
    sys.stdout.write(f"{json.dumps(line)}\n")
    sys.stdout.flush()


class Host:
    """All workers of this process."""

    def __init__(self) -> None:
        self._workers: dict[int, Hosted] = {}
        self._numbers = count(1)

    async def obey(self, line: dict[str, Any]) -> None:
        try:
            await getattr(self, f"_{line.pop('do')}")(**line)
        except Exception as error:  # noqa: BLE001 - Node asked, so Node is told
            say(error=f"{type(error).__name__}: {error}", worker=line.get("worker"))

    async def _work(self, worker: int, **given: Any) -> None:
        hosted = self._workers[worker] = Hosted(worker, self._numbers)
        await hosted.start(given)
        say(ready=True, worker=worker)

    async def _stop(self, worker: int) -> None:
        await self._workers[worker].stop()  # jobs that still run are answered meanwhile
        del self._workers[worker]
        say(stopped=True, worker=worker)

    async def _answer(self, worker: int, run: int, **answer: Any) -> None:
        waiting = self._workers[worker].answers.get(run)
        if waiting is not None and not waiting.done():  # an interrupted job has nobody waiting
            waiting.set_result(answer)

    async def _progress(self, worker: int, run: int, value: Any) -> None:
        if (job := self._workers[worker].jobs.get(run)) is not None:
            job.progress(value)

    async def _log(self, worker: int, run: int, line: str) -> None:
        if (job := self._workers[worker].jobs.get(run)) is not None:
            job.log(line)

    async def _cancel(self, worker: int, job: str) -> None:
        await self._workers[worker].queue.handle(job).cancel()


async def main() -> None:
    host, obeying = Host(), set()
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while text := await reader.readline():
        task = asyncio.create_task(host.obey(json.loads(text)))
        obeying.add(task)
        task.add_done_callback(obeying.discard)


if __name__ == "__main__":
    asyncio.run(main())
