"""What passes between the benchmark and the process that measures."""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec


class Scenario(StrEnum):
    """What can be measured of a peer."""

    ADD_BULK = "add_bulk"
    """Jobs a second, added in the peer's best way from one producer."""
    ADD_EACH = "add_each"
    """Jobs a second, added one a call by many concurrent callers."""
    PROCESS = "process"
    """Jobs a second, from a queue that was filled before."""
    PICKUP = "pickup"
    """Time from the add to the handler's start, idle worker in the same process."""
    PICKUP_ACROSS = "pickup_across"
    """The same, with the producer in another process."""
    IDLE = "idle"
    """Memory and CPU of a worker without work."""
    PAIR = "pair"
    """Jobs a second of two worker processes, and what then is the limit."""
    STORE_TIME = "store_time"
    """How long the store itself works on a job."""
    CROWD = "crowd"
    """Cost of a job beside many that are delayed, that run, or that belong to other keys."""
    SIZE = "size"
    """Cost of a call with few jobs queued, and with many."""


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """How much to measure, and where."""

    jobs: int = 10_000
    concurrency: int = 1
    samples: int = 500
    """Timed calls, for latencies and for costs."""
    seconds: float = 10.0
    """How long an idle worker is watched."""
    small: int = 1_000
    large: int = 1_000_000
    """The two sizes of backlog that are compared."""
    scratch: str = ""
    """An empty directory of this trial."""
    shelf: str = ""
    """A directory that lasts for the whole run: what is slow to make is kept here."""
    appendfsync: str | None = None
    """When Redis syncs its log of writes; None keeps nothing on the disk."""
    latency_ms: float = 0.0
    """What the way to Redis and back takes beside what it takes anyway."""
    redis_port: int | None = None


class Runs(msgspec.Struct, frozen=True):
    """How often the jobs' handlers ran."""

    expected: int
    ran: int
    """How many of the expected jobs ran at least once."""
    runs: int
    """How many runs there were in all."""

    @classmethod
    def tally(cls, expected: Iterable[str], ran: Sequence[str]) -> "Runs":
        """Hold the ids that ran, in any order, against the ids that were added."""
        known, counts = set(expected), Counter(ran)
        return cls(len(known), len(known & counts.keys()), len(ran))


class Stored(msgspec.Struct, frozen=True):
    """How many jobs the store holds at the end."""

    expected: int
    stored: int


class Measurement(msgspec.Struct, frozen=True):
    """What one trial found; the names of the values are the scenario's."""

    values: dict[str, float]
    runs: Runs | None = None
    stored: Stored | None = None

    def verify(self) -> None:
        """Raise unless every job was stored and ran exactly once."""
        if self.stored and self.stored.expected != self.stored.stored:
            raise WrongCountError(f"{self.stored.stored} of {self.stored.expected} jobs are stored")
        if self.runs and not self.runs.expected == self.runs.ran == self.runs.runs:
            raise WrongCountError(
                f"of {self.runs.expected} jobs {self.runs.ran} ran, in {self.runs.runs} runs"
            )


class WrongCountError(Exception):
    """A job was lost or ran more than once."""
