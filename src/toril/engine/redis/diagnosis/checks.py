"""Checks of a server for settings and conditions that lose jobs or slow them down."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from toril.clock import Clock
from toril.engine.contract.diagnosis import Finding
from toril.engine.redis.connection.errors import is_forbidden
from toril.engine.redis.connection.server import PrimaryConnections
from toril.engine.redis.diagnosis.acl import permissions
from toril.errors import EngineError

_OLDEST = (6, 2)
_MAX_OFFSET_MS = 1_000
_SLOW_MS = 10.0
_PINGS = 5


async def examine(primaries: Sequence[PrimaryConnections], clock: Clock) -> list[Finding]:
    """Check the servers that hold queues.

    Args:
        primaries: The connections to the servers.
        clock: The clock to compare the servers' clocks with.
    """
    found = [await _examine(primary, clock) for primary in primaries]
    if len(primaries) == 1:
        return found[0]
    return [
        Finding(finding.level, finding.check, f"{primary.location}: {finding.message}")
        for primary, findings in zip(primaries, found, strict=True)
        for finding in findings
    ]


async def _examine(connections: PrimaryConnections, clock: Clock) -> list[Finding]:
    found = await permissions(connections)
    info = await _info(connections)
    if info is None:
        message = "the user may not run INFO, so it is not known if Redis keeps jobs: allow +info"
        found.append(Finding("warning", "info", message))
    else:
        found += [
            _version(info),
            _eviction(info, await _setting(connections, "maxmemory-policy")),
            _persistence(info, await _setting(connections, "appendfsync")),
            _role(info),
        ]
    return [*found, await _clock_offset(connections, clock), await _latency(connections)]


async def _info(connections: PrimaryConnections) -> dict[str, str] | None:
    """Return the fields of INFO; None if the user may not run it."""
    try:
        text: str = await connections.call("INFO")
    except EngineError as error:
        if not is_forbidden(error):
            raise
        return None
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: value for name, value in pairs}  # noqa: C416 - lists of two, not tuples


async def _setting(connections: PrimaryConnections, name: str) -> str | None:
    """Return a setting; None if it cannot be read."""
    try:
        found = await connections.call("CONFIG", "GET", name)
    except EngineError:
        return None
    return found[1] if found else None


def _version(info: dict[str, str]) -> Finding:
    version = info.get("redis_version", "0.0")
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        return Finding("error", "version", f"Redis {version} is too old; upgrade to 6.2 or newer")
    return Finding("ok", "version", f"Redis {version}")


def _eviction(info: dict[str, str], setting: str | None) -> Finding:
    policy = setting or info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return Finding("ok", "eviction", "Redis refuses writes when its memory is full")
    return Finding(
        "error",
        "eviction",
        f"maxmemory-policy is {policy}: Redis deletes jobs when its memory is full; "
        "set it to noeviction",
    )


def _persistence(info: dict[str, str], fsync: str | None) -> Finding:
    if info.get("aof_enabled") == "1":
        if fsync == "always":
            return Finding("ok", "durability", "jobs are on disk when they are accepted")
        is_set = "cannot be read" if fsync is None else f"is {fsync}"
        loss = "the last jobs" if fsync == "no" else "the last second's jobs"
        return Finding("ok", "durability", f"appendfsync {is_set}: a power loss may lose {loss}")
    return Finding(
        "warning",
        "durability",
        "the append-only file is off: when the server ends, jobs are lost or revert to its last "
        "snapshot; set appendonly yes",
    )


def _role(info: dict[str, str]) -> Finding:
    if info.get("role") == "master":
        return Finding("ok", "role", "this is the primary")
    return Finding("error", "role", "this is a replica, which refuses writes; use the primary")


async def _clock_offset(connections: PrimaryConnections, clock: Clock) -> Finding:
    seconds, micros = await connections.call("TIME")
    offset = int(seconds) * 1000 + int(micros) // 1000 - clock.wall_ms()
    if abs(offset) > _MAX_OFFSET_MS:
        return Finding(
            "warning",
            "clock",
            f"Redis's clock is {offset / 1000:+.1f} s from this machine's; times that users give "
            "are this machine's, but Redis's clock decides. Synchronise both",
        )
    return Finding("ok", "clock", f"Redis's clock is {offset:+d} ms from this machine's")


async def _latency(connections: PrimaryConnections) -> Finding:
    times: list[float] = []
    for _ in range(_PINGS):
        start = perf_counter()
        await connections.call("PING")
        times.append((perf_counter() - start) * 1000)
    best = min(times)
    if best > _SLOW_MS:
        return Finding("warning", "latency", f"a call takes {best:.1f} ms; run closer to Redis")
    return Finding("ok", "latency", f"a call takes {best:.2f} ms")
