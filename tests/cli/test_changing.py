"""Control of queues and jobs: what is done, what is asked before, and what is told."""

from tests.cli.prepared import counts_of, state_of

ALL = {"waiting": 4, "prioritized": 1, "delayed": 1, "completed": 1, "failed": 1}


def counts(program):
    return counts_of(program.folder / "toril.db", "mails")


def test_a_queue_is_paused_and_opened(filled):
    paused = filled("queue", "pause", "mails")
    assert (paused.code, paused.out) == (0, "")
    assert paused.said == "mails is paused; resume it with `toril queue resume mails`"
    assert filled("queue", "show", "mails", "--json").json["paused"] is True
    assert filled("queue", "resume", "mails", "--json").json == {"queue": "mails", "paused": False}
    assert filled("queue", "pause", "mails", "--json").json == {"queue": "mails", "paused": True}


def test_without_a_terminal_nothing_is_removed_unless_told_so(looked_at):
    asked = {
        "queue drain mails": "Remove 5 waiting jobs in mails?",
        "queue drain mails --delayed": "Remove 6 waiting or delayed jobs in mails?",
        "queue clean mails --grace 0s": "Remove up to 1 completed job in mails older than 0s?",
        "queue obliterate mails": "Remove the queue mails with 8 jobs, 0 of them running?",
        "job retry mails --all": "Retry 1 job in mails?",
        "job remove mails --all": "Remove 8 jobs in mails?",
        "job promote mails --tag late": "Promote 1 job tagged 'late' in mails?",
        "job cancel mails --name send": "Cancel 5 jobs named 'send' in mails?",
    }
    for typed, question in asked.items():
        answer = looked_at(*typed.split())
        assert (answer.code, answer.out) == (2, ""), typed
        end = "Nothing was done: without a terminal this needs --yes."
        assert answer.said == f"{question} {end}"
    assert counts(looked_at) == ALL


def test_what_is_done_is_counted(filled):
    done = {
        "job retry mails --all": {"retried": 1, "refused": {}},
        "job promote mails --tag late": {"promoted": 1, "refused": {}},
        "job cancel mails --name other": {"cancelled": 1, "refused": {}},
        "queue clean mails --grace 0s --state failed": {"removed": 1},
        "queue drain mails --delayed": {"removed": 6},
        "job remove mails --all": {"removed": 1, "refused": {}},
        "queue obliterate mails": {"removed": 0},
    }
    for typed, document in done.items():
        answer = filled(*typed.split(), "--yes", "--json")
        assert (answer.code, answer.err) == (0, ""), typed
        assert answer.json == document
    assert [q["queue"] for q in filled("queue", "list", "--json").json["queues"]] == ["empty"]


def test_nothing_to_do_needs_no_answer(looked_at):
    answer = looked_at("job", "retry", "mails", "--name", "nothing")
    assert (answer.code, answer.out, answer.said) == (0, "", "0 jobs retried")


def test_what_could_not_be_done_is_told_of_each_job(filled):
    failed, waiting = filled.jobs["failed"], filled.jobs["waiting"][0]
    answer = filled("job", "retry", "mails", failed, waiting, "nope", "--json")
    assert answer.code == 7
    assert answer.json == {
        "retried": 1,
        "refused": {
            waiting: f"job {waiting} is waiting and cannot be retried",
            "nope": "there is no job 'nope' in queue 'mails'",
        },
    }
    assert state_of(filled.folder / "toril.db", "mails", failed) == "waiting"


def test_a_job_in_the_wrong_state_is_a_conflict(looked_at):
    waiting, completed = looked_at.jobs["waiting"][0], looked_at.jobs["completed"]
    for verb, job in (("promote", waiting), ("cancel", completed)):
        answer = looked_at("job", verb, "mails", job)
        assert (answer.code, answer.out) == (5, "")
        assert answer.said.startswith(f"toril: job {job} is ")


def test_a_queue_whose_jobs_run_is_removed_only_by_force(toril):
    toril.write("jobs.py", RUNNING)
    assert toril("add", "work", "sleep", "--create").code == 0
    worker = toril.start("worker", "jobs")
    worker.until("asleep")
    refused = toril("queue", "obliterate", "work", "--yes")
    assert (refused.code, refused.out) == (5, "")
    assert refused.said.endswith(
        "'work' has 1 active job; wait until no job is active, or use --force"
    )
    asked = toril("queue", "obliterate", "work", "--force")
    assert "with 1 job, 1 of them running?" in asked.said
    assert toril("queue", "obliterate", "work", "--force", "--yes", "--json").json == {"removed": 1}


RUNNING = """
import asyncio
from toril import QueueManager

manager = QueueManager("sqlite:///toril.db")
work = manager.register_queue("work")

@work.task("sleep")
async def sleep() -> None:
    print("asleep", flush=True)
    await asyncio.sleep(60)
"""


def test_on_a_terminal_it_asks(filled):
    question = "Remove 5 waiting jobs in mails? [y/N]"
    for keys, code, end in (
        ("n\r", 1, "Nothing was done."),
        ("\r", 1, "Nothing was done."),
        ("\x04", 130, "stopped"),  # Ctrl-D
        ("\x03", 130, "stopped"),  # Ctrl-C
    ):
        asked = filled.terminal("queue", "drain", "mails")
        asked.until(question)
        asked.type(keys)
        assert asked.result() == code
        assert asked.shown.strip().endswith(end)
    assert counts(filled) == ALL
    asked = filled.terminal("queue", "drain", "mails")
    asked.until(question)
    asked.type("perhaps\r")
    asked.until(f"perhaps\n{question}")
    asked.type("yes\r")
    assert asked.result() == 0
    assert "5 jobs removed" in asked.shown
    assert counts(filled) == {"delayed": 1, "completed": 1, "failed": 1}
