"""From the ledgers and the store's final listing to a verdict, and nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.ledger import (
    Ended,
    Entry,
    Fail,
    Heard,
    Info,
    Invoke,
    Ok,
    Settled,
    Started,
    Struck,
)

FINAL = frozenset({"completed", "failed"})
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Record:
    """A job as the store lists it at the end."""

    id: str
    state: str
    attempts_made: int = 1
    attempts_started: int = 1
    stalls: int = 0


@dataclass(frozen=True, slots=True)
class Store:
    """What the store lists, and what it says it has."""

    records: Sequence[Record]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a scenario promises of its run.

    Attributes:
        faults: At least this many faults strike.
        extra_runs: At most this many runs beyond the one that each attempt needs.
        drained: Every job has ended.
        dead: The jobs that are to fail.
        forgotten: The jobs that the store may have lost, because it was emptied.
    """

    faults: int = 1
    extra_runs: int = 0
    drained: bool = True
    dead: frozenset[str] = frozenset()
    forgotten: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checker found. Each word is one of its questions; empty is as it should be.

    Attributes:
        lost: Accepted, but not there, not ended, or ended without having run.
        phantom: There, or run, although it was never invoked or its add failed.
        doubled: One id, two records.
        torn: Of jobs that were added all or none, some.
        stale: Settled, or announced, without the lease.
        conserved: What was accepted is not the sum over the states.
        wrong: It ended otherwise than it should have.
        faults: How many struck.
        accepted: How many jobs were.
        runs: How often a handler began.
        extra: Runs beyond the one that each attempt needs.
        problems: The above in words; a run without any is green.
    """

    lost: list[str]
    phantom: list[str]
    doubled: list[str]
    torn: list[str]
    stale: list[str]
    conserved: list[str]
    wrong: list[str]
    faults: int
    accepted: int
    runs: int
    extra: int
    problems: list[str] = field(default_factory=list)

    @property
    def green(self) -> bool:
        return not self.problems


class _History:
    """The ledgers' entries, by what is asked of them."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.invoked: set[str] = set()
        self.accepted: set[str] = set()
        self.failed: set[str] = set()
        self.unsure: set[str] = set()
        self.batches: list[list[str]] = []
        self.runs: defaultdict[str, list[Started]] = defaultdict(list)
        self.ended: set[str] = set()
        self.settled: list[Settled] = []
        self.heard: list[Heard] = []
        self.faults = 0
        for entry in entries:
            self._add(entry)
        self.unsure |= self.invoked - self.accepted - self.failed

    def forget(self, jobs: Iterable[str]) -> None:
        """Do not ask for jobs that may be gone; what else was said of them counts."""
        self.accepted.difference_update(jobs)

    def _add(self, entry: Entry) -> None:
        match entry:
            case Invoke(ids, whole):
                self.invoked.update(ids)
                if whole:
                    self.batches.append(ids)
            case Ok(ids):
                self.accepted.update(ids)
            case Fail(ids):
                self.failed.update(ids)
            case Info(ids):
                self.unsure.update(ids)
            case Struck():
                self.faults += 1
            case _:
                self._add_run(entry)

    def _add_run(self, entry: Entry) -> None:
        match entry:
            case Started():
                self.runs[entry.id].append(entry)
            case Ended():
                self.ended.add(entry.id)
            case Settled():
                self.settled.append(entry)
            case Heard():
                self.heard.append(entry)
            case _:
                pass


def check(entries: Iterable[Entry], store: Store, expected: Expected) -> Verdict:
    """Judge a run.

    Args:
        entries: All that was written down, in any order.
        store: What the store holds after it.
        expected: What the scenario promises.
    """
    history = _History(entries)
    history.forget(expected.forgotten - {record.id for record in store.records})
    verdict = Verdict(
        lost=sorted(_lost(history, store, expected)),
        phantom=sorted(_phantoms(history, store)),
        doubled=sorted(i for i, n in Counter(r.id for r in store.records).items() if n > 1),
        torn=sorted(_torn(history, store)),
        stale=sorted(set(_stale(history, store))),
        conserved=list(_unbalanced(history, store)),
        wrong=sorted(_wrong(store, expected)),
        faults=history.faults,
        accepted=len(history.accepted),
        runs=sum(len(runs) for runs in history.runs.values()),
        extra=sum(_extra_runs(history, store)),
    )
    verdict.problems.extend(_problems(verdict, expected))
    return verdict


