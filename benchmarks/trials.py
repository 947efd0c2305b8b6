"""What is measured: each trial is one peer in one scenario with its own parameters."""

from dataclasses import dataclass

from msgspec.structs import replace

from benchmarks.measurement import Params, Scenario


@dataclass(frozen=True, slots=True)
class Trial:
    """One process's work in a round."""

    peer: str
    scenario: Scenario
    concurrency: int | None = None

    @property
    def key(self) -> str:
        """The trial's name in rows and results."""
        suffix = "" if self.concurrency is None else f"-{self.concurrency}"
        return f"{self.peer}.{self.scenario}{suffix}"

    def params(self, common: Params) -> Params:
        """The run's parameters with the trial's own."""
        return replace(common, concurrency=self.concurrency or 1)


PYTHON_PEERS: dict[str, tuple[int, ...]] = {
    "saq": (32, 100),
    "taskiq-list": (100,),
    "taskiq-stream": (100,),
    "dramatiq": (4, 8),
    "huey-redis": (4, 16),
    "celery": (1, 2),
}
"""The Python peers on Redis, and the concurrencies that are tried of each."""


def _all() -> list[Trial]:
    """Trials of one scenario stand together, so that their ratio is taken close in time."""
    return [
        Trial("toril-sqlite", Scenario.ADD_BULK),
        Trial("toril-redis", Scenario.ADD_BULK),
        Trial("bullmq", Scenario.ADD_BULK),
        *(Trial(peer, Scenario.ADD_BULK) for peer in PYTHON_PEERS),
        Trial("toril-sqlite", Scenario.ADD_EACH),
        Trial("toril-redis", Scenario.ADD_EACH),
        Trial("huey-sqlite", Scenario.ADD_BULK),
        Trial("toril-sqlite", Scenario.PROCESS, 1),
        Trial("toril-redis", Scenario.PROCESS, 1),
        Trial("bullmq", Scenario.PROCESS, 1),
        Trial("huey-sqlite", Scenario.PROCESS, 1),
        Trial("toril-sqlite", Scenario.PROCESS, 10),
        Trial("toril-redis", Scenario.PROCESS, 10),
        Trial("bullmq", Scenario.PROCESS, 10),
        Trial("huey-sqlite", Scenario.PROCESS, 4),
        Trial("bullmq", Scenario.PROCESS, 32),
        Trial("toril-sqlite", Scenario.PROCESS, 100),
        Trial("toril-redis", Scenario.PROCESS, 100),
        Trial("bullmq", Scenario.PROCESS, 100),
        Trial("huey-sqlite", Scenario.PROCESS, 16),
        *(
            Trial(peer, Scenario.PROCESS, slots)
            for peer, best in PYTHON_PEERS.items()
            for slots in best
        ),
        Trial("toril-sqlite", Scenario.PICKUP),
        Trial("toril-redis", Scenario.PICKUP),
        Trial("bullmq", Scenario.PICKUP),
        Trial("toril-sqlite", Scenario.PICKUP_ACROSS),
        Trial("toril-redis", Scenario.PICKUP_ACROSS),
        Trial("toril-redis", Scenario.PAIR, 100),
        Trial("toril-redis", Scenario.STORE_TIME),
        Trial("toril-sqlite", Scenario.CROWD),
        Trial("toril-redis", Scenario.CROWD),
        Trial("toril-sqlite", Scenario.IDLE),
        Trial("toril-redis", Scenario.IDLE),
        Trial("toril-sqlite", Scenario.SIZE),
        Trial("toril-redis", Scenario.SIZE),
    ]


TRIALS = {trial.key: trial for trial in _all()}
