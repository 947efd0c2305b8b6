"""Functions that raise and return what bites whoever looks at it."""

import asyncio
import threading

from toril import Retry, Snooze


class _NamelessType(type):
    @property
    def __name__(cls):
        raise KeyboardInterrupt

    def __getattribute__(cls, name):
        if name in ("__qualname__", "__module__"):
            raise SystemExit(1)
        return super().__getattribute__(name)


class NamelessError(Exception, metaclass=_NamelessType):
    """An error whose class does not say its name."""


class LiarError(Exception):
    """An error that claims to be something else."""

    @property
    def __class__(self):
        return ExceptionGroup


class ShyError(Exception):
    """An error that does not let anybody ask what it is."""

    @property
    def __class__(self):
        raise KeyboardInterrupt


class UnreadableError(Exception):
    """An error whose texts raise what it was made with."""

    def __str__(self):
        raise self.args[0]

    def __repr__(self):
        raise self.args[0]


class Text(str):
    """Text that must not be used like text."""

    __slots__ = ()

    def _refuse(self, *_):
        raise SystemExit(1)

    __len__ = __bool__ = __getitem__ = __format__ = __add__ = __eq__ = encode = _refuse
    __hash__ = str.__hash__


class OddTextError(Exception):
    """An error whose message is a text of an odd class."""

    def __str__(self):
        return Text("odd text")


class LongError(Exception):
    """An error with a message of 200 million characters."""

    def __str__(self):
        return "x" * 200_000_000


class LockedError(Exception):
    """An error that cannot be pickled."""

    def __init__(self):
        super().__init__("locked", threading.Lock())


class BrokenRetry(Retry):
    """A signal that does not know its delay."""

    def __init__(self):
        Exception.__init__(self, "no delay")


class OddSnooze(Snooze):
    """A signal whose delay is no number."""

    def __init__(self):
        Exception.__init__(self, "odd delay")
        self.delay_ms = "soon"


class OddStopError(StopIteration):
    """What ends an iteration, unreadable."""

    def __repr__(self):
        raise KeyboardInterrupt


class Speaker:
    """An object that makes such a text of itself."""

    def __str__(self):
        return Text("odd line")


class Bomb:
    """A value that raises while it is written as JSON."""

    @property
    def __class__(self):
        raise KeyboardInterrupt


def deep_group():
    found = ValueError("innermost")
    for _ in range(3_000):
        found = ExceptionGroup("g", [found])
    return found


def wide_group():
    found = [ValueError("leaf")]
    for _ in range(40):
        found = [ExceptionGroup("g", found * 2)]
    return found[0]


def long_chain(attribute):
    first = found = ValueError("last")
    for n in range(3_000):
        came_from = ValueError(f"number {n}")
        setattr(found, attribute, came_from)
        found = came_from
    return first


def cycle():
    one, two = ValueError("one"), ValueError("two")
    one.__context__, two.__context__ = two, one
    return one


ERRORS = {
    "nameless": (NamelessError, "NamelessError"),
    "liar": (LiarError, "LiarError"),
    "shy": (ShyError, "ShyError"),
    "str raises KeyboardInterrupt": (
        lambda: UnreadableError(KeyboardInterrupt()),
        "KeyboardInterrupt",
    ),
    "str raises SystemExit": (lambda: UnreadableError(SystemExit(3)), "SystemExit"),
    "str raises GeneratorExit": (lambda: UnreadableError(GeneratorExit()), "GeneratorExit"),
    "str raises RecursionError": (lambda: UnreadableError(RecursionError()), "RecursionError"),
    "str raises CancelledError": (
        lambda: UnreadableError(asyncio.CancelledError()),
        "CancelledError",
    ),
    "str is odd": (OddTextError, "odd text"),
    "str is long": (LongError, "xxx"),
    "locked": (LockedError, "locked"),
    "deep group": (deep_group, "innermost"),
    "wide group": (wide_group, "leaf"),
    "causes": (lambda: long_chain("__cause__"), "last"),
    "contexts": (lambda: long_chain("__context__"), "last"),
    "cycle": (cycle, "one"),
    "group of odd ones": (
        lambda: BaseExceptionGroup("g", [NamelessError(), UnreadableError(SystemExit())]),
        "NamelessError",
    ),
    "broken retry": (BrokenRetry, "no delay"),
    "odd snooze": (OddSnooze, "odd delay"),
    "odd stop": (OddStopError, "Stop"),
}
"""How each error is made, and what must stand in the job's error, as its type or message."""


def raise_odd(which: str):
    make = ERRORS[which][0]
    raise make()


def return_bomb():
    return {"value": [Bomb()]}


def log_odd_text():
    from toril import current_job  # noqa: PLC0415 - found in the process that runs it

    current_job().log(Speaker())
    return "logged"
