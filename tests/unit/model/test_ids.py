import os
import re
from concurrent.futures import ThreadPoolExecutor

from toril.model.checks import check_job_id
from toril.model.ids import IdMaker, new_id

_SHAPE = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


def test_an_id_has_26_characters_of_crockfords_base_32():
    assert all(_SHAPE.fullmatch(new_id()) for _ in range(1000))


def test_an_id_is_one_that_a_caller_might_have_given():
    made = [new_id() for _ in range(1000)]

    assert [check_job_id(job_id) for job_id in made] == made


def test_an_id_is_never_an_integer():
    assert not any(new_id().isdecimal() for _ in range(10_000))
    assert new_id().startswith("0")


def test_ids_sort_in_the_order_in_which_they_were_made():
    made = [new_id() for _ in range(50_000)]

    assert made == sorted(made)


def test_ids_are_unique_over_threads():
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: [new_id() for _ in range(5_000)], range(8)))

    assert len(set().union(*made)) == 8 * 5_000


def test_ids_are_unique_over_processes_of_one_millisecond():
    makers = [IdMaker() for _ in range(1000)]

    assert len({maker()[10:18] for maker in makers}) == 1000


def test_a_forked_child_does_not_repeat_its_parents_ids():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, "".join(new_id() for _ in range(100)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    theirs = {text[at : at + 26] for at in range(0, len(text), 26)}
    ours = {new_id() for _ in range(100)}

    assert len(theirs) == 100
    assert not theirs & ours
    assert {job_id[10:18] for job_id in theirs} != {job_id[10:18] for job_id in ours}


def test_a_clock_that_goes_back_does_not_undo_the_order(monkeypatch):
    now = 2_000_000_000_000_000_000
    monkeypatch.setattr("toril.model.ids.time.time_ns", lambda: now)
    maker = IdMaker()
    first = maker()
    now -= 10**15
    second = maker()

    assert first < second
