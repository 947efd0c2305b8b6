"""Every scenario by its name, in the order in which `make chaos` plays them."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.scenario import Scenario
from tests.faults.scenarios.blocked_loop import blocked_loop, blocked_while_fetching
from tests.faults.scenarios.clock_jump import clock_jump
from tests.faults.scenarios.contention import contention
from tests.faults.scenarios.emptied_redis import emptied_redis
from tests.faults.scenarios.full_disk import file_limit, full_disk, full_disk_forced
from tests.faults.scenarios.full_redis import full_redis
from tests.faults.scenarios.held_lock import held_lock
from tests.faults.scenarios.killed_producer import killed_producer
from tests.faults.scenarios.killed_redis import killed_redis
from tests.faults.scenarios.killed_with_follow_ups import killed_with_follow_ups
from tests.faults.scenarios.killed_worker import killed_worker
from tests.faults.scenarios.lost_replies import lost_replies
from tests.faults.scenarios.paused_redis import paused_redis
from tests.faults.scenarios.poisonous_job import poison_among_innocents, poisonous_job
from tests.faults.scenarios.refusing_redis import refusing_redis
from tests.faults.scenarios.scripts_flushed import scripts_flushed
from tests.faults.scenarios.stopped_worker import stopped_worker
from tests.faults.scenarios.terminated_worker import (
    forced_worker,
    terminated_in_work,
    terminated_worker,
)

SCENARIOS: Mapping[str, Scenario] = {
    **killed_worker,
    **killed_with_follow_ups,
    **terminated_worker,
    **terminated_in_work,
    **forced_worker,
    **blocked_loop,
    **blocked_while_fetching,
    **stopped_worker,
    **poisonous_job,
    **poison_among_innocents,
    **killed_producer,
    **full_disk,
    **full_disk_forced,
    **file_limit,
    **contention,
    **held_lock,
    **clock_jump,
    **killed_redis,
    **scripts_flushed,
    **paused_redis,
    **lost_replies,
    **full_redis,
    **refusing_redis,
    **emptied_redis,
}
