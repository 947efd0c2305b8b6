"""Fills a disk with jobs, makes room, and says what it saw at each step as JSON.

The folder is on a small file system, or the size of files is limited by the system.
"""

import asyncio
import json
import os
import resource
import sys
from collections.abc import Awaitable
from pathlib import Path

import msgspec

from tests.conformance.support import LEASE_MS, OTHER_QUEUE, QUEUE
from tests.engine.sqlite.support import batch, total
from toril.engine.contract.hot_path import Batch, Fetch
from toril.engine.sqlite import SqliteEngine
from toril.errors import TorilError
from toril.model.job import Lease
from toril.model.options import Keep
from toril.model.settlement import Complete, FollowUp, follow_up_id

PER_BATCH = 20
BYTES = 1_000


def limit_files(size: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size < 0 else size, hard))


class Disk:
    """A disk on which room can be taken away and given back."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._ballast = None if kind == "file-size-limit" else folder / "ballast"

    def leave(self, room: int) -> None:
        """Leave so many bytes."""
        if self._ballast is None:
            largest = max((file.stat().st_size for file in self._folder.iterdir()), default=0)
            limit_files(largest + room)
        else:
            disk = os.statvfs(self._folder)
            self._ballast.write_bytes(b"x" * (disk.f_bavail * disk.f_frsize - room))

    def make_room(self) -> None:
        if self._ballast is None:
            limit_files(-1)
        else:
            self._ballast.unlink()


async def outcome(call: Awaitable[object]) -> str:
    try:
        await call
    except TorilError as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def follow_ups(lease: Lease) -> tuple[FollowUp, ...]:
    """Return more jobs for the other queue than the disk has room for."""
    jobs = batch(PER_BATCH, BYTES)
    return tuple(
        FollowUp(OTHER_QUEUE, msgspec.structs.replace(job, id=follow_up_id(lease, place)))
        for place, job in enumerate(jobs)
    )


async def fill_while_working(folder: Path, disk: Disk) -> dict[str, object]:
    """Add until there is no room; look, make room, go on; look again in a new engine."""
    path = str(folder / "jobs.db")
    engine = SqliteEngine(path)
    await engine.queues.register(OTHER_QUEUE)
    await engine.add(QUEUE, batch(3, prefix="first"))
    lease = (await engine.exchange(QUEUE, [], Fetch(1, "worker", LEASE_MS * 100))).leases[0]
    done = Complete(lease, None, Keep(count=0), follow_ups(lease))
    disk.leave(200 << 10)
    accepted = 0
    while True:
        new = batch(PER_BATCH, BYTES, f"b{accepted}")
        refused = await outcome(engine.add(QUEUE, new, Batch("producer", accepted + 1)))
        if refused != "done":
            break
        accepted += 1
    seen: dict[str, object] = {"accepted": accepted, "refused": refused}
    seen["while full"] = await total(engine)
    seen["together"] = sorted(
        {
            one.partition(":")[0]
            for one in await asyncio.gather(
                *(outcome(engine.add(QUEUE, batch(PER_BATCH, BYTES, f"x{n}"))) for n in range(5))
            )
        }
    )
    seen["settled while full"] = await outcome(engine.exchange(QUEUE, [done], None))
    seen["follow-ups while full"] = await total(engine, OTHER_QUEUE)
    disk.make_room()
    again = await engine.add(QUEUE, new, Batch("producer", accepted + 1))
    seen["again"] = sorted({added.status for added in again})
    seen["settled"] = list((await engine.exchange(QUEUE, [done], None)).results)
    seen["follow-ups"] = await total(engine, OTHER_QUEUE)
    seen["after"] = await total(engine)
    await engine.close()
    later = SqliteEngine(path)
    seen["reopened"] = await total(later)
    page = await later.jobs.page(QUEUE, limit=10_000)
    seen["whole"] = all(len(job.data) in {10, BYTES} for job in page.jobs)
    findings = await later.examine()
    seen["sound"] = [one.level for one in findings if one.check == "integrity"]
    await later.close()
    return seen


async def open_while_full(folder: Path, disk: Disk) -> dict[str, object]:
    """Open a new store where there is no room for it; make room, and open it again."""
    path = str(folder / "new.db")
    disk.leave(40 << 10)
    engine = SqliteEngine(path)
    seen: dict[str, object] = {"refused": await outcome(engine.queues.register(QUEUE))}
    disk.make_room()
    seen["after"] = await outcome(engine.queues.register(QUEUE))
    await engine.add(QUEUE, batch(3))
    seen["jobs"] = await total(engine)
    await engine.close()
    return seen


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


async def main(folder: Path, kind: str) -> None:
    print(json.dumps(await fill_while_working(folder, Disk(folder, kind))), flush=True)
    empty(folder)
    print(json.dumps(await open_while_full(folder, Disk(folder, kind))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
