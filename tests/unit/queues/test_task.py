"""Functions as tasks: which can be one, and how their arguments travel."""

import datetime as dt
import enum
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest

from toril import ConfigurationError, JobContext, QueueManager, Settings, ValidationError


@pytest.fixture
def queue():
    return QueueManager("memory://", settings=Settings()).register_queue("q")


@dataclass
class Address:
    street: str
    number: int = 1


class Colour(enum.Enum):
    RED = "red"


class Custom:
    pass


async def takes_two(to: str, count: int = 1) -> dict[str, int]:
    return {to: count}


def data(task, *args, **kwargs):
    return json.loads(task.job(*args, **kwargs).data)


# A task is its function


async def test_a_task_is_callable_as_it_is(queue):
    task = queue.task("two")(takes_two)

    assert await task("a", count=2) == {"a": 2}


def test_a_sync_task_is_callable_as_it_is(queue):
    @queue.task
    def double(x: int) -> int:
        return 2 * x

    assert double(4) == 8


def test_a_task_looks_like_its_function(queue):
    task = queue.task("two")(takes_two)

    assert (task.__name__, task.__module__) == ("takes_two", __name__)
    assert task.__wrapped__ is takes_two
    assert repr(task) == "<Task two in q>"


def test_a_task_is_named_after_its_function_unless_it_is_told(queue):
    assert queue.task(takes_two).name == "takes_two"
    assert queue.task()(lambda: None).name == "<lambda>"
    assert queue.task("another")(takes_two).name == "another"


async def test_a_task_with_a_context_says_how_to_call_it_without_a_worker(queue):
    @queue.task
    async def report(job: JobContext, x: int) -> int:
        return x

    with pytest.raises((TypeError, ConfigurationError), match="context"):
        await report(1)


# Names


def test_two_tasks_of_one_queue_have_two_names(queue):
    queue.task("same")(takes_two)

    with pytest.raises(ConfigurationError, match="already has a task 'same'; use another name"):
        queue.task("same")(takes_two)


def test_two_queues_may_have_a_task_of_the_same_name():
    manager = QueueManager("memory://", settings=Settings())

    for name in ("a", "b"):
        manager.register_queue(name).task("same")(takes_two)


@pytest.mark.parametrize("name", ["", 5, "x" * 256, "\ud800"], ids=lambda v: repr(v)[:10])
def test_a_name_that_can_be_no_jobs_is_refused(queue, name):
    with pytest.raises(ValidationError, match=r"^name: "):
        queue.task(name)(takes_two)


# Where it runs


def test_a_coroutine_function_runs_on_the_event_loop_and_others_in_threads(queue):
    assert queue.task("a")(takes_two).run_in == "async"
    assert queue.task("b")(lambda: None).run_in == "thread"
    assert queue.task("c", run_in="process")(takes_two).run_in == "process"


@pytest.mark.parametrize(
    ("function", "run_in", "what"),
    [
        (takes_two, "thread", "is a coroutine function"),
        (len, "async", "is not a coroutine function; define it with async def"),
        (takes_two, "proces", "must be auto, async, thread or process, not 'proces'"),
    ],
    ids=["coroutine in a thread", "function as a coroutine", "misspelt"],
)
def test_a_function_that_cannot_run_there_is_refused(queue, function, run_in, what):
    with pytest.raises(ConfigurationError, match=what):
        queue.task("t", run_in=run_in)(function)


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "5"], ids=repr)
def test_a_tasks_concurrency_is_a_number_from_1(queue, concurrency):
    with pytest.raises(ConfigurationError, match="must be an integer ≥ 1"):
        queue.task("t", concurrency=concurrency)(takes_two)


# Signatures that cannot be


def variadic(*args):
    pass


def keywords(**kwargs):
    pass


def positional(x, /):
    pass


def unknown_type(x: "Nowhere"):  # noqa: F821
    pass


def unknown_attribute(x: "dt.nowhere"):
    pass


def no_expression(x: "1 +"):  # noqa: F722
    pass


def ambiguous(x: dt.datetime | str):
    pass


def custom(x: Custom):
    pass


def context_second(x: int, job: JobContext):
    pass


def context_or_none(job: JobContext | None):
    pass


def generator() -> Iterator[int]:
    yield 1


