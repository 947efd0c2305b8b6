import pytest

from toril.model.state import FINAL, INITIAL, READY, STORED, TRANSITIONS, JobState


def test_each_stored_state_has_its_ways_out():
    assert set(TRANSITIONS) == STORED


def test_every_way_ends_in_a_stored_state():
    assert set().union(*TRANSITIONS.values()) <= STORED


@pytest.mark.parametrize("state", sorted(STORED))
def test_no_state_leads_to_itself(state):
    assert state not in TRANSITIONS[state]


@pytest.mark.parametrize("state", sorted(STORED))
def test_every_state_can_be_reached_from_where_jobs_are_added(state):
    reached = set(INITIAL)
    while more := set().union(*(TRANSITIONS[s] for s in reached)) - reached:
        reached |= more

    assert state in reached


@pytest.mark.parametrize("state", sorted(STORED))
def test_every_job_can_come_to_an_end(state):
    seen = {state}
    while more := set().union(*(TRANSITIONS[s] for s in seen)) - seen:
        seen |= more

    assert seen & FINAL


def test_a_finished_job_is_left_only_to_run_it_again():
    assert {TRANSITIONS[state] for state in FINAL} == {READY}


def test_only_a_ready_job_becomes_active():
    before = {state for state, after in TRANSITIONS.items() if JobState.ACTIVE in after}

    assert before == READY


def test_only_an_active_job_completes():
    before = {state for state, after in TRANSITIONS.items() if JobState.COMPLETED in after}

    assert before == {JobState.ACTIVE}


def test_states_are_called_what_bullmq_calls_them():
    assert [str(state) for state in JobState] == [
        "waiting",
        "prioritized",
        "delayed",
        "waiting-children",
        "active",
        "completed",
        "failed",
        "paused",
        "dead",
        "unknown",
    ]


def test_what_only_listings_show_is_not_stored():
    assert set(JobState) - STORED == {JobState.PAUSED, JobState.DEAD, JobState.UNKNOWN}
