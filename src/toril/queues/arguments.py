"""A function's arguments as one JSON object by parameter name, checked on both ends."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from toril.errors import ConfigurationError, ValidationError
from toril.model import codec
from toril.queues.context import JobContext


class Arguments:
    """What a task's function takes, apart from the job's context."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        """Read a function's signature.

        Args:
            function: The task's function.
            name: The task's name, for errors.

        Raises:
            ConfigurationError: It takes what a JSON object cannot name.
        """
        parameters = list(inspect.signature(function).parameters.values())
        hints = _hints(function)
        self.context = _context_parameter(parameters, hints)
        own = [p for p in parameters if p.name != self.context]
        for parameter in own:
            _require_named(parameter, name)
        self.result_type = hints.get("return", Any)
        self._signature = inspect.Signature(own)
        self._fields = tuple(p.name for p in own)
        self._decoder = msgspec.json.Decoder(_struct(name, own, hints))

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any], limit: int) -> str:
        """Return a call's arguments as JSON, if the worker will be able to take them.

        Args:
            args: By position.
            kwargs: By name.
            limit: The largest payload, in bytes.

        Raises:
            ValidationError: They do not fit the signature, or its types.
        """
        try:
            bound = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise ValidationError("arguments", f"{error}; it takes {self._signature}") from None
        text = codec.encode(bound, "arguments", limit)
        self.decode(text)
        return text

    def decode(self, text: str) -> dict[str, Any]:
        """Return a payload as keyword arguments of the types that the function declares.

        Raises:
            ValidationError: The payload does not fit the signature, or its types.
        """
        try:
            found = self._decoder.decode(text)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at `$")
            field = f"arguments{path.rstrip('`')}"
            raise ValidationError(field, what) from None
        return {name: getattr(found, name) for name in self._fields}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    target = inspect.unwrap(function)
    if not inspect.isroutine(target):  # an object with __call__
        target = type(target).__call__
    try:
        return typing.get_type_hints(target, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"a type in the signature of {function!r} cannot be found ({error}); "
            "import it at run time, not only for type checking"
        ) from None


def _context_parameter(parameters: list[inspect.Parameter], hints: dict[str, Any]) -> str | None:
    """Return the name of the first parameter if it takes the job's context."""
    if parameters and hints.get(parameters[0].name) is JobContext:
        return parameters[0].name
    return None


def _require_named(parameter: inspect.Parameter, name: str) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise ConfigurationError(
            f"task {name!r} takes {parameter}: arguments travel as one JSON object by "
            "parameter name; give each a name, or take one list or dict"
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise ConfigurationError(
            f"task {name!r} takes {parameter.name!r} by position only; remove the / from its "
            "signature: arguments travel by name"
        )


def _struct(
    name: str, parameters: list[inspect.Parameter], hints: dict[str, Any]
) -> type[msgspec.Struct]:
    """Return a struct with a field for each parameter."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for parameter in parameters:
        kind = hints.get(parameter.name, Any)
        if parameter.default is parameter.empty:
            fields.append((parameter.name, kind))
        else:
            # A default may be mutable, which a struct's own defaults may not.
            default = msgspec.field(default_factory=partial(_same, parameter.default))
            fields.append((parameter.name, kind, default))
    try:
        return msgspec.defstruct(
            "Arguments", fields, kw_only=True, forbid_unknown_fields=True, module=__name__
        )
    except TypeError as error:
        raise ConfigurationError(f"the arguments of task {name!r}: {error}") from None


def _same(value: Any) -> Any:
    return value
