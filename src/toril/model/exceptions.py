"""Reads exceptions, whatever they do when they are looked at.

An exception can run code of its own: for its message, its class or its class's name. So names and
classes are read past such code, texts are cut, and whatever reading raises, even a
KeyboardInterrupt, becomes a text that says so. Nothing here raises.
"""

from __future__ import annotations

from collections.abc import Iterator

from toril.model.real_type import is_a, type_name

MAX_MESSAGE = 4_000
MAX_NAME = 200

_members = vars(BaseExceptionGroup)["exceptions"].__get__


def name_of(exception: BaseException) -> str:
    """Return the name of an exception's class, even if its metaclass hides it."""
    return cut(type_name(exception), MAX_NAME)


def message_of(exception: BaseException) -> str:
    """Return an exception's message, even if its `__str__` is broken."""
    if not is_a(exception, BaseExceptionGroup):
        return text_of(exception)
    texts: list[str] = []
    count = length = 0
    for leaf in leaves_of(exception):
        count += 1
        if length <= MAX_MESSAGE:  # the rest would be cut off
            texts.append(f"{name_of(leaf)}: {text_of(leaf)}")
            length += len(texts[-1])
    return f"{count} errors at once: {'; '.join(texts)}"


def description_of(exception: BaseException) -> str:
    """Return the class's name and the message, for a line in a log or in another message."""
    return f"{name_of(exception)}: {message_of(exception)}"


def leaves_of(exception: BaseException) -> Iterator[BaseException]:
    """Yield an exception itself, or all members of an exception group, however deep."""
    seen: set[int] = set()  # a group may contain another one more than once
    waiting = [exception]
    while waiting:
        found = waiting.pop()
        if not is_a(found, BaseExceptionGroup):
            yield found
        elif id(found) not in seen:
            seen.add(id(found))
            waiting.extend(reversed(_members(found)))


def text_of(exception: BaseException) -> str:
    """Return what `str` makes of an exception, or the name of its class if that is nothing."""
    try:
        text = str(exception)
    except BaseException as error:  # noqa: BLE001 - a broken __str__ must not hide what happened
        return f"<the message could not be read: {name_of(error)}>"
    return cut(text, MAX_MESSAGE) or name_of(exception)


def cut(text: str, most: int) -> str:
    """Return a text of at most so many characters, as a plain `str` even if it is a subclass."""
    start = str.__getitem__(text, slice(most + 1))
    return start if len(start) <= most else start[: most - 1] + "…"