async def async_generator():
    yield 1


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (variadic, "takes *args"),
        (keywords, "takes **kwargs"),
        (positional, "'x' by position only; remove the /"),
        (unknown_type, "import it at run time"),
        (unknown_attribute, "nowhere"),
        (no_expression, "x"),
        (ambiguous, "'t'"),
        (custom, "Custom"),
        (context_second, "first"),
        (context_or_none, "JobContext"),
        (generator, "generator"),
        (async_generator, "generator"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_function_that_can_be_no_task_is_refused_where_it_is_defined(queue, function, what):
    with pytest.raises(ConfigurationError) as caught:
        queue.task("t")(function)

    assert what in str(caught.value)
    assert queue.tasks == {}


@pytest.mark.parametrize("what", [5, "x", None], ids=repr)
def test_what_cannot_be_called_is_no_task(queue, what):
    with pytest.raises(ConfigurationError, match="cannot be a task: it must be a function"):
        queue.task("t")(what)


def test_what_has_no_name_is_asked_for_one(queue):
    with pytest.raises(ConfigurationError, match="name"):
        queue.task(functools.partial(takes_two, count=5))


def test_what_has_no_name_can_be_given_one(queue):
    task = queue.task("partial")(functools.partial(takes_two, count=5))

    assert data(task, "a") == {"to": "a"}


def test_an_object_that_can_be_called_can_be_a_task(queue):
    class Adder:
        def __call__(self, x: int) -> int:
            return x + 1

    task = queue.task("adder")(Adder())

    assert task(1) == 2
    with pytest.raises(ValidationError, match=r"arguments\.x"):
        task.job("one")


def test_a_method_can_be_a_task(queue):
    class Service:
        async def send(self, to: str) -> str:
            return to

    task = queue.task(Service().send)

    assert data(task, "a") == {"to": "a"}


def test_parameters_may_have_any_name_that_python_allows(queue):
    def odd(self: int, cls: int, _private: int, data: int, name: int) -> None:
        pass

    task = queue.task(odd)

    assert data(task, 1, 2, 3, 4, 5) == {
        "self": 1,
        "cls": 2,
        "_private": 3,
        "data": 4,
        "name": 5,
    }


# Options


def test_a_misspelt_option_of_a_task_is_answered_with_the_near_one(queue):
    with pytest.raises(ValidationError, match="did you mean 'attempts'"):
        queue.task("t", attemps=5)(takes_two)


def test_a_task_with_other_options_is_another_task_and_leaves_the_first_as_it_was(queue):
    task = queue.task("t", attempts=3, tags=["a"])(takes_two)
    other = task.options(attempts=5, delay="1m")

    assert task.job("x").options.attempts == 3
    assert (other.job("x").options.attempts, other.job("x").options.delay_ms) == (5, 60_000)
    assert other.job("x").options.tags == ("a",)
    assert queue.tasks == {"t": task}


def test_a_misspelt_option_of_a_call_is_answered_with_the_near_one(queue):
    with pytest.raises(ValidationError, match="did you mean 'delay'"):
        queue.task("t")(takes_two).options(dealy=5)


def test_a_tasks_options_go_before_its_queues_and_a_calls_before_both():
    manager = QueueManager("memory://", settings=Settings(remove_on_complete=9))
    queue = manager.register_queue("q", default_job_options={"attempts": 2, "timeout": 1})
    task = queue.task("t", attempts=3)(takes_two)

    options = task.options(timeout=2).job("x").options

    assert (options.attempts, options.timeout_ms) == (3, 2000)
    assert options.keep_completed.count == 9


def test_every_job_has_an_id_of_its_own_unless_it_is_given_one(queue):
    task = queue.task("t")(takes_two)

    assert task.job("x").id != task.job("x").id
    assert task.options(job_id="mine").job("x").id == "mine"


# Arguments


def test_arguments_travel_as_one_object_by_name(queue):
    task = queue.task(takes_two)

    assert data(task, "a", 2) == {"to": "a", "count": 2}
    assert data(task, count=2, to="a") == {"to": "a", "count": 2}


def test_a_default_that_is_not_given_is_left_to_the_worker(queue):
    task = queue.task(takes_two)

    assert data(task, "a") == {"to": "a"}
    assert task.arguments.decode('{"to":"a"}') == {"to": "a", "count": 1}


def test_the_context_is_no_argument(queue):
    @queue.task
    async def report(job: JobContext, x: int) -> None:
        pass

    assert data(report, 1) == {"x": 1}
    with pytest.raises(ValidationError, match=r"arguments"):
        report.job(x=1, job=None)


@pytest.mark.parametrize(
    ("args", "kwargs", "field", "what"),
    [
        ((), {}, "arguments", "missing a required argument: 'to'; it takes (to: str, count: int"),
        (("a", 1, 2), {}, "arguments", "too many positional arguments"),
        (("a",), {"to": "b"}, "arguments", "multiple values for argument 'to'"),
        (("a",), {"cuont": 1}, "arguments", "unexpected keyword argument 'cuont'"),
        ((5,), {}, "arguments.to", "Expected `str`, got `int`"),
        (("a", "1"), {}, "arguments.count", "Expected `int`, got `str`"),
        (("a", None), {}, "arguments.count", "Expected `int`, got `null`"),
        (("a", 2**60), {}, "arguments.count", "beyond 2^53"),
        (("\ud800",), {}, "arguments", "lone surrogate"),
        ((...,), {}, "arguments.to", "cannot be written as JSON"),
    ],
    ids=lambda value: str(value)[:30].encode("ascii", "replace").decode(),
)
def test_arguments_that_do_not_fit_are_refused_when_they_are_enqueued(
    queue, args, kwargs, field, what
):
    with pytest.raises(ValidationError) as caught:
        queue.task(takes_two).job(*args, **kwargs)

    assert what in str(caught.value)
    assert caught.value.field == field


def test_the_path_to_an_argument_within_another_is_named(queue):
    @queue.task
    def send(addresses: list[Address]) -> None:
        pass

    with pytest.raises(ValidationError) as caught:
        send.job([Address("a"), Address("b", "c")])

    assert caught.value.field == "arguments.addresses[1].number"


def test_arguments_are_held_to_the_queues_limit():
    queue = QueueManager("memory://", settings=Settings()).register_queue("q", max_data_bytes=20)

    with pytest.raises(ValidationError, match="more than the 20 allowed"):
        queue.task(takes_two).job("x" * 20)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 5),
        (float, 1.5),
        (bool, True),
        (str | None, None),
        (int | str, "x"),
        (Any, {"a": [1, None]}),
        (list[int], [1, 2]),
        (tuple[int, str], (1, "a")),
        (set[int], {1, 2}),
        (dict[str, Address], {"home": Address("a", 2)}),
        (dict, {"a": 1}),
        (Literal["a", "b"], "a"),
        (Colour, Colour.RED),
        (bytes, b"\x00\xff"),
        (dt.datetime, dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
        (dt.timedelta, dt.timedelta(seconds=5)),
        (Annotated[int, msgspec.Meta(gt=0)], 5),
    ],
    ids=str,
)
def test_an_argument_arrives_as_what_the_function_declares(queue, kind, value):
    def function(x):
        pass

    function.__annotations__ = {"x": kind}
    task = queue.task(function)

    assert task.arguments.decode(task.job(value).data) == {"x": value}


