"""A scenario: a function of a seed and a scale that plays on a stage and leaves a row."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults import table
from tests.faults.checker import Expected
from tests.faults.stage import Stage, StuckError
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


def scenario(name: str, *, in_memory: bool = False) -> Callable[[Play], Scenario]:
    """Make a play, which says what it promises, a scenario, which prints its seed and row.

    Args:
        name: The scenario's name.
        in_memory: Keep the store where no slow disk can make a short lease run out.
    """

    def decorate(play: Play) -> Scenario:
        async def run(seed: int, scale: Scale) -> Row:
            row = Row(name, seed)
            began = time.perf_counter()
            async with Stage(seed, name, in_memory=in_memory) as stage:
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

        run.__name__ = play.__name__
        run.__doc__ = play.__doc__
        return run

    return decorate
