"""Looking at queues and jobs: tables for people, one stable document for scripts."""

import re

from tests.cli.prepared import STEERING

OPEN = {"queue": "str", "prefix": "str", "paused": "bool"}
COUNTS = dict.fromkeys(
    ["waiting", "prioritized", "delayed", "waiting_children", "active", "completed", "failed"],
    "int",
)
RATES = {
    "window": "float",
    "stalled": "int",
    "retried": "int",
    "throughput": "float",
    "error_rate": "float",
    "mean_ms": "float",
    "p50_ms": "float",
    "p95_ms": "float",
    "p99_ms": "float",
}
METRICS = {**OPEN, **COUNTS, **RATES}
UNUSED = dict.fromkeys(["mean_ms", "p50_ms", "p95_ms", "p99_ms"], "NoneType")
ERROR = {"attempt": "int", "type": "str", "message": "str", "stack": "str", "ended_at": "str"}
JOB = {
    "id": "str",
    "queue": "str",
    "prefix": "str",
    "name": "str",
    "state": "str",
    "priority": "int",
    "data": {"to": "str"},
    "options": {"attempts": "int"},
    "created_at": "str",
    "due_at": "NoneType",
    "started_at": "str",
    "finished_at": "str",
    "attempts_made": "int",
    "attempts_started": "int",
    "stalled": "int",
    "progress": "int",
    "result": "NoneType",
    "worker": "NoneType",
    "cancel_requested": "bool",
    "errors": [ERROR],
}


def shape(document):
    """Return a document's keys in order, with the types of their values."""
    if isinstance(document, dict):
        return {key: shape(value) for key, value in document.items()}
    if isinstance(document, list):
        return [shape(value) for value in document]
    return type(document).__name__


def same(found, expected):
    """Whether two documents have the same keys in the same order."""
    assert found == expected
    assert repr(found) == repr(expected)


def test_the_document_of_the_queues_is_stable(looked_at):
    answer = looked_at("queue", "list", "--json")
    assert (answer.code, answer.err) == (0, "")
    same(shape(answer.json), {"queues": [{**METRICS, **UNUSED}, METRICS]})
    assert [queue["queue"] for queue in answer.json["queues"]] == ["empty", "mails"]


def test_the_document_of_a_queue_is_stable(looked_at):
    answer = looked_at("queue", "show", "mails", "--json")
    assert answer.code == 0
    rate = {"max": "int", "per": "float", "burst": "NoneType"}
    limits = {"concurrency": "int", "rate_limit": rate, "by_key": "NoneType"}
    same(shape(answer.json), {**METRICS, **limits})
    counts = {key: answer.json[key] for key in COUNTS if answer.json[key]}
    assert counts == {"waiting": 4, "prioritized": 1, "delayed": 1, "completed": 1, "failed": 1}
    assert answer.json["rate_limit"] == {"max": 1000, "per": 60.0, "burst": None}


def test_the_document_of_a_job_is_stable(looked_at):
    answer = looked_at("job", "show", "mails", looked_at.jobs["failed"], "--json")
    assert (answer.code, answer.err) == (0, "")
    same(shape(answer.json), {**JOB, "errors": [ERROR, ERROR]})
    assert answer.json["errors"][-1]["message"].startswith("there is no nobody")


def test_the_document_of_a_listing_is_stable(looked_at):
    answer = looked_at("job", "list", "mails", "--state", "failed", "--json")
    assert answer.code == 0
    same(shape(answer.json), {"jobs": [{**JOB, "errors": [ERROR, ERROR]}], "cursor": "NoneType"})


def test_the_documents_of_logs_and_findings_are_stable(looked_at):
    logs = looked_at("job", "logs", "mails", looked_at.jobs["failed"], "--json")
    assert logs.json == {"lines": [f"sending to nobody{STEERING}"] * 2}
    findings = looked_at("doctor", "--json")
    assert findings.code == 0
    assert list(findings.json) == ["store", "findings"]
    assert {tuple(finding) for finding in findings.json["findings"]} == {
        ("level", "check", "message")
    }