def test_a_float_may_be_given_as_an_integer(queue):
    @queue.task
    def wait(seconds: float) -> None:
        pass

    assert wait.arguments.decode(wait.job(1).data) == {"seconds": 1.0}


def test_constraints_on_a_type_hold_for_arguments(queue):
    @queue.task
    def page(number: Annotated[int, msgspec.Meta(ge=1)]) -> None:
        pass

    with pytest.raises(ValidationError, match=r"arguments\.number: Expected `int` >= 1"):
        page.job(0)


def test_without_annotations_any_json_is_an_argument(queue):
    @queue.task
    def anything(x, y=None):
        pass

    assert data(anything, [1, {"a": None}]) == {"x": [1, {"a": None}]}
    with pytest.raises(ValidationError, match=r"arguments\.x"):
        anything.job(...)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"to":5}', r"arguments\.to: Expected `str`, got `int`"),
        ("{}", "missing required field `to`"),
        ('{"to":"a","cc":1}', "unknown field `cc`"),
        ("[]", "Expected `object`, got `array`"),
        ("null", "Expected `object`, got `null`"),
    ],
)
def test_a_payload_that_another_program_wrote_is_checked_by_the_worker(queue, text, what):
    with pytest.raises(ValidationError, match=what) as caught:
        queue.task(takes_two).arguments.decode(text)

    assert caught.value.field.startswith("arguments")


def test_a_mutable_default_is_allowed(queue):
    @queue.task
    def collect(into: list[int] = []) -> None:  # noqa: B006 - as users write it
        pass

    assert collect.arguments.decode("{}") == {"into": []}


def test_the_return_type_is_kept_for_the_result(queue):
    assert queue.task(takes_two).arguments.result_type == dict[str, int]
    assert queue.task("none")(lambda: None).arguments.result_type is Any
