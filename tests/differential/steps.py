"""The steps of a test: each is drawn from those that make sense now, by its weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.differential.scene import Scene


class Step(NamedTuple):
    """Something that is done on both sides and compared.

    Attributes:
        name: What it is called.
        weight: How often it is drawn against others.
        makes_sense: Whether it would do anything now.
        run: Draws the rest, does it, and compares.
    """

    name: str
    weight: int
    makes_sense: Callable[[Scene], object]
    run: Callable[[Scene], None]


STEPS: list[Step] = []


def step(
    weight: int, when: Callable[[Scene], object] = lambda _: True
) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """Register a function as a step.

    Args:
        weight: How often it is drawn against others.
        when: Whether it makes sense now.
    """

    def register(run: Callable[[Scene], None]) -> Callable[[Scene], None]:
        STEPS.append(Step(run.__name__.replace("_", " "), weight, when, run))
        return run

    return register


def next_step(scene: Scene) -> Step:
    """Draw a step that makes sense."""
    weights = {one: one.weight for one in STEPS if one.makes_sense(scene)}
    chosen: Step = scene.dice.weighted(weights)
    scene.dice.log.append(chosen.name)
    return chosen
