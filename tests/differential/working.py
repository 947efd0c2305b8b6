"""What workers do: fetch, settle, renew, report, and what happens when they do not."""

from __future__ import annotations

import json
from collections.abc import Coroutine, Sequence
from typing import Any

from tests.differential.drawing import KINDS, LEASES_MS, result_of, retry_delay, settlement
from tests.differential.lab import QUEUE
from tests.differential.oracle import Taken
from tests.differential.scene import Held, Scene
from tests.differential.steps import step
from toril.engine.contract.hot_path import Exchange, Fetch, Note
from toril.engine.redis.hot_path.exchange import pack
from toril.model.settlement import Release, Settlement

LEASE_MS = 1_000
KEPT_FORMER = 4


@step(18, Scene.gives)
def fetch(scene: Scene) -> None:
    limit, lease_ms = scene.dice.number(1, 6), scene.dice.one(LEASES_MS)
    took(scene, exchange(scene, [], limit, lease_ms), limit, lease_ms)
    scene.compare("fetch")


@step(1, lambda scene: not scene.gives())
def fetch_in_vain(scene: Scene) -> None:
    took(scene, exchange(scene, [], 2, LEASE_MS), 2, LEASE_MS)
    scene.compare("fetch")


def exchange(
    scene: Scene, settlements: Sequence[Settlement], limit: int | None, lease_ms: int = LEASE_MS
) -> Exchange:
    wanted = None if limit is None else Fetch(limit, "worker", lease_ms)
    return scene.run(scene.engine.exchange(QUEUE, settlements, wanted))


def took(
    scene: Scene, answer: Exchange, limit: int, lease_ms: int, before: Sequence[Taken] = ()
) -> None:
    """Let BullMQ take as many, and pair them."""
    token = answer.leases[0].token if answer.leases else "worker:none"
    more = scene.run(scene.bullmq.fetch(limit - len(before), token, lease_ms))
    taken = [*before, *more]
    mine, its = [lease.id for lease in answer.leases], [one.job.id for one in taken]
    assert mine == its, f"BullMQ gave {its}, Toril {mine}"
    scene.held += [Held(*pair) for pair in zip(answer.leases, taken, strict=True)]


# Settling


@step(26, Scene.holding)
def settle(scene: Scene) -> None:
    settle_some(scene, scene.dice.some(scene.holding(), 4), None)


@step(16, Scene.holding)
def settle_and_fetch(scene: Scene) -> None:
    settle_some(scene, scene.dice.some(scene.holding(), 4), scene.dice.number(1, 3))


@step(2, lambda scene: scene.former or len(scene.holding()) < len(scene.held))
def settle_what_nobody_holds(scene: Scene) -> None:
    lost = [one for one in scene.held if not scene.holds(one)]
    settle_some(scene, scene.dice.some([*scene.former, *lost, *scene.holding()]), None)


def settle_some(scene: Scene, chosen: Sequence[Held], limit: int | None) -> None:
    alike = scene.dice.one([False, True])
    drawn = [(scene.dice.one(KINDS), retry_delay(scene.dice))] if alike else []
    pairs = [
        (one, *(drawn or [(scene.dice.one(KINDS), retry_delay(scene.dice))])[0]) for one in chosen
    ]
    if scene.due() and any(runs_at_once(kind, delay) for _, kind, delay in pairs):
        # BullMQ lets due jobs wait before the one that is tried again; here the next fetch does.
        exchange(scene, [], 0)
        pairs.sort(key=lambda pair: not runs_at_once(*pair[1:]))
    finish(scene, pairs, limit)


def runs_at_once(kind: str, delay_ms: int) -> bool:
    return kind == "retry" and not delay_ms


