"""The checker must turn red for each way in which a queue can break its promises."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults.checker import Expected, Record, Store, Verdict, check
from tests.faults.ledger import (
    Ended,
    Entry,
    Fail,
    Heard,
    Info,
    Invoke,
    Ledger,
    Line,
    Ok,
    Reader,
    Settled,
    Started,
    Struck,
)


def run(job: str, number: int = 1, at: float = 0.0, *, taken: bool | None = True) -> list[Entry]:
    """Return one run of a job; `taken` is what became of its settlement, None if it sent none."""
    token = f"w:{number}"
    entries: list[Entry] = [Started(job, token, number, at), Ended(job, token, at + 1)]
    if taken is not None:
        entries.append(Settled(job, token, number, "Complete", at + 1, taken))
    if taken:
        entries.append(Heard(job, token))
    return entries


def added(*jobs: str) -> list[Entry]:
    return [Invoke([*jobs], whole=True), Ok([*jobs])]


def store(*records: Record | str) -> Store:
    found = [Record(r, "completed") if isinstance(r, str) else r for r in records]
    counts: dict[str, int] = {}
    for record in found:
        counts[record.state] = counts.get(record.state, 0) + 1
    return Store(found, counts)


GOOD = [*added("a", "b"), *run("a"), *run("b"), Struck("kill -9")]


def judge(entries: Iterable[Entry], held: Store, expected: Expected | None = None) -> Verdict:
    return check(entries, held, expected or Expected())


def test_what_an_emptied_store_may_have_lost_is_not_asked_for_and_all_else_is():
    history = [*added("a"), *added("b"), *run("a"), *run("b"), Struck("FLUSHALL")]
    expected = Expected(forgotten=frozenset({"a"}))
    assert judge(history, store("b"), expected).green
    assert judge(history, store("a", "b"), expected).green
    assert judge(history, store("a"), expected).lost == ["b"]


def test_a_good_history_is_green():
    verdict = judge(GOOD, store("a", "b"))
    assert verdict.green, verdict.problems
    assert (verdict.accepted, verdict.runs, verdict.extra, verdict.faults) == (2, 2, 0, 1)


def test_the_order_of_the_entries_does_not_matter():
    assert judge(reversed(GOOD), store("a", "b")).green


def test_a_job_that_was_dropped_is_lost():
    verdict = judge(GOOD, store("a"))
    assert verdict.lost == ["b"]
    assert not verdict.green


def test_a_job_that_was_dropped_before_it_ran_is_lost():
    entries = [*added("a", "b"), *run("a"), Struck("kill -9")]
    assert judge(entries, store("a")).lost == ["b"]


def test_a_job_that_never_ended_is_lost():
    entries = [*added("a", "b"), *run("a"), Struck("kill -9")]
    verdict = judge(entries, store("a", Record("b", "waiting", 0, 0)))
    assert verdict.lost == ["b"]


def test_a_job_that_has_not_ended_is_not_lost_before_the_queue_has_drained():
    entries = [*added("a", "b"), *run("a"), Struck("kill -9")]
    held = store("a", Record("b", "waiting", 0, 0))
    assert judge(entries, held, Expected(drained=False)).green


def test_a_job_that_completed_without_having_run_is_lost():
    entries = [*added("a"), Started("a", "w:1", 1, 0.0), Struck("kill -9")]
    assert judge(entries, store("a")).lost == ["a"]


def test_a_job_that_was_added_twice_is_doubled():
    verdict = judge(GOOD, store("a", "b", "b"))
    assert verdict.doubled == ["b"]
    assert not verdict.green


def test_a_job_that_ran_but_was_never_invoked_is_a_phantom():
    verdict = judge([*GOOD, *run("ghost")], store("a", "b"))
    assert verdict.phantom == ["ghost"]
    assert not verdict.green


def test_a_job_in_the_store_that_was_never_invoked_is_a_phantom():
    assert judge(GOOD, store("a", "b", "ghost")).phantom == ["ghost"]


def test_a_job_that_is_there_although_its_add_failed_is_a_phantom():
    entries = [*GOOD, Invoke(["c"]), Fail(["c"], "full"), *run("c")]
    assert judge(entries, store("a", "b", "c")).phantom == ["c"]


@pytest.mark.parametrize("there", [True, False])
def test_a_job_whose_add_ended_in_doubt_may_be_there_or_not(there: bool):
    entries = [*GOOD, Invoke(["c"]), Info(["c"], "no answer"), *(run("c") if there else [])]
    verdict = judge(entries, store("a", "b", "c") if there else store("a", "b"))
    assert verdict.green, verdict.problems


@pytest.mark.parametrize("there", [True, False])
def test_a_job_whose_producer_was_killed_may_be_there_or_not(there: bool):
    entries = [*GOOD, Invoke(["c"]), *(run("c") if there else [])]
    verdict = judge(entries, store("a", "b", "c") if there else store("a", "b"))
    assert verdict.green, verdict.problems


def test_a_batch_of_which_some_is_there_is_torn():
    entries = [*GOOD, Invoke(["c", "d", "e"], whole=True), *run("c"), *run("d")]
    verdict = judge(entries, store("a", "b", "c", "d"))
    assert verdict.torn == ["c with 2 of 3"]
    assert not verdict.green


def rescued(first_taken: bool, first_settles_at: float) -> list[Entry]:
    """Return a history in which a job's first run outlived its lease."""
    return [
        *added("a"),
        Started("a", "w:1", 1, 0.0),
        *run("a", 2, 5.0, taken=not first_taken),
        Ended("a", "w:1", first_settles_at),
        Settled("a", "w:1", 1, "Complete", first_settles_at, first_taken),
        Struck("SIGSTOP"),
    ]


