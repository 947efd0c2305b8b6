"""The rows of the report: what is compared with what, and the goal that it is held against."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from benchmarks.trials import PYTHON_PEERS


class Unit(StrEnum):
    """How a row's values are written."""

    RATE = "jobs/s"
    MILLISECONDS = "ms"
    MEGABYTES = "MB"
    PERCENT = "% of a core"
    MICROSECONDS = "µs"


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
_BULLMQ_BEST = tuple(Metric(f"bullmq.process-{slots}") for slots in (10, 32, 100))
_BULLMQ = "BullMQ, same concurrency"


@dataclass(frozen=True, slots=True)
class Engine:
    """One of Toril's engines, its Python peers, and the goals of its rows."""

    name: str
    title: str
    peers: str
    peers_add: tuple[Metric, ...]
    peers_process: tuple[Metric, ...]
    add_bulk: float
    add_each: float
    process: dict[int, float | None]
    against_peers: float
    pickup: tuple[Goal, ...] = ()
    is_server: bool = False

    def metric(self, scenario: str, value: str = "rate") -> Metric:
        """The value of one of the engine's own trials."""
        return Metric(f"toril-{self.name}.{scenario}", value)

    def rows(self) -> list[Row]:
        """All rows of the engine."""
        return [
            *self._rates(),
            *(self._on_a_server() if self.is_server else []),
            *self._latencies(),
            *self._idle(),
            *self._sizes(),
            *self._crowds(),
        ]

    def _on_a_server(self) -> list[Row]:
        """What two processes reach, and how long the server itself works on a job."""
        pair, one = self.metric("pair-100"), self.metric("process-100")
        time, percent = Unit.MICROSECONDS, Unit.PERCENT
        add, exchange = (self.metric("store_time", f"{call}_us") for call in ("add", "exchange"))
        redis, worker = (self.metric("pair-100", f"{who}_percent") for who in ("redis", "worker"))
        return [
            self._row("pair", "process, two workers of 100", pair, (one,), "one worker of 100"),
            self._named("pair-redis", "then, Redis", percent, redis),
            self._named("pair-worker", "then, the busier worker", percent, worker),
            self._named("time-add", "its own time, add", time, add, goals=_at_most(15)),
            self._named("time-exchange", "its own time, work", time, exchange, goals=_at_most(40)),
        ]

    def _crowds(self) -> list[Row]:
        return [
            self._named(
                f"crowd-{kind}",
                f"50 jobs beside {label}",
                Unit.MILLISECONDS,
                self.metric("crowd", f"{kind}_large_ms"),
                (self.metric("crowd", f"{kind}_small_ms"),),
                "beside a thousandth",
                (Goal(most=1.15),),
            )
            for kind, label in _CROWDS.items()
        ]

    def _row(
        self,
        key: str,
        label: str,
        ours: Metric,
        against: tuple[Metric, ...],
        versus: str,
        *,
        least: float | None = None,
    ) -> Row:
        goals = () if least is None else (Goal(least=least),)
        return self._named(key, label, Unit.RATE, ours, against, versus, goals)

    def _named(self, key: str, label: str, *rest: Any, **more: Any) -> Row:
        """A row that says which engine it is of."""
        return Row(f"{self.name}-{key}", f"{self.title}: {label}", *rest, **more)

    def _rates(self) -> list[Row]:
        bulk, each = self.metric("add_bulk"), self.metric("add_each")
        most = self.metric("process-100")
        bulk_label, each_label = "add_bulk, 1,000 a call", "add_job, 100 coroutines"
        best = "BullMQ, best of 10, 32, 100"
        return [
            self._row("add-bulk", bulk_label, bulk, _BULK, "BullMQ addBulk", least=self.add_bulk),
            self._row("add-each", each_label, each, _BULK, "BullMQ addBulk", least=self.add_each),
            self._row("add-bulk-peers", bulk_label, bulk, self.peers_add, self.peers),
            *(self._process_row(slots, least) for slots, least in self.process.items()),
            self._row("process-best", "process, concurrency 100", most, _BULLMQ_BEST, best),
            self._row(
                "process-peers",
                "process, concurrency 100",
                most,
                self.peers_process,
                self.peers,
                least=self.against_peers,
            ),
        ]

    def _process_row(self, slots: int, least: float | None) -> Row:
        label, ours = f"process, concurrency {slots}", self.metric(f"process-{slots}")
        against = (Metric(f"bullmq.process-{slots}"),)
        return self._row(f"process-{slots}", label, ours, against, _BULLMQ, least=least)

    def _latencies(self) -> list[Row]:
        rows = []
        for percentile, goals in (("p50", self.pickup[:2]), ("p99", self.pickup[2:])):
            value = f"{percentile}_ms"
            rows.append(
                self._named(
                    f"pickup-{percentile}",
                    f"pickup latency, {percentile}",
                    Unit.MILLISECONDS,
                    self.metric("pickup", value),
                    (Metric("bullmq.pickup", value),),
                    "BullMQ",
                    goals,
                )
            )
            rows.append(
                self._named(
                    f"pickup-across-{percentile}",
                    f"pickup from another process, {percentile}",
                    Unit.MILLISECONDS,
                    self.metric("pickup_across", value),
                    goals=(Goal(most=20, of_ratio=False),) if percentile == "p99" else (),
                )
            )
        return rows

    def _idle(self) -> list[Row]:
        memory, cpu = self.metric("idle", "resident_mb"), self.metric("idle", "cpu_percent")
        megabytes, percent = Unit.MEGABYTES, Unit.PERCENT
        most_mb, most_cpu = (Goal(most=60, of_ratio=False),), (Goal(most=1, of_ratio=False),)
        return [
            self._named("idle-memory", "idle, resident", megabytes, memory, goals=most_mb),
            self._named("idle-cpu", "idle, CPU", percent, cpu, goals=most_cpu),
        ]

    def _sizes(self) -> list[Row]:
        return [
            self._named(
                f"size-{call.replace('_', '-')}",
                f"large backlog: {label}",
                Unit.MILLISECONDS,
                self.metric("size", f"{call}_large_ms"),
                (self.metric("size", f"{call}_small_ms"),),
                "itself, small backlog",
                (Goal(most=1.15),),
            )
            for call, label in _SIZED.items()
        ]