def finish(scene: Scene, pairs: Sequence[tuple[Held, str, int]], limit: int | None) -> None:
    settlements = [settlement(kind, one.lease, delay) for one, kind, delay in pairs]
    answer = exchange(scene, settlements, limit)
    done = [False] * len(pairs)
    following: list[Taken] = []
    for place in order_of(settlements):
        one, kind, delay_ms = pairs[place]
        if kind == "complete" and limit and len(pairs) == 1:
            token = answer.leases[0].token if answer.leases else one.taken.token
            found = scene.run(
                scene.bullmq.complete_and_fetch(one.taken, result_of(one.lease.id), token, LEASE_MS)
            )
            done[place], following = found is not None, found or []
        else:
            done[place] = scene.run(settle_theirs(scene, kind, one.taken, delay_ms))
    assert [result is None for result in answer.results] == done
    gone = [one for (one, _, _), is_done in zip(pairs, done, strict=True) if is_done]
    scene.held = [one for one in scene.held if one not in gone]
    scene.former = [*scene.former, *gone][-KEPT_FORMER:]
    if limit is not None:
        took(scene, answer, limit, LEASE_MS, following)
    how = {kind for _, kind, _ in pairs}
    name = how.pop() if len(how) == 1 else "settle several"
    scene.compare(name if limit is None else f"{name} and fetch")


def order_of(settlements: Sequence[Settlement]) -> list[int]:
    """Return the places of settlements as they are settled: by kind, given back ones backwards."""
    order = pack(settlements).order
    given_back = [place for place in order if isinstance(settlements[place], Release)]
    backwards = iter(reversed(given_back))
    return [next(backwards) if place in given_back else place for place in order]


def settle_theirs(
    scene: Scene, kind: str, taken: Taken, delay_ms: int
) -> Coroutine[Any, Any, bool]:
    match kind:
        case "complete":
            return scene.bullmq.complete(taken, result_of(taken.job.id))
        case "fail":
            return scene.bullmq.fail(taken, "it did not work", "the traceback")
        case "retry":
            return scene.bullmq.retry(taken, "it did not work", "the traceback", delay_ms)
        case _:
            return scene.bullmq.release(taken, delay_ms)


# Meanwhile


@step(2, Scene.holding)
def extend(scene: Scene) -> None:
    # Only where the lock is there: Toril also renews a lease that ran out and that nobody took.
    [one] = scene.dice.some(scene.holding(), 1)
    lease_ms = scene.dice.one(LEASES_MS) + 1
    lost = scene.keeper.extend([one.lease], lease_ms)
    assert (not lost) == scene.run(scene.bullmq.extend(one.taken, lease_ms))
    scene.compare("extend")


@step(2, Scene.holding)
def note(scene: Scene) -> None:
    [one] = scene.dice.some(scene.holding(), 1)
    progress = scene.dice.one([None, 50, {"done": "half"}])
    told = ["a line"] * scene.dice.number(int(progress is None), 2)
    as_json = None if progress is None else json.dumps(progress)
    scene.run(scene.engine.note(QUEUE, [Note(one.lease, as_json, told)]))
    if progress is not None:
        scene.run(scene.bullmq.progress(one.lease.id, progress))
    for line in told:
        scene.run(scene.bullmq.log(one.lease.id, line))
    scene.compare("note")


@step(8, Scene.stalled)
def rescue(scene: Scene) -> None:
    stalled = scene.stalled()
    max_stalls = scene.dice.number(0, 2)
    found = scene.run(scene.engine.rescue(QUEUE, max_stalls))
    assert {one.id for one in found} == set(stalled)
    jobs = scene.space.jobs()
    priorities = {one: int(jobs[one]["priority"]) for one in stalled}
    scene.run(scene.bullmq.rescue(priorities, max_stalls))
    scene.compare("rescue")


def deadlines(scene: Scene) -> list[int]:
    """Return in how many milliseconds something ends or is due."""
    ends = {left + 1 for key, left in scene.space.left.items() if not key.startswith("stalled")}
    due = scene.space.contents.get("delayed", {}).values()
    ends |= {int(score // 0x1000) - scene.lab.now for score in due}
    return sorted(ms for ms in ends if ms > 0)


@step(2, lambda scene: scene.space.members("active") and not scene.stalled())
def mark_those_that_run(scene: Scene) -> None:
    """Let Node.js's workers on both sides begin to look for stalled jobs."""
    for side in (scene.bullmq, scene.lab.guest):
        scene.run(side.mark_active())
    scene.compare("mark those that run")


@step(5, deadlines)
def pass_time(scene: Scene) -> None:
    ms = scene.dice.one([*deadlines(scene) * 3, 61_000, 1])
    if scene.space.left.get("limiter") == ms:
        ms += 1
    scene.lab.pass_time(ms)
    scene.compare("pass time")
