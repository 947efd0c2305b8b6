"""What users may rely on, written down: a change of it is a decision, and is seen in a review."""

import enum
import inspect
import re
import subprocess
import sys
from pathlib import Path

import toril

_SNAPSHOT = Path(__file__).with_name("public_surface.txt")


def surface():
    """Return every public name with its signature and those of its members."""
    return "\n".join(line for name in sorted(toril.__all__) for line in _lines(name)) + "\n"


def _lines(name):
    thing = getattr(toril, name)
    if not inspect.isclass(thing):
        return [f"{name}{_signature(thing)}" if inspect.isfunction(thing) else name]
    bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
    return [f"class {name}({bases})", *(f"    {line}" for line in _members(thing))]


def _members(thing):
    if issubclass(thing, enum.Enum):
        return [f"{name} = {member.value!r}" for name, member in thing.__members__.items()]
    found = [] if _is_pythons(thing, "__init__") else [f"__init__{_signature(thing)}"]
    for name in sorted(dir(thing)):
        if not name.startswith("_") and not _is_pythons(thing, name):
            found += _member(name, inspect.getattr_static(thing, name))
    return found


def _is_pythons(thing, name):
    """Whether a member is one that every exception or tuple has."""
    owner = next(base for base in thing.__mro__ if name in vars(base))
    return owner is not object and owner.__module__ == "builtins"


def _member(name, member):
    if isinstance(member, classmethod | staticmethod):
        member = member.__func__
    if not inspect.isfunction(member):
        return [name]
    prefix = "async " if inspect.iscoroutinefunction(member) else ""
    return [f"{prefix}{name}{_signature(member)}"]


def _signature(function):
    """Return a signature as it reads on every machine, with every version of Python."""
    text = str(inspect.signature(function)).replace("'", "")
    text = re.sub(r"\b(?:toril|typing|collections|datetime)\.(?:\w+\.)*", "", text)
    text = re.sub(r"ForwardRef\((\w+)[^)]*\)", r"\1", text)
    return re.sub(r"(processes: int = )\d+", r"\1<processors>", text)


def test_the_public_surface_is_as_it_was_decided():
    found = surface()

    assert _SNAPSHOT.read_text(encoding="utf-8") == found, (
        "The public surface has changed. If that is meant: write it into CHANGELOG.md, run\n"
        "    python tests/test_public_surface.py\n"
        f"and commit {_SNAPSHOT.name} with it. If it is not, undo it."
    )


def test_every_public_name_is_there_once_and_in_order():
    assert list(toril.__all__) == sorted(set(toril.__all__))
    assert [name for name in toril.__all__ if not hasattr(toril, name)] == []


def test_every_public_name_says_what_it_is():
    named = [n for n in toril.__all__ if inspect.isclass(getattr(toril, n))]

    assert [name for name in named if not inspect.getdoc(getattr(toril, name))] == []


def test_nothing_else_is_imported_into_the_package_by_name():
    found = {name for name in vars(toril) if not name.startswith("_")}
    rooms = {name for name in found if inspect.ismodule(getattr(toril, name))}

    assert found - rooms == set(toril.__all__) - {"__version__"}


def test_the_package_is_typed():
    assert (Path(toril.__file__).parent / "py.typed").exists()


def test_importing_the_package_starts_nothing():
    program = (
        "import threading, asyncio, toril\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "toril.QueueManager('memory://').register_queue('q')\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )

    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


if __name__ == "__main__":
    _SNAPSHOT.write_text(surface(), encoding="utf-8")
    print(f"wrote {_SNAPSHOT}")
