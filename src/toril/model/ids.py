"""Job ids: made by the client, sortable by time, never an integer."""

from __future__ import annotations

import os
import secrets
import time
from itertools import count

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]


def _base32(number: int, pairs: int) -> str:
    """Write `number` in 2·`pairs` digits of Crockford's base 32, which sort as numbers do."""
    digits = []
    for _ in range(pairs):
        digits.append(_PAIRS[number & 1023])
        number >>= 10
    return "".join(reversed(digits))


class IdMaker:
    """Makes ids of 26 characters: 10 of time (ms), 8 of this process, 8 of a counter.

    It is the shape of a ULID (https://github.com/ulid/spec) with its 80 random bits
    split: a part drawn once a process and a counter that starts at a random place. So
    ids of one process sort in the order in which they were made, within a millisecond
    too. They begin with 0 until the year 3084, so that none reads as an integer, which
    BullMQ refuses as a custom id.
    """

    def __init__(self) -> None:
        """Draw the process's part."""
        self.renew()

    def renew(self) -> None:
        """Draw the process's part anew: a forked child must not repeat its parent's ids."""
        self._process = _base32(secrets.randbits(40), 4)
        self._counter = count(secrets.randbits(38))
        self._front = 0, -1, ""  # replaced as a whole: threads share the maker

    def __call__(self) -> str:
        """Return the next id."""
        now = time.time_ns() // 1_000_000
        n = next(self._counter)
        last_ms, high, head = self._front
        if now > last_ms or n >> 20 != high:
            last_ms = max(now, last_ms)  # a clock that goes back does not undo the order
            head = _base32(last_ms, 5) + self._process + _base32(n >> 20, 2)
            self._front = last_ms, n >> 20, head
        return head + _PAIRS[(n >> 10) & 1023] + _PAIRS[n & 1023]


new_id = IdMaker()
"""The process's maker of ids."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=new_id.renew)