def test_a_listing_goes_on_where_its_cursor_says(looked_at):
    seen, cursor = [], []
    while True:
        page = looked_at("job", "list", "mails", "--limit", "5", "--json", *cursor).json
        seen += [job["id"] for job in page["jobs"]]
        if page["cursor"] is None:
            break
        cursor = ["--cursor", page["cursor"]]
    assert len(seen) == len(set(seen)) == 8


def test_the_cursor_that_people_are_shown_works_in_a_shell(looked_at):
    answer = looked_at("job", "list", "mails", "--limit", "5")
    assert len(answer.out.splitlines()) == 6
    hint = re.fullmatch(r"next page: --cursor '(.*)'", answer.said)
    rest = looked_at("job", "list", "mails", "--limit", "5", "--cursor", hint[1])
    assert (len(rest.out.splitlines()), rest.err) == (4, "")


def test_a_listing_can_be_filtered(looked_at):
    jobs = looked_at.jobs
    late = looked_at("job", "list", "mails", "--tag", "late", "--json").json["jobs"]
    assert [job["id"] for job in late] == [jobs["tagged"], jobs["delayed"]]
    other = looked_at("job", "list", "mails", "--name", "other", "--json").json["jobs"]
    assert [job["id"] for job in other] == [jobs["tagged"]]


def test_an_empty_listing_says_so_beside_the_data(looked_at):
    answer = looked_at("job", "list", "mails", "--name", "nothing")
    assert (answer.code, answer.out, answer.said) == (0, "", "no matching jobs in mails")


def test_a_pipe_gets_a_line_for_each_row_without_decoration(looked_at):
    lines = looked_at("queue", "list").out.splitlines()
    assert lines[0].split()[:4] == ["queue", "state", "ready", "delayed"]
    assert [line.split()[0] for line in lines[1:]] == ["empty", "mails"]
    assert all((line == line.rstrip() and line.isascii()) or "–" in line for line in lines)
    facts = looked_at("job", "show", "mails", looked_at.jobs["completed"]).out
    assert re.search(r"^result +\{\"to\":\"somebody\"\}$", facts, re.MULTILINE)


def test_what_a_job_failed_of_is_data(looked_at):
    answer = looked_at("job", "show", "mails", looked_at.jobs["failed"])
    assert answer.err == ""
    assert "attempt 2, " in answer.out
    assert "Traceback" in answer.out
    assert "there is no nobody" in answer.out


def test_a_terminal_gets_a_table_that_fits_it(looked_at):
    shown = looked_at.terminal("queue", "list", columns=80)
    assert shown.result() == 0
    assert "mails open" in shown.shown
    shown = looked_at.terminal("job", "list", "mails", columns=80)
    assert shown.result() == 0
    assert all(looked_at.jobs[state] in shown.shown for state in ("failed", "delayed"))
    assert max(map(len, shown.shown.splitlines())) <= 80


def test_no_colour_is_shown_where_none_is_wanted(looked_at):
    shown = looked_at.terminal("queue", "list", NO_COLOR="1")
    assert shown.result() == 0
    assert not re.search(r"\x1b\[(3|4|9|10)\d", shown.raw)


def test_what_a_job_wrote_cannot_steer_the_terminal(looked_at):
    for verb in ("show", "logs"):
        shown = looked_at.terminal("job", verb, "mails", looked_at.jobs["failed"])
        assert shown.result() == 0
        assert "there is no nobody" in shown.shown or "sending to nobody" in shown.shown
        assert STEERING not in shown.raw


def test_a_pipe_gets_a_log_as_it_was_written(looked_at):
    answer = looked_at("job", "logs", "mails", looked_at.jobs["completed"])
    assert (answer.out, answer.err) == (f"sending to somebody{STEERING}\n", "")


def test_the_doctor_finds_a_sound_store_sound(looked_at):
    answer = looked_at("doctor")
    assert (answer.code, answer.err) == (0, "")
    assert re.search(r"^ok +integrity +the file is sound$", answer.out, re.MULTILINE)


def test_the_doctor_warns_of_memory(looked_at):
    answer = looked_at("doctor", "--url", "memory://", "--json")
    assert answer.code == 0
    assert "warning" in {finding["level"] for finding in answer.json["findings"]}