def _at_most(value: float) -> tuple[Goal, ...]:
    return (Goal(most=value, of_ratio=False),)


_CROWDS = {
    "delayed": "1,000,000 delayed",
    "active": "100,000 that run",
    "tenants": "those of 10,000 keys",
}
_SIZED = {
    "add_1": "add 1 job",
    "add_100": "add 100 jobs",
    "process": "process 2,000 jobs",
    "counts": "counts",
    "page": "one page of a listing",
}

EMBEDDED = Engine(
    "sqlite",
    "embedded",
    peers="Huey, best of 1, 4, 16 threads",
    peers_add=(Metric("huey-sqlite.add_bulk"),),
    peers_process=tuple(Metric(f"huey-sqlite.process-{threads}") for threads in (1, 4, 16)),
    add_bulk=5,
    add_each=1,
    process={1: None, 10: None, 100: 2},
    against_peers=5,
)
REDIS = Engine(
    "redis",
    "Redis",
    is_server=True,
    peers="best of the Python peers on Redis",
    peers_add=tuple(Metric(f"{peer}.add_bulk") for peer in PYTHON_PEERS),
    peers_process=tuple(
        Metric(f"{peer}.process-{slots}") for peer, best in PYTHON_PEERS.items() for slots in best
    ),
    add_bulk=5,
    add_each=3,
    process={1: 1.3, 10: 1.6, 100: 3},
    against_peers=8,
    pickup=(
        Goal(most=0.6, of_ratio=False),
        Goal(most=0.5),
        Goal(most=2.0, of_ratio=False),
        Goal(most=0.5),
    ),
)
ROWS = [*EMBEDDED.rows(), *REDIS.rows()]
