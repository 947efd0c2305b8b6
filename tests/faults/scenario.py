"""A scenario: a function of a seed and a scale that plays on a stage and leaves a row."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.faults import table
from tests.faults.actor import StuckError
from tests.faults.checker import Expected
from tests.faults.stage import Place, Stage
from tests.faults.table import Row


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a run is.

    Attributes:
        jobs: How many jobs go through.
        rounds: How often a fault strikes, where that is the scenario's to choose.
        seconds: How long it goes on, where that is.
    """

    jobs: int
    rounds: int
    seconds: float


FULL = Scale(jobs=2000, rounds=10, seconds=10)
QUICK = Scale(jobs=240, rounds=3, seconds=2)


Play = Callable[[Stage, Scale], Awaitable[Expected]]
Scenario = Callable[[int, Scale], Awaitable[Row]]


def scenario(
    name: str, *, on: tuple[Place, ...] = ("file",), in_memory: bool = False
) -> Callable[[Play], Mapping[str, Scenario]]:
    """Make a play, which says what it promises, scenarios, which print their seed and row.

    Args:
        name: The scenario's name; where it plays is added to it for all but the first place.
        on: Where it plays.
        in_memory: Keep the store where no slow disk can make a short lease run out.

    Returns:
        By name, one for each place.
    """

    def decorate(play: Play) -> Mapping[str, Scenario]:
        return {
            full: _play_on(place, full, play, in_memory=in_memory)
            for full, place in ((name if p == on[0] else f"{name}-{p}", p) for p in on)
        }

    return decorate


def _play_on(place: Place, name: str, play: Play, *, in_memory: bool) -> Scenario:
    async def run(seed: int, scale: Scale) -> Row:
        row = Row(name, seed)
        began = time.perf_counter()
        async with Stage(seed, name, on=place, in_memory=in_memory) as stage:
            try:
                expected = await play(stage, scale)
                row.verdict = await stage.judge(expected)
                row.problems += row.verdict.problems
            except StuckError as error:
                row.problems.append(str(error))
                row.verdict = await stage.judge(Expected(drained=False))
                row.problems += row.verdict.problems
                row.problems += [
                    f"{actor.name}: {stage.last_words(actor)}"
                    for actor in stage.actors
                    if actor.process.returncode
                ]
        row.problems += stage.claims
        row.notes = stage.notes
        row.seconds = time.perf_counter() - began
        print(table.of(row), flush=True)
        return row

    return run