TWICE = store(Record("a", "completed", attempts_started=2, stalls=1))


def test_a_settlement_that_was_refused_is_not_stale():
    verdict = judge(rescued(False, 9.0), TWICE, Expected(extra_runs=1))
    assert verdict.green, verdict.problems


def test_a_settlement_that_was_taken_after_another_lease_began_is_stale():
    verdict = judge(rescued(True, 9.0), TWICE, Expected(extra_runs=1))
    assert verdict.stale == ["a"]
    assert not verdict.green


def test_a_stale_settlement_is_seen_though_the_later_lease_never_came_to_run():
    entries = [*added("a"), *run("a"), Struck("SIGSTOP")]
    assert judge(entries, TWICE).stale == ["a"]


def test_a_stale_retry_is_seen():
    entries = [
        *added("a"),
        *run("a", 2, 5.0),
        Started("a", "w:1", 1, 0.0),
        Settled("a", "w:1", 1, "Retry", 5.5, taken=True),
        Struck("SIGSTOP"),
    ]
    assert judge(entries, TWICE, Expected(extra_runs=1)).stale == ["a"]


def test_a_lease_that_settles_twice_is_stale():
    entries = [*GOOD, Settled("a", "w:1", 1, "Complete", 2.0, taken=True)]
    assert judge(entries, store("a", "b")).stale == ["a"]


def test_two_leases_of_one_number_are_stale():
    entries = [*GOOD, Started("a", "other:1", 1, 0.5)]
    assert judge(entries, store("a", "b"), Expected(extra_runs=1)).stale == ["a"]


def test_a_completion_that_was_announced_but_not_taken_is_stale():
    entries = [*rescued(False, 9.0), Heard("a", "w:1")]
    assert judge(entries, TWICE, Expected(extra_runs=1)).stale == ["a"]


def test_a_job_that_failed_against_expectation_is_wrong():
    verdict = judge(GOOD, store("a", Record("b", "failed")))
    assert verdict.wrong == ["b failed"]
    assert not verdict.green


def test_a_job_that_should_have_failed_and_completed_is_wrong():
    verdict = judge(GOOD, store("a", "b"), Expected(dead=frozenset({"b"})))
    assert verdict.wrong == ["b completed"]


def test_a_dead_job_need_not_have_run_to_its_end():
    entries = [*added("a"), Started("a", "w:1", 1, 0.0), Struck("exit")]
    verdict = judge(entries, store(Record("a", "failed")), Expected(dead=frozenset({"a"})))
    assert verdict.green, verdict.problems


def test_counts_that_differ_from_the_listing_are_not_conserved():
    held = store("a", "b")
    held.counts["waiting"] = 1
    verdict = judge(GOOD, held)
    assert verdict.conserved
    assert not verdict.green


def test_a_sum_over_the_states_that_differs_from_what_was_accepted_is_not_conserved():
    assert judge(GOOD, store("a")).conserved == ["2 were accepted and 1 are in the states"]


def test_more_extra_runs_than_are_allowed_are_red():
    entries = [*added("a"), Started("a", "w:1", 1, 0.0), *run("a", 2, 5.0), Struck("kill -9")]
    assert judge(entries, TWICE, Expected(extra_runs=1)).green
    assert judge(entries, TWICE).problems == ["1 extra runs where 0 may be"]


def test_a_run_that_was_given_back_is_no_extra_run():
    back = Settled("a", "w:1", 1, "Release", 1.0, taken=True)
    entries = [*added("a"), Started("a", "w:1", 1, 0.0), back, *run("a", 2, 5.0), Struck("TERM")]
    assert judge(entries, store(Record("a", "completed", attempts_started=2))).green


def test_a_run_in_which_no_fault_struck_is_red():
    entries = [entry for entry in GOOD if not isinstance(entry, Struck)]
    assert judge(entries, store("a", "b")).problems == ["0 faults struck where 1 should have"]


def test_a_run_cannot_ask_for_no_faults():
    entries = [entry for entry in GOOD if not isinstance(entry, Struck)]
    assert not judge(entries, store("a", "b"), Expected(faults=0)).green


def test_fewer_faults_than_were_promised_are_red():
    assert not judge(GOOD, store("a", "b"), Expected(faults=2)).green


def test_a_run_in_which_nothing_was_accepted_is_red():
    assert judge([Struck("kill -9")], store()).problems == ["nothing was accepted"]


def test_a_ledger_says_what_was_written_to_it(tmp_path: Path):
    first, second = Ledger(tmp_path, "one"), Ledger(tmp_path, "two")
    reader = Reader(tmp_path)
    first.write(Ok(["a"]))
    assert reader.read() == [Line("one", Ok(["a"]))]
    second.write(Ok(["b"]))
    first.write(Ok(["c"]))
    assert reader.read() == [Line("one", Ok(["c"])), Line("two", Ok(["b"]))]
    assert len(reader.lines) == 3
    first.close()
    second.close()


def test_a_line_without_its_end_was_not_said(tmp_path: Path):
    (tmp_path / "killed.1.jsonl").write_bytes(b'{"type":"ok","ids":["a"]}\n{"type":"ok","ids":["b"')
    reader = Reader(tmp_path)
    assert reader.read() == [Line("killed", Ok(["a"]))]
    assert reader.read() == []
