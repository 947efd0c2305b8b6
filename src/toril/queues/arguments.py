"""A function's arguments as a JSON object by parameter name, validated on both ends."""

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


class ArgumentsError(ValidationError):
    """A payload does not fit a function's signature or types."""


class Arguments:
    """The parameters of a task's function, except for the job's context."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        """Read a function's signature.

        Args:
            function: The task's function.
            name: The task's name, for error messages.

        Raises:
            ConfigurationError: A parameter cannot be passed by name in a JSON object.
        """
        if not callable(function):
            raise ConfigurationError(f"task {name!r}: {function!r} is not callable")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(
                f"task {name!r} is a generator: return the result, and report intermediate values "
                "with job.progress(...)"
            )
        parameters = list(inspect.signature(function).parameters.values())
        hints = _hints(function)
        self.context = _context_parameter(parameters, hints, name)
        own = [p for p in parameters if p.name != self.context]
        for parameter in own:
            _require_named(parameter, name)
        self.result_type = hints.get("return", Any)
        self._signature = inspect.Signature(own)
        self.names = tuple(p.name for p in own)
        self._decoder = _decoder_for(name, own, hints)

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any], limit: int) -> str:
        """Return a call's arguments as JSON, after checking that a worker can decode them.

        Args:
            args: The positional arguments.
            kwargs: The keyword arguments.
            limit: The largest allowed payload, in bytes.

        Raises:
            ValidationError: The arguments do not fit the signature or its types.
        """
        try:
            bound = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise ValidationError("arguments", f"{error}; it takes {self._signature}") from None
        text = codec.encode(bound, "arguments", limit)
        try:
            self.decode(text)
        except ArgumentsError as error:  # the caller's mistake, not a stored job's
            raise ValidationError(*error.args) from None
        return text

    def decode(self, text: str) -> dict[str, Any]:
        """Return a payload as keyword arguments of the types that the function declares.

        Raises:
            ArgumentsError: The payload does not fit the signature or its types.
        """
        try:
            found = self._decode(text)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at `$")
            field = f"arguments{path.rstrip('`')}"
            raise ArgumentsError(field, what) from None
        return {name: getattr(found, _field(place)) for place, name in enumerate(self.names)}

    def _decode(self, text: str) -> Any:
        try:
            return self._decoder.decode(text)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:  # Node.js may have written a lone surrogate
            return codec.decode_as(text, self._decoder.type)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    target = inspect.unwrap(function)
    if not inspect.isroutine(target):  # an object with __call__
        target = type(target).__call__
    try:
        return typing.get_type_hints(target, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise ConfigurationError(
            f"a type in the signature of {function!r} cannot be resolved ({error}); "
            "import it at run time, not only for type checking"
        ) from None


def _context_parameter(
    parameters: list[inspect.Parameter], hints: dict[str, Any], name: str
) -> str | None:
    """Return the name of the first parameter if it takes the job's context, else None.

    Raises:
        ConfigurationError: A parameter other than the first takes the job's context.
    """
    first = parameters[0].name if parameters else None
    for parameter in parameters:
        hint = hints.get(parameter.name)
        if hint is JobContext and parameter.name == first:
            continue
        if hint is JobContext or JobContext in typing.get_args(hint):
            raise ConfigurationError(
                f"task {name!r}: make the job's context the first parameter, "
                f"{parameter.name}: JobContext"
            )
    return first if first is not None and hints.get(first) is JobContext else None


def _require_named(parameter: inspect.Parameter, name: str) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise ConfigurationError(
            f"task {name!r} takes {parameter}: arguments are sent as one JSON object by "
            "parameter name; name each parameter, or take one list or dict"
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise ConfigurationError(
            f"task {name!r} takes {parameter.name!r} by position only; remove the / from its "
            "signature: arguments are sent by name"
        )


def _decoder_for(
    name: str, parameters: list[inspect.Parameter], hints: dict[str, Any]
) -> msgspec.json.Decoder[Any]:
    """Return a decoder for a struct with a field for each parameter.

    Raises:
        ConfigurationError: A parameter's type cannot be decoded from JSON.
    """
    fields: list[tuple[str, Any, Any]] = []
    for place, parameter in enumerate(parameters):
        # Some parameter names are not valid field names, so fields have generated names and only
        # the JSON uses the parameters' own.
        name_in_json = {"name": parameter.name}
        if parameter.default is parameter.empty:
            default = msgspec.field(**name_in_json)
        else:
            # A factory, because a parameter's default may be mutable, unlike a struct field's.
            value = partial(_same, parameter.default)
            default = msgspec.field(default_factory=value, **name_in_json)
        fields.append((_field(place), hints.get(parameter.name, Any), default))
    try:
        struct = msgspec.defstruct(
            "Arguments", fields, kw_only=True, forbid_unknown_fields=True, module=__name__
        )
        _require_json(struct)
        return msgspec.json.Decoder(struct)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"the arguments of task {name!r}: {error}") from None


def _field(place: int) -> str:
    return f"a{place}"


def _require_json(struct: type[msgspec.Struct]) -> None:
    """Check that all parameters have types that can be decoded from JSON.

    Raises:
        TypeError: A parameter has another type; the message names it.
    """
    info = msgspec.inspect.type_info(struct)
    for field in getattr(info, "fields", ()):
        if isinstance(field.type, msgspec.inspect.CustomType):
            raise TypeError(
                f"{field.encode_name} is a {field.type.cls.__name__}, which cannot be sent as "
                "JSON; take a dataclass, a msgspec.Struct, a dict, or an id to look it up by"
            )


def _same(value: Any) -> Any:
    return value
