"""The peers: one small adapter each, run in a process of its own.

An adapter is a module with a function `run(scenario, params) -> Measurement`.
A new peer is one such module and one line in `PEERS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.measurement import Measurement, Params, Scenario
from benchmarks.needs import Need, distribution, node_modules, program

Run: TypeAlias = Callable[[Scenario, Params], Measurement]


@dataclass(frozen=True, slots=True)
class Peer:
    """A system under measurement."""

    title: str
    module: str
    needs: tuple[Need, ...]
    uses_redis: bool = False

    def missing(self) -> list[str]:
        """What the peer needs and this machine has not, as sentences."""
        return [sentence for need in self.needs if (sentence := need())]


_REDIS = program("redis-server")

PEERS = {
    "toril-sqlite": Peer(
        title="Toril, embedded (SQLite, synchronous=FULL)",
        module="benchmarks.peers.toril.sqlite",
        needs=(distribution("toril"),),
    ),
    "toril-redis": Peer(
        title="Toril on Redis (no persistence)",
        module="benchmarks.peers.toril.redis",
        needs=(_REDIS, distribution("toril")),
        uses_redis=True,
    ),
    "bullmq": Peer(
        title="BullMQ on Node (Redis, no persistence)",
        module="benchmarks.peers.bullmq",
        needs=(program("redis-server"), program("node"), node_modules("bullmq")),
        uses_redis=True,
    ),
    "huey-sqlite": Peer(
        title="Huey (SQLite, threads, synchronous=FULL)",
        module="benchmarks.peers.huey_sqlite",
        needs=(distribution("huey"),),
    ),
    "huey-redis": Peer(
        title="Huey (Redis, threads)",
        module="benchmarks.peers.huey_redis",
        needs=(_REDIS, distribution("huey")),
        uses_redis=True,
    ),
    "saq": Peer(
        title="SAQ (Redis)",
        module="benchmarks.peers.saq_redis",
        needs=(_REDIS, distribution("saq")),
        uses_redis=True,
    ),
    "taskiq-list": Peer(
        title="Taskiq (Redis list)",
        module="benchmarks.peers.taskiq_list",
        needs=(_REDIS, distribution("taskiq_redis")),
        uses_redis=True,
    ),
    "taskiq-stream": Peer(
        title="Taskiq (Redis stream)",
        module="benchmarks.peers.taskiq_stream",
        needs=(_REDIS, distribution("taskiq_redis")),
        uses_redis=True,
    ),
    "dramatiq": Peer(
        title="Dramatiq (Redis, threads)",
        module="benchmarks.peers.dramatiq_redis",
        needs=(_REDIS, distribution("dramatiq")),
        uses_redis=True,
    ),
    "celery": Peer(
        title="Celery (Redis)",
        module="benchmarks.peers.celery_redis",
        needs=(_REDIS, distribution("celery")),
        uses_redis=True,
    ),
}
