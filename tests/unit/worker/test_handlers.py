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

    @classmethod
    def of_class(cls, x: int) -> int:
        return x

    def of_object(self, x: int) -> int:
        return x


@pytest.fixture
def queue():
    return QueueManager("memory://", settings=Settings()).register_queue("q")


def test_a_function_is_found_by_its_module_and_name():
    assert reference(json.dumps) == FunctionRef("json", "dumps")
    assert reference(top_level) == FunctionRef(__name__, "top_level")
    assert reference(Holder.method) == FunctionRef(__name__, "Holder.method")


def test_a_method_of_a_class_is_found_by_its_name():
    assert reference(Holder.of_class) == FunctionRef(__name__, "Holder.of_class")


def inner_function():
    def inner(x: int) -> int:
        return x

    return inner


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x,
        functools.partial(top_level),
        functools.update_wrapper(functools.partial(top_level), top_level),
        Holder().of_object,
        inner_function(),
        [].append,
    ],
    ids=["lambda", "partial", "named partial", "method", "inner function", "method of a list"],
)
def test_a_function_that_no_other_process_could_find_is_refused_at_once(queue, function):
    with pytest.raises(ConfigurationError, match="top level of a module"):
        reference(function)
    with pytest.raises(ConfigurationError, match="top level of a module"):
        queue.task("task", run_in="process")(function)
    with pytest.raises(ConfigurationError, match="top level of a module"):
        queue.processor(function, run_in="process")


def renamed(x: int) -> int:
    return x


gone = renamed
del renamed


@functools.wraps(top_level)
def wrapper(x: int) -> int:
    return top_level(x) + 1


@pytest.mark.parametrize(
    ("function", "why"),
    [(gone, "no such name"), (wrapper, "would find")],
    ids=["gone", "another one"],
)
def test_a_function_whose_name_leads_elsewhere_is_refused_when_the_worker_starts(
    queue, function, why
):
    queue.task("task", run_in="process")(function)

    with pytest.raises(ConfigurationError, match=why):
        Routes(queue)
