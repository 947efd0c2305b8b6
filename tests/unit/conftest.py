"""Unit tests look at one room at a time; nothing here starts a worker."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("toril", deadline=None)
settings.load_profile("toril")

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Let no unit test wait for long: a signal that does not come is a failure."""
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(60))
