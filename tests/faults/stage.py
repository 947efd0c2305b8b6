"""Where a scenario is played: a folder, a store, processes, and the ledger of all of them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import msgspec

from tests.faults import ledger as book
from tests.faults.actor import PATIENCE, Actor, StuckError
from tests.faults.checker import FINAL, Expected, Record, Store, Verdict, check
from tests.faults.ledger import Ledger, Line, Reader
from tests.faults.programs import node
from tests.faults.programs.producer import ProducerConfig
from tests.faults.programs.worker import QUEUE, WorkerConfig
from tests.redis_server import RedisServer
from toril import EngineError, QueueManager
from toril.application.stores import open_engine
from toril.clock import Clock
from toril.engine.contract.engine import Engine
from toril.engine.redis.connection.endpoint import parse
from toril.engine.redis.connection.wire import Wire
from toril.engine.sqlite import SqliteEngine

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")  # a file system whose fsync never makes anybody late
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
Place = Literal["file", "redis"]
_LOOK_AGAIN = 0.25
_LAST_WORDS = 12
T = TypeVar("T")
Condition = Callable[[], "bool | Awaitable[bool]"]


class Stage:
    """Starts processes, waits for what they say, strikes, and counts at the end."""

    def __init__(
        self, seed: int, name: str, *, on: Place = "file", in_memory: bool = False
    ) -> None:
        self.random = random.Random(f"{name} {seed}")
        # Not pytest's folder: a socket's path must be short.
        root = MEMORY if in_memory and MEMORY.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="toril-faults-", dir=root))
        self.store = self.folder / "toril.db"
        self._redis = RedisServer(self.folder, options=DURABLE) if on == "redis" else None
        self.claims: list[str] = []
        self.notes: list[str] = []
        self.actors: list[Actor] = []
        os.mkfifo(self.folder / book.BELL)
        # Open for reading and writing, so that it never comes to its end.
        self._bell = os.open(self.folder / book.BELL, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rung = asyncio.Event()
        self._reader = Reader(self.folder)
        self._ledger = Ledger(self.folder, "stage")
        self._manager: QueueManager | None = None
        self._names: dict[str, int] = {}
        self.clock: Clock | None = None
        self._ends: list[Callable[[], object]] = []

    async def __aenter__(self) -> Self:
        if self._redis is not None:
            self.at_end(self._redis.kill)
            await asyncio.to_thread(self._redis.start)
        asyncio.get_running_loop().add_reader(self._bell, self._on_bell)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._bell)
        if self._manager is not None:
            await self._manager.shutdown()
        for actor in self.actors:
            if not actor.gone:
                actor.send(signal.SIGKILL)
                await actor.process.wait()
        await self._end_orphans()
        for end in reversed(self._ends):
            end()
        self._ledger.close()
        os.close(self._bell)
        shutil.rmtree(self.folder)

    def at_end(self, end: Callable[[], object]) -> None:
        """Do something when all processes have ended."""
        self._ends.append(end)

    def _on_bell(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 65_536)
        self._rung.set()

    # What is said

    @property
    def lines(self) -> list[Line]:
        self._reader.read()
        return self._reader.lines

    def said(self, kind: type[T], actor: Actor | None = None) -> list[T]:
        """Return the entries of a kind, of one process or of all."""
        return [
            line.entry
            for line in self.lines
            if isinstance(line.entry, kind) and (actor is None or line.actor == actor.name)
        ]

    def has_noted(self, actor: Actor, text: str) -> bool:
        return any(text in said.text for said in self.said(book.Said, actor))

    def warnings(self, actor: Actor | None = None) -> list[str]:
        """Return what was logged as a warning or worse."""
        return [s.text for s in self.said(book.Said, actor) if s.level in ("WARNING", "ERROR")]

    async def until(self, condition: Condition, what: str, timeout: float = PATIENCE) -> None:
        """Wait until something is so; each line that anybody writes is a reason to look."""
        give_up = book.now() + timeout
        while book.now() < give_up:
            self._rung.clear()
            found = condition()
            if await found if inspect.isawaitable(found) else found:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN):
                    await self._rung.wait()
        raise StuckError(f"not within {timeout:g} s: {what}")

    def claim(self, holds: bool, text: str) -> None:
        """Hold the scenario to a promise that the checker does not know."""
        if not holds:
            self.claims.append(text)

    def struck(self, fault: str) -> None:
        """Write down that a fault was seen to happen."""
        self._ledger.write(book.Struck(fault))

    # Where jobs live

    @property
    def redis(self) -> RedisServer:
        """The server, of a scenario that plays on one."""
        assert self._redis is not None
        return self._redis

    async def command(self, *request: Any) -> Any:
        """Give the server a command."""
        wire = await Wire.open(parse(self.url), timeout=PATIENCE)
        try:
            return await wire.call(*request)
        finally:
            await wire.close()

    @property
    def url(self) -> str:
        return f"sqlite:///{self.store}" if self._redis is None else self._redis.url

    # Processes

    async def start(self, program: str, config: msgspec.Struct, name: str) -> Actor:
        """Start one of the programs and wait until it is ready."""
        actor = await self.launch(program, config, name)
        await self.until(
            lambda: actor.gone or self.has_noted(actor, book.READY), f"{actor.name} is ready"
        )
        if actor.gone and not self.has_noted(actor, book.READY):
            raise StuckError(f"{actor.name} could not start: {self.last_words(actor)}")
        return actor

    async def launch(
        self, program: str, config: msgspec.Struct, name: str, *, file_limit: int | None = None
    ) -> Actor:
        """Start one of the programs."""
        self._names[name] = self._names.get(name, 0) + 1
        name = f"{name}{self._names[name]}"
        with self._errors_of(name).open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *_command(program),
                msgspec.json.encode(config).decode(),
                cwd=ROOT,
                env={**os.environ, book.FOLDER: str(self.folder), book.ACTOR: name},
                stdin=asyncio.subprocess.PIPE,
                stdout=errors,
                stderr=errors,
            )
        if file_limit is not None:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file_limit, -1))
        actor = Actor(name, process)
        self.actors.append(actor)
        return actor

    async def worker(self, name: str = "worker", **config: Any) -> Actor:
        return await self.start("worker", WorkerConfig(**{"url": self.url, **config}), name)

    async def producer(self, name: str = "producer", **config: Any) -> Actor:
        config.setdefault("name", f"{name}-{self._names.get(name, 0) + 1}")
        config.setdefault("seed", self.random.randrange(1 << 30))
        return await self.start("producer", ProducerConfig(**{"url": self.url, **config}), name)

    async def kill(self, actor: Actor, fault: str = "kill -9") -> None:
        """Kill a process, and see it dead of that."""
        actor.send(signal.SIGKILL)
        await self.died(actor, fault)

    async def died(self, actor: Actor, fault: str) -> None:
        """See that a process died of signal 9."""
        if await actor.end() == -signal.SIGKILL:
            self.struck(fault)
        else:
            self.claim(False, f"{actor.name} was to die of {fault}, but: {self.last_words(actor)}")

    async def stop(self, actor: Actor) -> None:
        """Let a worker end in peace."""
        actor.send(signal.SIGTERM)
        code = await actor.end()
        self.claim(code == 0, f"{actor.name} ended with {code}: {self.last_words(actor)}")

    async def stop_all(self) -> None:
        for actor in self.actors:
            if not actor.gone:
                await self.stop(actor)

    def last_words(self, actor: Actor) -> str:
        text = self._errors_of(actor.name).read_text(errors="replace").strip()
        return " / ".join(text.splitlines()[-_LAST_WORDS:]) or "nothing on stderr"

    def _errors_of(self, name: str) -> Path:
        return self.folder / f"{name}.err"

    async def _end_orphans(self) -> None:
        """Find processes that outlived those that started them; a promise is broken then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while self._orphans():  # noqa: ASYNC110 - they are nobody's children
                    await asyncio.sleep(0.02)
        for pid in self._orphans():
            self.claim(False, f"process {pid} was left behind")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _orphans(self) -> list[int]:
        mark = f"{book.FOLDER}={self.folder}".encode()
        found = []
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # it has ended, or is somebody else's
                if mark in environment.read_bytes().split(b"\0"):
                    found.append(int(environment.parent.name))
        return found

    # The store, seen from here

    def _engine(self) -> Engine:
        if self._redis is None:
            return SqliteEngine(str(self.store), clock=self.clock)
        return open_engine(self.url)

    async def manager(self) -> QueueManager:
        if self._manager is None:
            self._manager = QueueManager(engine=self._engine())
            self._manager.register_queue(QUEUE)
            await self._manager.open()
        return self._manager

    async def add(
        self,
        ids: Iterable[str],
        name: str = "nap",
        data: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> list[str]:
        """Add jobs in one call, and write that down."""
        ids = list(ids)
        if not ids:
            return ids
        self._ledger.write(book.Invoke(ids, whole=True))
        manager = await self.manager()
        await manager.add_bulk(
            QUEUE,
            [
                {"name": name, "data": dict(data or {}), "options": {"job_id": job, **options}}
                for job in ids
            ],
        )
        self._ledger.write(book.Ok(ids))
        return ids

    async def counts(self) -> dict[str, int]:
        manager = await self.manager()
        return {str(state): n for state, n in (await manager.queue(QUEUE).counts()).items()}

    async def is_drained(self) -> bool:
        """Whether every job has ended."""
        try:
            counts = await self.counts()
        except EngineError:  # the fault strikes us, too
            return False
        return not any(n for state, n in counts.items() if state not in FINAL)

    async def drained(self, timeout: float = PATIENCE) -> None:
        """Wait until every job has ended."""
        try:
            await self.until(self.is_drained, "every job has ended", timeout)
        except StuckError as error:
            raise StuckError(f"{error}; {await self.counts()}") from None

    async def until_drained_or(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so, or nothing is left that could bring it about."""

        async def either() -> bool:
            return condition() or await self.is_drained()

        await self.until(either, "every job has ended, or what a scenario waits for is so")

    async def jobs(self, ids: Sequence[str] = ()) -> list[Any]:
        """Return jobs by id, or all."""
        queue = (await self.manager()).queue(QUEUE)
        if ids:
            return [await queue.get(job) for job in ids]
        return [job async for job in queue.each()]

    async def listing(self) -> Store:
        records = [
            Record(j.id, str(j.state), j.attempts_made, j.attempts_started, j.stalls)
            for j in await self.jobs()
        ]
        return Store(records, await self.counts())

    async def judge(self, expected: Expected) -> Verdict:
        """Count, after the faults have ended and the queue has drained."""
        manager = await self.manager()
        for finding in await manager.examine():
            self.claim(finding.level != "error", f"{finding.check}: {finding.message}")
        store = await self.listing()
        return check([line.entry for line in self.lines], store, expected)


def _command(program: str) -> Sequence[str]:
    if program == "node":
        return node.command()
    return sys.executable, "-m", f"tests.faults.programs.{program}"
