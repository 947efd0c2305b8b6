"""Small files, short functions, narrow classes: what grows past these wants to be two.

`make lint` runs this. A function is counted without its docstring, a class by the methods that
it defines itself, overloads aside. Exceptions are named here, each with its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "toril"

MOST_LINES = 400
MOST_LINES_OF_FUNCTION = 40
MOST_METHODS = 20

EXCEPTIONS = {
    "engine/redis/lua/exchange.lua": "straight code: functions cost as much as commands (ADR 15)",
}


def too_large(path: Path, text: str) -> Iterator[str]:
    """Yield what of a file is too large."""
    lines = text.count("\n")
    if lines > MOST_LINES:
        yield f"{path}: {lines} lines"
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            yield from _too_large(path, node)


def _too_large(path: Path, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        lines = _lines(node)
        if lines > MOST_LINES_OF_FUNCTION:
            yield f"{path}: {node.name} has {lines} lines"
    elif isinstance(node, ast.ClassDef):
        methods = {
            one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        if len(methods) > MOST_METHODS:
            yield f"{path}: {node.name} has {len(methods)} methods"


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    is_documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if is_documented else 0
    return (node.end_lineno or 0) - node.lineno + 1 - docstring


def sources() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*")) if path.suffix in {".py", ".lua", ".sql"}]


def test_no_file_function_or_class_of_the_package_is_too_large():
    found = [
        one
        for path in sources()
        if path.relative_to(SOURCE).as_posix() not in EXCEPTIONS
        for one in too_large(path.relative_to(SOURCE), path.read_text(encoding="utf-8"))
    ]

    assert found == []


def test_every_exception_is_still_needed():
    for name in EXCEPTIONS:
        assert list(too_large(Path(name), (SOURCE / name).read_text(encoding="utf-8"))), name


LONG = "def f():\n" + "    a = 1\n" * MOST_LINES_OF_FUNCTION
WIDE = "class C:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(MOST_METHODS + 1))
OVERLOADED = "class C:\n" + "    def m(self): ...\n" * (MOST_METHODS + 1)
DOCUMENTED = 'def f():\n    """' + "Say.\n" * MOST_LINES_OF_FUNCTION + '    """\n    return 1\n'


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.py", "x = 1\n" * MOST_LINES, []),
        ("a.py", "x = 1\n" * (MOST_LINES + 1), ["a.py: 401 lines"]),
        ("a.lua", "x = 1\n" * (MOST_LINES + 1), ["a.lua: 401 lines"]),
        ("a.py", LONG, ["a.py: f has 41 lines"]),
        ("a.py", DOCUMENTED, []),
        ("a.py", WIDE, ["a.py: C has 21 methods"]),
        ("a.py", OVERLOADED, []),
    ],
    ids=["file", "long file", "long script", "long function", "docstring", "class", "overloads"],
)
def test_what_is_too_large_is_found(name, text, expected):
    assert list(too_large(Path(name), text)) == expected
