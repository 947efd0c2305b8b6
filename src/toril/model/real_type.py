"""Reads the type of a foreign object without running its code.

`isinstance` asks the object's `__class__`, and a class's `__name__` may be a property of its
metaclass. Both can lie, and both can raise.
"""

from __future__ import annotations

from typing import Any, TypeGuard, TypeVar

T = TypeVar("T")

_name = vars(type)["__name__"].__get__


def is_a(value: Any, kind: type[T]) -> TypeGuard[T]:
    """Return whether a value's real type is a class or derives from it."""
    return issubclass(type(value), kind)


def type_name(value: Any) -> str:
    """Return the name of a value's real type."""
    return str.__str__(_name(type(value)))
