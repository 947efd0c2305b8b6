"""No room: adds are refused as a whole, workers wait, and go on when room is made."""

from __future__ import annotations

import resource
import signal
import subprocess
import time

from tests.faults.actor import Actor
from tests.faults.checker import Expected
from tests.faults.ledger import READY, Fail, Info, Started
from tests.faults.programs.producer import ProducerConfig
from tests.faults.programs.worker import WorkerConfig
from tests.faults.scenario import Scale, scenario
from tests.faults.stage import Stage

SIZES = (256 * 1024, 2 * 1024 * 1024)  # of the disk, one after the other
FILE_SIZES = (512 * 1024, 3 * 1024 * 1024)
ENOUGH = 64 * 1024 * 1024
SLOTS = 5
LEASE = 1.0
LONG = 12.0
SIZE = 500
AT_ONCE = 8.0
WAYS = ({"bulk": 1, "lanes": 4}, {"bulk": 20, "lanes": 1})
FULL = "the disk is full"


class Disk:
    """A small disk: a tmpfs where this user may mount one, else a limit on file sizes."""

    def __init__(self, stage: Stage, *, mounted: bool) -> None:
        self._stage = stage
        self._folder = stage.folder / "disk"
        self._folder.mkdir()
        self.mounted = mounted and self._mount("-t", "tmpfs", "-o", f"size={SIZES[0]}", "tmpfs")
        if self.mounted:
            stage.at_end(lambda: subprocess.run(["umount", "-l", self._folder], check=True))
        else:
            stage.notes.append("the disk is a limit on the size of files")
        stage.store = self._folder / "toril.db"
        self._limit = FILE_SIZES[0]
        self._limited: list[Actor] = []

    def _mount(self, *how: str) -> bool:
        mount = ["mount", *how, str(self._folder)]
        return subprocess.run(mount, check=False, capture_output=True).returncode == 0

    async def worker(self, **config: object) -> Actor:
        return await self._start("worker", WorkerConfig(url=self._stage.url, **config))

    async def producer(self, way: dict[str, int], name: str) -> Actor:
        config = ProducerConfig(
            url=self._stage.url, name=name, until_full=True, size=SIZE, ms=10, **way
        )
        return await self._start("producer", config)

    async def _start(self, program: str, config: WorkerConfig | ProducerConfig) -> Actor:
        limit = None if self.mounted else self._limit
        actor = await self._stage.launch(program, config, program, file_limit=limit)
        await self._stage.until(lambda: self._stage.has_noted(actor, READY), f"{actor.name} begins")
        self._limited.append(actor)
        return actor

    def grow(self, turn: int | None = None) -> None:
        """Make room, at last more than anybody can use."""
        if self.mounted:
            size = ENOUGH if turn is None else SIZES[turn]
            room = self._mount("-o", f"remount,size={size}")
            self._stage.claim(room, "the disk could not be made larger")
            return
        self._limit = ENOUGH if turn is None else FILE_SIZES[turn]
        for actor in self._limited:
            if not actor.gone:
                resource.prlimit(actor.pid, resource.RLIMIT_FSIZE, (self._limit, -1))


async def _fill(stage: Stage, disk: Disk, turn: int = 0) -> None:
    """Add jobs in both ways until each producer has heard that there is no room."""
    producers = [await disk.producer(way, f"fill{turn}-{n}") for n, way in enumerate(WAYS)]
    for producer in producers:
        code = await producer.end()
        stage.claim(code == 0, f"{producer.name} ended with {code}: {stage.last_words(producer)}")
        refused = stage.said(Fail, producer)
        stage.claim(bool(refused), f"{producer.name} never heard that the disk is full")
        if refused:
            stage.struck(f"{producer.name}: {refused[0].why}")
        for unsure in stage.said(Info, producer)[:1]:
            stage.claim(False, f"{producer.name} was not told why: {unsure.why}")


async def _work_on_a_full_disk(stage: Stage, *, mounted: bool) -> Expected:
    disk = Disk(stage, mounted=mounted)
    await stage.manager()
    worker = await disk.worker(concurrency=SLOTS, lease=LEASE)
    for turn in range(len(SIZES)):
        disk.grow(turn)
        await _fill(stage, disk, turn)
    disk.grow()
    await stage.add(["after-1", "after-2"])
    await stage.drained()
    await stage.stop(worker)
    waits = sum(FULL in said for said in stage.warnings(worker))
    stage.notes.append(f"the worker was told {waits} times that there is no room, and waited")
    return Expected(faults=len(WAYS) * len(SIZES), extra_runs=SLOTS * len(SIZES))


@scenario("full-disk")
async def full_disk(stage: Stage, scale: Scale) -> Expected:
    """A disk of 256 KB fills up while a worker runs, is made larger, and fills up again."""
    return await _work_on_a_full_disk(stage, mounted=True)


@scenario("file-limit")
async def file_limit(stage: Stage, scale: Scale) -> Expected:
    """The same where the disk has room and the process may not use it, as with a quota."""
    return await _work_on_a_full_disk(stage, mounted=False)


@scenario("full-disk-forced")
async def full_disk_forced(stage: Stage, scale: Scale) -> Expected:
    """A worker that cannot settle what it holds ends all the same when it is forced to."""
    disk = Disk(stage, mounted=True)
    await stage.manager()
    worker = await disk.worker(concurrency=SLOTS, lease=LONG, grace=600, cancel_grace=0.2)
    held = await stage.add([f"held-{n}" for n in range(SLOTS)], "hold")
    await stage.until(lambda: len(stage.said(Started)) >= SLOTS, "the jobs run")
    await _fill(stage, disk)
    await stage.until(lambda: any(FULL in s for s in stage.warnings(worker)), "it finds it full")
    worker.send(signal.SIGTERM)
    await stage.until(lambda: stage.has_noted(worker, "stopping:"), "it says that it stops")
    asked = time.monotonic()
    worker.send(signal.SIGTERM)
    await worker.end()
    took = time.monotonic() - asked
    stage.notes.append(f"the worker was gone {took:.1f} s after the second SIGTERM")
    stage.claim(took < AT_ONCE, f"it took {took:.1f} s to end by force")
    disk.grow()
    await stage.worker(concurrency=SLOTS, lease=LEASE)
    await stage.drained()
    await stage.stop_all()
    return Expected(faults=len(WAYS), extra_runs=len(held))
