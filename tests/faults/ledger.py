"""The ledger: what producers, workers and handlers say happened, apart from the store.

Each process has a file of its own and appends one JSON line at a time in a single write,
so that what it said before it was killed is there. Its times are of the machine's
monotonic clock, which all processes share.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

FOLDER = "FAULTS_LEDGER"
ACTOR = "FAULTS_ACTOR"
BELL = "bell"
READY = "ready"
_SUFFIX = ".jsonl"


class Invoke(msgspec.Struct, frozen=True, tag="invoke"):
    """A producer is about to add jobs; `whole` if all of them or none must be there."""

    ids: list[str]
    whole: bool = False


class Ok(msgspec.Struct, frozen=True, tag="ok"):
    """The add returned: the jobs are accepted."""

    ids: list[str]


class Fail(msgspec.Struct, frozen=True, tag="fail"):
    """The add raised an error that promises that nothing was stored."""

    ids: list[str]
    why: str


class Info(msgspec.Struct, frozen=True, tag="info"):
    """The add raised, and nobody knows whether the jobs are there."""

    ids: list[str]
    why: str


class Started(msgspec.Struct, frozen=True, tag="started"):
    """A handler runs, under the job's `number`-th lease."""

    id: str
    token: str
    number: int
    at: float


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The handler did its work to the end."""

    id: str
    token: str
    at: float


class Settled(msgspec.Struct, frozen=True, tag="settled"):
    """The store answered a settlement whose call began at `begun`."""

    id: str
    token: str
    number: int
    kind: str
    begun: float
    taken: bool


class Heard(msgspec.Struct, frozen=True, tag="heard"):
    """A worker announced that a job completed."""

    id: str
    token: str


class Lost(msgspec.Struct, frozen=True, tag="lost"):
    """A worker found that a lease of its own had run out."""

    id: str
    token: str


class Stalled(msgspec.Struct, frozen=True, tag="stalled"):
    """A worker took a job from another whose lease had run out."""

    id: str
    poisoned: bool


class Reached(msgspec.Struct, frozen=True, tag="reached"):
    """A process is at the point where it was asked to end or to stop."""

    point: str


class Struck(msgspec.Struct, frozen=True, tag="struck"):
    """A fault that was seen to happen."""

    fault: str


class Said(msgspec.Struct, frozen=True, tag="said"):
    """What a process logged, or noted."""

    level: str
    text: str


Entry: TypeAlias = (
    Invoke
    | Ok
    | Fail
    | Info
    | Started
    | Ended
    | Settled
    | Heard
    | Lost
    | Stalled
    | Reached
    | Struck
    | Said
)


class Line(NamedTuple):
    """An entry, and who wrote it."""

    actor: str
    entry: Entry


def now() -> float:
    return time.monotonic()


class Ledger:
    """One process's file. May be written from any thread."""

    def __init__(self, folder: Path, actor: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(folder / f"{actor}.{os.getpid()}{_SUFFIX}", flags, 0o600)
        self._bell: int | None = None
        with contextlib.suppress(OSError):  # nobody listens
            self._bell = os.open(folder / BELL, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    @classmethod
    def from_environment(cls) -> Ledger:
        return cls(Path(os.environ[FOLDER]), os.environ[ACTOR])

    def write(self, entry: Entry) -> None:
        os.write(self._file, msgspec.json.encode(entry) + b"\n")
        if self._bell is not None:
            with contextlib.suppress(OSError):  # it is full: it has been rung already
                os.write(self._bell, b".")

    def close(self) -> None:
        os.close(self._file)
        if self._bell is not None:
            os.close(self._bell)


class Reader:
    """Reads all ledgers of a folder, from where it left off.

    A last line without its end is left for the next time: who was killed while writing
    it has not said it.
    """

    def __init__(self, folder: Path) -> None:
        self.lines: list[Line] = []
        self._folder = folder
        self._offsets: dict[Path, int] = {}
        self._decoder = msgspec.json.Decoder(Entry)

    def read(self) -> list[Line]:
        """Return what was added since the last time."""
        new: list[Line] = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                whole, _, _ = file.read().rpartition(b"\n")
            if whole:
                self._offsets[path] = self._offsets.get(path, 0) + len(whole) + 1
                actor = path.name.partition(".")[0]
                new += [Line(actor, self._decoder.decode(row)) for row in whole.split(b"\n")]
        self.lines += new
        return new
