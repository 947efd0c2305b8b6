"""Standard streams as everything else expects them, whatever the program was given."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

_STANDARD = range(3)


def prepare() -> None:
    """Stand in for streams that are closed, and let no character stop an answer."""
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:  # the next file that is opened would be taken for it
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not have every character
