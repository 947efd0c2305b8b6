import threading
import time

import pytest

from toril.worker.threads import Threads


@pytest.fixture
def threads():
    threads = Threads(3)
    yield threads
    threads.close()


def test_calls_run_side_by_side_up_to_the_size(threads):
    barrier = threading.Barrier(3)
    running = [threads.submit(barrier.wait) for _ in range(3)]

    assert sorted(future.result(5) for future in running) == [0, 1, 2]


def test_no_more_calls_run_than_the_size(threads):
    gate, started = threading.Event(), []
    futures = [threads.submit(lambda: started.append(1) or gate.wait(5)) for _ in range(10)]
    while len(started) < 3:
        time.sleep(0.001)

    assert sum(future.running() for future in futures) == 3
    gate.set()
    for future in futures:
        future.result(5)
    assert len(started) == 10


def test_a_thread_is_used_again(threads):
    names = set()
    for _ in range(20):
        names.add(threads.submit(lambda: threading.current_thread().name).result(5))
        while not threads._idle:
            time.sleep(0.001)

    assert len(names) == 1


def test_what_a_call_raises_belongs_to_who_waits(threads):
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 / 0).result(5)
    assert threads.submit(lambda: "goes on").result(5) == "goes on"


def test_what_has_not_begun_is_dropped_at_the_end_and_what_runs_is_left_alone():
    threads = Threads(1)
    gate, started = threading.Event(), threading.Event()
    running = threads.submit(lambda: started.set() or gate.wait(5))
    waiting = threads.submit(lambda: "never")
    started.wait(5)

    threads.close()

    assert waiting.cancelled()
    gate.set()
    assert running.result(5) is True


def test_no_thread_keeps_the_program_from_ending(threads):
    assert threads.submit(lambda: threading.current_thread().daemon).result(5)


def test_after_the_end_its_threads_are_gone():
    threads = Threads(2)
    thread = threads.submit(threading.current_thread).result(5)

    threads.close()

    thread.join(5)
    assert not thread.is_alive()