def _problems(verdict: Verdict, expected: Expected) -> Iterator[str]:
    for word in ("lost", "phantom", "doubled", "torn", "stale", "wrong"):
        found = getattr(verdict, word)
        if found:
            more = ", …" if len(found) > _SHOWN else ""
            yield f"{len(found)} {word}: {', '.join(found[:_SHOWN])}{more}"
    yield from verdict.conserved
    if verdict.faults < max(expected.faults, 1):
        yield f"{verdict.faults} faults struck where {max(expected.faults, 1)} should have"
    if not verdict.accepted:
        yield "nothing was accepted"
    if verdict.extra > expected.extra_runs:
        yield f"{verdict.extra} extra runs where {expected.extra_runs} may be"


def _lost(history: _History, store: Store, expected: Expected) -> Iterator[str]:
    states = {record.id: record.state for record in store.records}
    for job in history.accepted:
        state = states.get(job)
        if (
            state is None
            or (expected.drained and state not in FINAL)
            or (state == "completed" and job not in history.ended)
        ):
            yield job


def _phantoms(history: _History, store: Store) -> set[str]:
    seen = {record.id for record in store.records} | history.runs.keys()
    return (seen - history.invoked) | (seen & (history.failed - history.unsure - history.accepted))


def _torn(history: _History, store: Store) -> Iterator[str]:
    there = {record.id for record in store.records}
    for ids in history.batches:
        some = there.intersection(ids)
        if some and len(some) < len(ids):
            yield f"{ids[0]} with {len(some)} of {len(ids)}"


def _stale(history: _History, store: Store) -> Iterator[str]:
    """Yield settlements that were taken, or heard of, without the lease.

    A later lease is known by its number: where a handler had begun under one before the
    settlement was sent, or where the store counts one after a settlement that ended the
    job, the earlier lease was gone.
    """
    taken = [settled for settled in history.settled if settled.taken]
    by_token = Counter((settled.id, settled.token) for settled in taken)
    yield from (job for (job, _), times in by_token.items() if times > 1)
    yield from (heard.id for heard in history.heard if (heard.id, heard.token) not in by_token)
    leases = {record.id: record.attempts_started for record in store.records}
    finals: defaultdict[str, set[str]] = defaultdict(set)
    for settled in taken:
        later = [run for run in history.runs[settled.id] if run.number > settled.number]
        if any(run.at < settled.begun for run in later):
            yield settled.id
        if settled.kind in ("Complete", "Fail"):
            finals[settled.id].add(settled.token)
            if leases.get(settled.id, 0) > settled.number:
                yield settled.id
    yield from (job for job, tokens in finals.items() if len(tokens) > 1)
    for job, runs in history.runs.items():
        ordered = sorted(runs, key=lambda run: run.number)
        if any(a.number == b.number for a, b in pairwise(ordered)):
            yield job  # two leases of one number: the same lease was given out twice


def _unbalanced(history: _History, store: Store) -> Iterator[str]:
    there = Counter(record.state for record in store.records)
    counted = {state: n for state, n in store.counts.items() if n}
    if dict(there) != counted:
        yield f"the store counts {counted} and lists {dict(there)}"
    unsure = sum(1 for r in store.records if r.id in history.unsure - history.accepted)
    accepted = len(history.accepted) + unsure
    if sum(counted.values()) != accepted:
        yield f"{accepted} were accepted and {sum(counted.values())} are in the states"


def _wrong(store: Store, expected: Expected) -> Iterator[str]:
    for record in store.records:
        if record.state in FINAL and (record.state == "failed") != (record.id in expected.dead):
            yield f"{record.id} {record.state}"


def _extra_runs(history: _History, store: Store) -> Iterator[int]:
    made = {record.id: record.attempts_made for record in store.records}
    back = {(s.id, s.token) for s in history.settled if s.taken and s.kind == "Release"}
    for job, runs in history.runs.items():
        counted = sum(1 for run in runs if (job, run.token) not in back)
        yield max(0, counted - max(1, made.get(job, 1)))
