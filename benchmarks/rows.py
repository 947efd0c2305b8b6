"""The rows of the report: what is compared with what, and the goal that it is held against."""

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """How a row's values are written."""

    RATE = "jobs/s"
    MILLISECONDS = "ms"
    MEGABYTES = "MB"
    PERCENT = "% of a core"


@dataclass(frozen=True, slots=True)
class Metric:
    """One value of one trial."""

    trial: str
    value: str = "rate"


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a row's own value or on its ratio to the peer; `least` or `most` is given."""

    least: float | None = None
    most: float | None = None
    of_ratio: bool = True

    def met(self, value: float, ratio: float | None) -> bool:
        """Whether the measured figures keep the bound."""
        measured = ratio if self.of_ratio else value
        if measured is None:
            return False
        return (self.least is None or measured >= self.least) and (
            self.most is None or measured <= self.most
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the report; where several metrics are given the highest of a round counts."""

    key: str
    label: str
    unit: Unit
    ours: Metric
    against: tuple[Metric, ...] = ()
    versus: str = ""
    goals: tuple[Goal, ...] = ()

    def trials(self) -> set[str]:
        """The keys of the trials that the row needs."""
        return {metric.trial for metric in (self.ours, *self.against)}


_BULK = (Metric("bullmq.add_bulk"),)
_HUEY_ADD = (Metric("huey-sqlite.add_bulk"),)
_HUEY_BEST = tuple(Metric(f"huey-sqlite.process-{threads}") for threads in (1, 4, 16))
_BULLMQ_BEST = tuple(Metric(f"bullmq.process-{slots}") for slots in (10, 32, 100))

_ADD = Metric("toril-sqlite.add_bulk")
_ADD_EACH = Metric("toril-sqlite.add_each")
_PROCESS_100 = Metric("toril-sqlite.process-100")


def _rates() -> list[Row]:
    rate = Unit.RATE
    five = (Goal(least=5),)
    return [
        Row("add-bulk", "add_bulk, 1,000 a call", rate, _ADD, _BULK, "BullMQ addBulk", five),
        Row(
            "add-each",
            "add_job, 100 coroutines",
            rate,
            _ADD_EACH,
            _BULK,
            "BullMQ addBulk",
            (Goal(least=1),),
        ),
        Row("add-bulk-huey", "add_bulk, 1,000 a call", rate, _ADD, _HUEY_ADD, "Huey", five),
        Row("add-each-huey", "add_job, 100 coroutines", rate, _ADD_EACH, _HUEY_ADD, "Huey", five),
        _process_row(1),
        _process_row(10),
        _process_row(100, Goal(least=2)),
        Row(
            "process-best",
            "process, concurrency 100",
            rate,
            _PROCESS_100,
            _BULLMQ_BEST,
            "BullMQ, best of 10, 32, 100",
        ),
        Row(
            "process-huey",
            "process, concurrency 100",
            rate,
            _PROCESS_100,
            _HUEY_BEST,
            "Huey, best of 1, 4, 16 threads",
            five,
        ),
    ]


def _process_row(concurrency: int, *goals: Goal) -> Row:
    return Row(
        f"process-{concurrency}",
        f"process, concurrency {concurrency}",
        Unit.RATE,
        Metric(f"toril-sqlite.process-{concurrency}"),
        (Metric(f"bullmq.process-{concurrency}"),),
        "BullMQ, same concurrency",
        goals,
    )


def _pickup_row(percentile: str, most_ms: float) -> Row:
    value = f"{percentile}_ms"
    return Row(
        f"pickup-{percentile}",
        f"pickup latency, {percentile}",
        Unit.MILLISECONDS,
        Metric("toril-sqlite.pickup", value),
        (Metric("bullmq.pickup", value),),
        "BullMQ",
        (Goal(most=most_ms, of_ratio=False), Goal(most=0.5)),
    )


def _pickup_across_row(percentile: str, *goals: Goal) -> Row:
    return Row(
        f"pickup-across-{percentile}",
        f"pickup from another process, {percentile}",
        Unit.MILLISECONDS,
        Metric("toril-sqlite.pickup_across", f"{percentile}_ms"),
        goals=goals,
    )


def _idle_row(key: str, label: str, unit: Unit, value: str, most: float) -> Row:
    metric = Metric("toril-sqlite.idle", value)
    return Row(key, label, unit, metric, goals=(Goal(most=most, of_ratio=False),))


def _size_row(call: str, label: str, most: float = 1.15) -> Row:
    return Row(
        f"size-{call.replace('_', '-')}",
        label,
        Unit.MILLISECONDS,
        Metric("toril-sqlite.size", f"{call}_large_ms"),
        (Metric("toril-sqlite.size", f"{call}_small_ms"),),
        "itself, small backlog",
        (Goal(most=most),),
    )


ROWS = [
    *_rates(),
    _pickup_row("p50", 0.6),
    _pickup_row("p99", 2.0),
    _pickup_across_row("p50"),
    _pickup_across_row("p99", Goal(most=20, of_ratio=False)),
    _idle_row("idle-memory", "idle worker, resident", Unit.MEGABYTES, "resident_mb", 60),
    _idle_row("idle-cpu", "idle worker, CPU", Unit.PERCENT, "cpu_percent", 1),
    _size_row("add_1", "large backlog: add 1 job"),
    _size_row("add_100", "large backlog: add 100 jobs"),
    _size_row("process", "large backlog: process 2,000 jobs"),
    _size_row("counts", "large backlog: counts"),
    _size_row("page", "large backlog: one page of a listing"),
]
