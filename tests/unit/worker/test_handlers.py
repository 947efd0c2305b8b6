"""Where another process finds a function."""

import functools
import json

import pytest

from toril import ConfigurationError, QueueManager, Settings
from toril.worker.handlers import FunctionRef, Routes, reference


def top_level(x: int) -> int:
    return x


class Holder:
    @staticmethod
    def method(x: int) -> int:
        return x


@pytest.fixture
def queue():
    return QueueManager("memory://", settings=Settings()).register_queue("q")


def test_a_function_is_found_by_its_module_and_name():
    assert reference(json.dumps) == FunctionRef("json", "dumps")
    assert reference(top_level) == FunctionRef(__name__, "top_level")
    assert reference(Holder.method) == FunctionRef(__name__, "Holder.method")


@pytest.mark.parametrize(
    "function", [lambda: None, functools.partial(top_level, 1)], ids=["lambda", "partial"]
)
def test_a_function_that_no_other_process_could_find_is_refused(function):
    with pytest.raises(ConfigurationError, match="top level of a module"):
        reference(function)


def test_a_function_within_a_function_is_refused_when_the_worker_starts(queue):
    @queue.task(run_in="process")
    def inner(x: int) -> int:
        return x

    with pytest.raises(ConfigurationError, match="top level of a module"):
        Routes(queue)
