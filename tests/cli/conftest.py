"""The program as its users run it: as a process of its own, on real stores."""

from pathlib import Path

import pytest

from tests.cli.prepared import fill
from tests.cli.program import Program

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Let no test wait for long: an answer that does not come is a failure."""
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(60))


@pytest.fixture
def toril(tmp_path):
    """Run the program in an empty folder."""
    program = Program(tmp_path)
    yield program
    program.end()


@pytest.fixture(scope="session")
def looked_at(tmp_path_factory):
    """Run the program in a folder whose store has jobs of every kind; only to look."""
    folder = tmp_path_factory.mktemp("looked-at")
    jobs = fill(folder / "toril.db")
    program = Program(folder)
    program.jobs = jobs
    yield program
    program.end()


@pytest.fixture
def filled(toril):
    """Run the program in a folder of its own with such a store."""
    toril.jobs = fill(toril.folder / "toril.db")
    return toril
