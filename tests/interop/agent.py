"""BullMQ in a Node process: told what to do, and heard, in lines of JSON (node/agent.js)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from toril import JobHandle, JobState

PROGRAM = Path(__file__).parent / "node" / "agent.js"
OLDER = Path(__file__).parent / "node5" / "node_modules"
BULLMQ = os.environ.get("BULLMQ")  # the version to test with, if it is an older one
PATIENCE = 20  # seconds for what takes milliseconds on a machine that is not busy
_LONGEST_LINE = 1 << 24


class NodeError(Exception):
    """What BullMQ threw."""


class Node:
    """A process with BullMQ. `Node.start` makes one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._heard: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, *ports: int, prefix: str = "bull", version: str | None = BULLMQ) -> Node:
        """Start one that talks to a server, or with several ports to a cluster.

        Args:
            ports: Where the server or the nodes listen.
            prefix: The prefix of its queues.
            version: The version of BullMQ, if it is an older one, such as "5.81".
        """
        program = shutil.which("node")
        if program is None:
            raise RuntimeError("node is missing: install it (Debian: nodejs npm)")
        if not (PROGRAM.parent / "node_modules").exists():
            raise RuntimeError(
                f"the packages are missing: make test, or npm ci in {PROGRAM.parent}"
            )
        pipe = asyncio.subprocess.PIPE
        command = (program, str(PROGRAM), ",".join(map(str, ports)), prefix)
        return cls(
            await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, limit=_LONGEST_LINE, env=_environment(version)
            )
        )

    def queue(self, name: str) -> NodeQueue:
        return NodeQueue(self, name)

    async def ask(self, do: str, **fields: Any) -> Any:
        """Let it do something, and return what it answers."""
        number = next(self._numbers)
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": number, "do": do, **fields})
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        async with asyncio.timeout(PATIENCE):
            return await future

    async def flow(self, method: str, *args: Any) -> Any:
        """Call a method of BullMQ's FlowProducer."""
        return await self.ask("flow", method=method, args=args)

    async def release(self) -> None:
        """Let the jobs named `hold` go on that run here."""
        await self.ask("release")

    async def lets_go_of(self, handle: JobHandle[Any]) -> bool:
        """Release what is held now, and return whether a job has completed.

        Redis knows that Node has a job a moment before its handler holds it.
        """
        await self.release()
        return await handle.state() is JobState.COMPLETED

    async def heard(self, queue: str, *, event: str, **args: Any) -> dict[str, Any]:
        """Wait for an event with these arguments among others; returns the first one's."""
        async with asyncio.timeout(PATIENCE), self._news:
            while not (found := self.all_heard(queue, event=event, **args)):
                await self._news.wait()
            return found[0]

    def all_heard(self, queue: str, *, event: str, **args: Any) -> list[dict[str, Any]]:
        return [
            one["args"]
            for one in self._heard[queue]
            if one["event"] == event and args.items() <= one["args"].items()
        ]

    def order_heard(self, queue: str, job_id: str) -> list[str]:
        """Return the events of one job in their order."""
        return [one["event"] for one in self._heard[queue] if one["args"].get("jobId") == job_id]

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()

    async def stop(self) -> None:
        """Let it end, and see to it that it has."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while text := await self._process.stdout.readline():
            line = json.loads(text)
            if "event" in line:
                async with self._news:
                    self._heard[line["queue"]].append(line)
                    self._news.notify_all()
                continue
            future = self._asked.pop(line["id"])
            if future.done():
                continue
            if "error" in line:
                future.set_exception(NodeError(line["error"]))
            else:
                future.set_result(line["answer"])
        for future in self._asked.values():
            if not future.done():
                future.set_exception(NodeError("the process has ended"))


def _environment(version: str | None) -> dict[str, str]:
    """Return the environment in which Node finds this version of BullMQ."""
    environment = {name: value for name, value in os.environ.items() if name != "BULLMQ"}
    if version is not None:
        module = OLDER / f"bullmq-{version}" / "dist" / "cjs" / "index.js"
        if not module.exists():
            raise RuntimeError(f"BullMQ {version} is missing: make interop-5")
        environment["BULLMQ"] = str(module)
    return environment


class NodeQueue:
    """A queue, as BullMQ's Queue, Job, Worker and QueueEvents see it."""

    def __init__(self, node: Node, name: str) -> None:
        self.node = node
        self.name = name

    async def call(self, method: str, *args: Any) -> Any:
        """Call a method of BullMQ's Queue."""
        return await self.node.ask("queue", queue=self.name, method=method, args=args)

    async def add(self, name: str, data: Any = None, **options: Any) -> str:
        """Add a job, and return its id."""
        job = await self.call("add", name, {} if data is None else data, options)
        job_id: str = job["id"]
        return job_id

    async def add_bulk(self, jobs: Sequence[Mapping[str, Any]]) -> list[str]:
        return [job["id"] for job in await self.call("addBulk", jobs)]

    async def look(self, job_id: str) -> dict[str, Any]:
        """Return a job as BullMQ sees it now."""
        job: dict[str, Any] = await self.node.ask("look", queue=self.name, job=job_id)
        return job

    async def job(self, job_id: str, method: str, *args: Any) -> Any:
        """Call a method of BullMQ's Job."""
        return await self.node.ask("job", queue=self.name, job=job_id, method=method, args=args)

    async def state(self, job_id: str) -> str:
        state: str = await self.job(job_id, "getState")
        return state

    async def finished(self, job_id: str) -> Any:
        """Wait as BullMQ's `waitUntilFinished` does; raises NodeError with the reason."""
        return await self.node.ask(
            "finished", queue=self.name, job=job_id, ttl=(PATIENCE - 5) * 1000
        )

    async def work(self, **options: Any) -> None:
        """Start a worker."""
        await self.node.ask("work", queue=self.name, options=options)

    async def rest(self) -> None:
        """Stop the worker, once its jobs have ended."""
        await self.node.ask("rest", queue=self.name)

    async def follow(self) -> None:
        """Listen to the queue's events from the first on."""
        await self.node.ask("follow", queue=self.name)

    async def heard(self, event: str, **args: Any) -> dict[str, Any]:
        return await self.node.heard(self.name, event=event, **args)

    def all_heard(self, event: str, **args: Any) -> list[dict[str, Any]]:
        return self.node.all_heard(self.name, event=event, **args)

    def order_heard(self, job_id: str) -> list[str]:
        return self.node.order_heard(self.name, job_id)
