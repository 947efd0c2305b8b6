"""Imports the queue manager that MODULE:ATTR names, or explains what is wrong."""

from __future__ import annotations

import importlib
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

import toril
from toril.application.manager import QueueManager
from toril.errors import ConfigurationError, TorilError, did_you_mean

FORM = "MODULE:ATTR"

_OURS = str(Path(toril.__file__).parent)


def load(target: str) -> QueueManager:
    """Import a queue manager.

    Args:
        target: "package.module:attribute"; the attribute may be omitted if the module has only
            one manager.

    Raises:
        ConfigurationError: The manager cannot be imported; the message says why.
    """
    if "://" in target:  # not repeated here, because it may contain a password
        raise ConfigurationError(f"{FORM} is a module, such as jobs:manager; a URL goes to --url")
    name, _, attribute = target.partition(":")
    module = _import(name)
    if attribute:
        return _find(module, attribute)
    managers = _managers_of(module)
    if len(managers) == 1:
        return managers[0][1]
    if not managers:
        raise ConfigurationError(
            f"{name} has no queue manager; add one: manager = toril.QueueManager()"
        )
    raise ConfigurationError(
        f"{name} has {len(managers)} queue managers; choose one: "
        + " or ".join(f"{name}:{found}" for found, _ in managers)
    )


def _find(module: ModuleType, attribute: str) -> QueueManager:
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, vars(module), n=1)
            hint = did_you_mean(part, near or [known for known, _ in _managers_of(module)])
            raise ConfigurationError(f"{module.__name__} has no {part!r}; {hint}")
        found = getattr(found, part)
    if not isinstance(found, QueueManager):
        known = " or ".join(f"{module.__name__}:{name}" for name, _ in _managers_of(module))
        raise ConfigurationError(
            f"{module.__name__}:{attribute} is of type {type(found).__name__}, not a QueueManager"
            + (f"; did you mean {known}?" if known else "")
        )
    return found


def _managers_of(module: ModuleType) -> list[tuple[str, QueueManager]]:
    return [(name, v) for name, v in vars(module).items() if isinstance(v, QueueManager)]


def _import(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if name.endswith(".py") or "/" in name:
        dotted = name.removesuffix(".py").strip("./").replace("/", ".")
        raise ConfigurationError(f"{name!r} is a file path; use the module name: {dotted}")
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigurationError(
            f"{name!r} is not a module name; use {FORM}, for example jobs:manager"
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"{name} cannot be imported: {_describe(error)}") from error
        near = get_close_matches(name, _modules_in(Path.cwd()), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(
            f"there is no module {name!r} in {here} or on the import path{hint}"
        ) from error
    except SystemExit as error:
        raise ConfigurationError(
            f"{name} exits when it is imported{_place(error)}; "
            "move that code under `if __name__ == '__main__':`"
        ) from error
    except Exception as error:
        raise ConfigurationError(f"{name} cannot be imported: {_describe(error)}") from error


def _modules_in(folder: Path) -> list[str]:
    packages = [path.parent.name for path in folder.glob("*/__init__.py")]
    return [path.stem for path in folder.glob("*.py")] + packages


def _describe(error: Exception) -> str:
    """Describe an error and where in the user's code it was raised."""
    if isinstance(error, SyntaxError):
        return f"{error.msg}, at {error.filename}:{error.lineno}"
    what = str(error) if isinstance(error, TorilError) else f"{type(error).__name__}: {error}"
    return f"{what}{_place(error)}"


def _place(error: BaseException) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_OURS, "<frozen"))
        and frame.filename != importlib.__file__
    ]
    return f", at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
