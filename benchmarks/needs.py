"""What a peer needs of the machine; a need that is not met is reported, not an error."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

NODE_FOLDER = Path(__file__).parent / "node"

Need: TypeAlias = Callable[[], str | None]


def program(name: str) -> Need:
    """Need a program on the PATH."""
    return lambda: None if shutil.which(name) else f"the program `{name}` is not installed"


def distribution(package: str) -> Need:
    """Need a Python package."""
    return lambda: None if find_spec(package) else f"the Python package `{package}` is missing"


def node_modules(package: str) -> Need:
    """Need an installed npm package."""
    return lambda: None if _installed(package) else "run `npm ci` in benchmarks/node first"


def _installed(package: str) -> bool:
    return (NODE_FOLDER / "node_modules" / package / "package.json").is_file()
