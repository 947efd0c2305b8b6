"""The three kinds of handlers, made of one function."""

import functools

KINDS = ["async", "thread", "process"]


def as_task(queue, function, kind, name=None, **options):
    """Make a function of `tests.worker.jobs` a task of a kind."""
    made = on_the_loop(function) if kind == "async" else function
    return queue.task(name or function.__name__, run_in=kind, **options)(made)


def on_the_loop(function):
    """Return a coroutine function that does the same."""

    @functools.wraps(function)
    async def run(*args, **kwargs):
        return function(*args, **kwargs)

    return run
