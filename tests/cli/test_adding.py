"""`toril add`: what it stores, what it says, and waiting for the result."""

import signal

from tests.cli.prepared import counts_of, state_of

JOBS = """
from toril import QueueManager

manager = QueueManager("sqlite:///toril.db")
work = manager.register_queue("work")

@work.task("double")
async def double(number: int) -> dict:
    return {"number": number * 2}

@work.task("fail")
async def fail() -> None:
    raise LookupError("there is nothing")
"""


def test_the_first_job_makes_the_store_and_the_queue_when_asked_to(toril):
    answer = toril("add", "work", "double", '{"number": 2}', "--create", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert list(answer.json) == ["id", "created", "stored_in"]
    assert answer.json["created"] is True
    assert answer.json["stored_in"] == f"sqlite:///{toril.folder}/toril.db"
    assert state_of(toril.folder / "toril.db", "work", answer.json["id"]) == "waiting"


def test_every_option_reaches_the_job(filled):
    given = ["--priority", "critical", "--delay", "5m", "--attempts", "4", "--backoff", "2s"]
    given += ["--job-id", "mine", "--tag", "a", "--tag", "b", "--timeout", "1m", "--ttl", "1h"]
    assert filled("add", "mails", "send", "[1]", "--lifo", *given).code == 0
    job = filled("job", "show", "mails", "mine", "--json").json
    assert (job["state"], job["priority"], job["data"]) == ("delayed", 1, [1])
    assert job["options"] == {
        "attempts": 4,
        "priority": 1,
        "delay": 300_000,
        "jobId": "mine",
        "lifo": True,
        "timeout": 60_000,
        "ttl": 3_600_000,
        "tags": ["a", "b"],
        "backoff": {"type": "fixed", "delay": 2000},
    }


def test_a_second_job_of_an_id_is_told(filled):
    assert filled("add", "mails", "send", "--job-id", "mine").code == 0
    again = filled("add", "mails", "send", "--job-id", "mine", "--json")
    assert (again.code, again.json["created"]) == (0, False)
    assert again.said == "job mine already exists; nothing was added"


def test_data_come_from_stdin(filled):
    answer = filled("add", "mails", "send", "-", "--job-id", "mine", stdin=b'{"to": "all"}')
    assert answer.code == 0
    assert filled("job", "show", "mails", "mine", "--json").json["data"] == {"to": "all"}


def test_data_that_are_too_large_are_refused(filled):
    before = counts_of(filled.folder / "toril.db", "mails")
    answer = filled("add", "mails", "send", "-", stdin=b'"' + b"x" * (1 << 21) + b'"')
    assert (answer.code, answer.out) == (2, "")
    assert "more than the 1,048,576 allowed" in answer.said
    assert counts_of(filled.folder / "toril.db", "mails") == before


def test_data_that_are_large_go_to_the_store_of_payloads_and_are_shown_as_what_they_are(filled):
    data = b'"' + b"x" * (1 << 21) + b'"'
    where = {"TORIL_PAYLOAD_STORE": str(filled.folder / "payloads")}
    answer = filled("add", "mails", "send", "-", "--job-id", "mine", stdin=data, **where)
    assert answer.code == 0
    claim = filled("job", "show", "mails", "mine", "--json").json["data"]["$payload"]
    assert claim["bytes"] == len(data)
    path = f"{claim['day']}/{claim['sha256'][:2]}/{claim['sha256']}"
    assert (filled.folder / "payloads" / path).read_bytes() == data
    shown = filled("job", "show", "mails", "mine", COLUMNS="200").out
    assert f"2,097,154 bytes in the payload store, at {path}" in shown


def test_a_result_is_waited_for(toril):
    toril.write("jobs.py", JOBS)
    worker = toril.start("worker", "jobs")
    worker.until("press Ctrl-C to stop")
    done = toril("add", "work", "double", '{"number": 4}', "--wait", "30s", "--json")
    assert (done.code, done.json["result"]) == (0, {"number": 8})
    assert done.said == f"waiting for job {done.json['id']}"
    shown = toril("add", "work", "double", '{"number": 4}', "--wait", "30s")
    assert 'result     {"number":8}' in shown.out
    failed = toril("add", "work", "fail", "--wait", "30s", "--json")
    assert (failed.code, failed.out) == (1, "")
    assert "failed: LookupError: there is nothing" in failed.err
    worker.signal(signal.SIGTERM)
    assert worker.result() == 0


def test_a_result_that_does_not_come_is_a_timeout_and_the_job_stays(filled):
    answer = filled("add", "mails", "send", "--job-id", "mine", "--wait", "100ms")
    assert (answer.code, answer.out) == (8, "")
    assert "job mine did not finish within 0.1 s" in answer.err
    assert state_of(filled.folder / "toril.db", "mails", "mine") == "waiting"
