"""Makes the standard streams usable, whatever state the program was started with."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

_STANDARD = range(3)


def prepare() -> None:
    """Replace closed streams, and print characters that the terminal lacks as ?."""
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:  # otherwise the next opened file would get this number
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not support every character
