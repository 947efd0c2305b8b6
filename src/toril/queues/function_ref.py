"""Names a function so that another process can find it."""

from __future__ import annotations

import functools
import importlib
import inspect
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from toril.errors import ConfigurationError

_MAIN = ("__main__", "__mp_main__")  # the latter in a process that multiprocessing has spawned
_RUN_NAME = "__toril_child__"


class FunctionRef(msgspec.Struct, frozen=True):
    """Where another process finds a function. No part of it comes from a job.

    Attributes:
        module: The module that defines the function.
        qualname: The function's qualified name in that module.
        main_path: The script to run first if that module is the program itself.
    """

    module: str
    qualname: str
    main_path: str | None = None


def reference(function: Callable[..., Any]) -> FunctionRef:
    """Return where another process finds a function.

    Raises:
        ConfigurationError: The function is not at the top level of a module.
    """
    qualname = getattr(function, "__qualname__", "<")
    module = getattr(function, "__module__", None)
    if module is None or "<" in qualname or isinstance(function, functools.partial):
        raise ConfigurationError(
            f"{function!r} runs in a separate process: define it at the top level of a module, "
            "so that the process can import it"
        )
    if inspect.ismethod(function) and not inspect.isclass(function.__self__):
        raise ConfigurationError(
            f"{function!r} is a method of an object, which a separate process does not have: "
            "define a function at the top level of a module, and create the object in it"
        )
    if module in _MAIN:
        return _in_main(function, module, qualname)
    return FunctionRef(module, qualname)


def _in_main(function: Callable[..., Any], module: str, qualname: str) -> FunctionRef:
    main = sys.modules[module]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in _MAIN:  # python -m module
        return FunctionRef(spec.name, qualname)
    path = Path(getattr(main, "__file__", None) or "<no file>")
    if spec is not None:  # a folder or a zip file with a __main__.py
        path = path.parent
    if not path.exists():
        raise ConfigurationError(
            f"{function!r} runs in a separate process, which cannot import functions from an "
            "interactive session; move it to a module"
        )
    return FunctionRef("__main__", qualname, str(path.absolute()))


def check_found(function: Callable[..., Any], named: FunctionRef) -> None:
    """Check that a function's name leads to it, once its module has been imported here.

    Raises:
        ConfigurationError: The name leads to nothing, or to another function.
    """
    module = sys.modules.get(function.__module__)
    try:
        found = _find(module, named.qualname)
    except AttributeError:
        raise ConfigurationError(
            f"{function!r} runs in a separate process, which would look for it as "
            f"{named.qualname} in the module {named.module}, but there is no such name; define "
            "it at the top level of the module under that name"
        ) from None
    if found is not function and _code_of(found) != _code_of(function):
        raise ConfigurationError(
            f"{function!r} runs in a separate process, which would find {found!r} under its name, "
            f"{named.qualname} in the module {named.module}; use @queue.task as a decorator, or "
            "define a function of another name"
        )


def _code_of(function: Any) -> Any:
    """Return what stays the same when a module is imported again; else the object itself."""
    code = getattr(function, "__code__", None)
    return function if code is None else (code.co_filename, code.co_qualname)


def load(named: FunctionRef) -> Callable[..., Any]:
    """Import a function.

    Raises:
        BaseException: Whatever its module raises.
    """
    if named.main_path is None:
        return _find(importlib.import_module(named.module), named.qualname)
    namespace = runpy.run_path(named.main_path, run_name=_RUN_NAME)
    module = ModuleType(_RUN_NAME)
    vars(module).update(namespace)
    return _find(module, named.qualname)


def _find(module: ModuleType | None, qualname: str) -> Callable[..., Any]:
    found: Any = module
    for name in qualname.split("."):
        found = getattr(found, name)
    # A decorated function's name refers to its task or processor.
    function: Callable[..., Any] = getattr(found, "function", found)
    return function
