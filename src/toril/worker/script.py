"""Keeps a program from starting itself again in the processes of its own worker.

A process that runs a function of the program's script has to run that script first. If the
script starts its worker unconditionally, it would start another one in each process.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType

from toril.errors import ConfigurationError

_FIX = "move what starts it under `if __name__ == '__main__':`"

_is_loading = False


@contextmanager
def loading() -> Iterator[None]:
    """Refuse to start a worker while the context is open, because a handler is being imported."""
    global _is_loading  # noqa: PLW0603 - a script may start its worker in any thread
    _is_loading = True
    try:
        yield
    finally:
        _is_loading = False


def refuse_while_loading() -> None:
    """Check that this process is not just importing a handler.

    Raises:
        ConfigurationError: It is, and what it imports starts a worker.
    """
    if _is_loading:
        raise ConfigurationError(
            f"a module with a process handler starts a worker when it is imported; {_FIX}"
        )


def refuse_unguarded() -> None:
    """Check that the program's script would not start its worker again in another process.

    Raises:
        ConfigurationError: It would, because the code that now starts the worker is at the
            script's top level and depends on nothing.
    """
    main = sys.modules["__main__"]
    path, frame = getattr(main, "__file__", None), _frame_of(main)
    if path is None or frame is None:
        return
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):  # there is no source, so this cannot be known
        return
    if not any(_is_guard(node, frame.f_lineno) for node in ast.walk(tree)):
        raise ConfigurationError(
            f"{path} starts a worker at its top level, line {frame.f_lineno}, and has process "
            f"handlers: each process would run it again and start another worker; {_FIX}"
        )


def _frame_of(main: ModuleType) -> FrameType | None:
    """Return the frame in which a module's top level is running in any thread, if it is."""
    for innermost in sys._current_frames().values():  # noqa: SLF001 - the only way to other threads
        frame: FrameType | None = innermost
        while frame is not None:
            if frame.f_code.co_name == "<module>" and frame.f_globals is vars(main):
                return frame
            frame = frame.f_back
    return None


def _is_guard(node: ast.AST, line: int) -> bool:
    """Return whether a node makes the code at a line depend on `__name__`."""
    if isinstance(node, ast.If | ast.IfExp):
        condition: ast.AST = node.test
    elif isinstance(node, ast.BoolOp):
        condition = node
    else:
        return False
    is_around = node.lineno <= line <= (node.end_lineno or node.lineno)
    return is_around and any(
        isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(condition)
    )
