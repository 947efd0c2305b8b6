"""Drawing: every choice of a run comes from its seed, and is written down."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


class Dice:
    """Draws from a seed.

    Attributes:
        log: What was drawn, and what was done with it.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.log: list[str] = []

    def _drew(self, value: T) -> T:
        self.log.append(f"    {value}")
        return value

    def one(self, among: Sequence[T]) -> T:
        """Draw one of several things."""
        return self._drew(self._random.choice(among))

    def seldom(self, among: Sequence[T], *, one_in: int) -> T | None:
        """Draw one of several things once in so many times, else None."""
        return self.one(among) if self._random.randrange(one_in) == 0 else None

    def number(self, least: int, most: int) -> int:
        return self._drew(self._random.randint(least, most))

    def some(self, among: Sequence[T], most: int = 3) -> list[T]:
        """Draw different ones of several things, in any order."""
        many = self._random.randint(1, min(most, len(among)))
        return self._drew(self._random.sample(among, many))

    def many(self, among: Sequence[T], most: int) -> list[T]:
        """Draw several things, some perhaps again."""
        return self._drew(self._random.choices(among, k=self._random.randint(1, most)))

    def weighted(self, weights: dict[Any, int]) -> Any:
        """Draw a key, as often as its number says."""
        [drawn] = self._random.choices(list(weights), list(weights.values()))
        return drawn
