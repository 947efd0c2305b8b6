"""Finds the queues that another major version of BullMQ uses too."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Sequence

from toril.engine.contract.diagnosis import Finding
from toril.engine.redis.connection.connections import Connections
from toril.engine.redis.connection.errors import is_forbidden
from toril.engine.redis.scripts.keys import QUEUES, keys_of
from toril.errors import EngineError
from toril.model.job import QueueRef

_OURS = 6
_MAJOR = re.compile(r":(\d+)\.")  # in "bullmq:5.81.3"
_NAMED = 5  # queues in a message


async def other_versions(connections: Connections) -> list[Finding]:
    """Report the queues that another major version of BullMQ uses; nothing if there are none.

    BullMQ writes its version when a queue is opened, from 5.22 on.

    Args:
        connections: The connections to the store.
    """
    try:
        members = await connections.call("SMEMBERS", QUEUES)
        queues = sorted(QueueRef(*json.loads(member)) for member in members)
        versions = await asyncio.gather(
            *(connections.call("HGET", keys_of(queue).meta, "version") for queue in queues)
        )
    except EngineError as error:
        if not is_forbidden(error):
            raise
        return []
    by_major: defaultdict[int, list[QueueRef]] = defaultdict(list)
    for queue, version in zip(queues, versions, strict=True):
        found = _MAJOR.search(version or "")
        if found is not None and int(found[1]) != _OURS:
            by_major[int(found[1])].append(queue)
    return [_finding(major, by_major[major]) for major in sorted(by_major)]


def _finding(major: int, queues: Sequence[QueueRef]) -> Finding:
    named = ", ".join(map(str, queues[:_NAMED]))
    more = f" and {len(queues) - _NAMED} more" if len(queues) > _NAMED else ""
    if major > _OURS:
        advice = f"Toril has been tested with BullMQ {_OURS} only; look for a newer Toril"
    else:
        advice = (
            "it keeps the jobs of a paused queue in another list, where Toril looks too, but "
            f"BullMQ {_OURS} does not; upgrade all services of these queues to BullMQ {_OURS}"
        )
    return Finding("warning", "bullmq", f"BullMQ {major} uses {named}{more} too: {advice}")
