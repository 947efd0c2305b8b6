"""`toril worker`: finding the manager, saying what it serves, and stopping."""

import re
import signal

import pytest

from tests.cli.prepared import counts_of, state_of

JOBS = """
import asyncio
import os
from pathlib import Path

from toril import JobContext, QueueManager

manager = QueueManager("sqlite:///toril.db")
mails = manager.register_queue("mails")
reports = manager.register_queue("reports", prefix="other")
idle = manager.register_queue("idle")
number = 5

def function():
    pass

@mails.task("send")
async def send(to: str = "all") -> str:
    return to

@mails.task("hash", run_in="process")
def hash_it() -> int:
    return os.getpid()

@mails.task("wait")
async def wait() -> str:
    print("it runs", flush=True)
    while not Path("go").exists():
        await asyncio.sleep(0.02)
    return "done"

@reports.processor
async def report(job: JobContext) -> None:
    pass
"""

BROKEN = {
    "missing": (None, "there is no module 'missing' in "),
    "jbos": (None, "did you mean 'jobs'?"),
    "jobs.py": (None, "is a file path; use the module name: jobs"),
    "./jobs.py:manager": (None, "use the module name: jobs"),
    "jobs:manger": (None, "jobs has no 'manger'; did you mean 'manager'?"),
    "jobs:qqqq": (None, "jobs has no 'qqqq'; known: manager"),
    "jobs:number": (None, "is of type int, not a QueueManager; did you mean jobs:manager?"),
    "jobs:function": (None, "is of type function, not a QueueManager"),
    ":manager": (None, "use MODULE:ATTR"),
    "two words": (None, "use MODULE:ATTR"),
    "syntax": ("def f(:\n", "syntax cannot be imported: invalid syntax, at {here}/syntax.py:1"),
    "imports": ("import nowhere\n", "No module named 'nowhere', at {here}/imports.py:1"),
    "raises": ("x = 1\n1 / 0\n", "ZeroDivisionError: division by zero, at {here}/raises.py:2"),
    "leaves": ("raise SystemExit(0)\n", "exits when it is imported, at {here}/leaves"),
    "refused": (
        "import toril\nm = toril.QueueManager('mysql://h')\nm.register_processor('q', print)\n",
        "the URL does not name an engine",
    ),
    "without": ("x = 1\n", "without has no queue manager; add one"),
    "several": (
        "from toril import QueueManager\na = QueueManager('memory://')\nb = a\n",
        "several has 2 queue managers; choose one: several:a or several:b",
    ),
    "unhandled": (
        "from toril import QueueManager\na = QueueManager('memory://')\na.register_queue('q')\n",
        "no queue has a handler: add a task with @queue.task",
    ),
}


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """Return a folder with modules that cannot be worked, and one that can."""
    folder = tmp_path_factory.mktemp("modules")
    for name, (text, _) in BROKEN.items():
        if text is not None:
            (folder / f"{name}.py").write_text(text)
    (folder / "jobs.py").write_text(JOBS)
    return folder


@pytest.mark.parametrize("target", BROKEN)
def test_a_manager_that_is_not_found_is_explained(toril, modules, target):
    toril.folder = modules
    answer = toril("worker", target)
    assert (answer.code, answer.out) == (2, "")
    assert BROKEN[target][1].format(here=modules) in answer.said


def test_wrong_options_are_explained(toril, modules):
    toril.folder = modules
    for options, sentence in {
        "--queues mial": "--queues: the manager has no queue 'mial'; did you mean 'mails'?",
        "--queues mails,": "the manager has no queue ''",
        "--queues idle": "queue 'idle' has no handler",
        "--lease soon": "lease: 'soon' is not a valid duration",
        "--concurrency 0": "--concurrency",
        "--url nonsense": "does not name an engine",
    }.items():
        answer = toril("worker", "jobs", *options.split())
        assert (answer.code, answer.out) == (2, "")
        assert sentence in answer.said


def test_a_burst_says_what_it_serves_and_ends_when_nothing_is_left(toril):
    toril.write("jobs.py", JOBS)
    for name in ("send", "hash", "sned"):
        assert toril("add", "mails", name, "--create").code == 0
    answer = toril("worker", "jobs:manager", "--burst", QUEUE_CONCURRENCY="3")
    assert (answer.code, answer.out) == (0, "")
    said = answer.err.splitlines()
    assert said[:4] == [
        f"serving sqlite:///{toril.folder}/toril.db, 3 jobs at once:",
        "  mails: send (async), hash (process), wait (async)",
        "  other:reports: any name (async)",
        "press Ctrl-C to stop",
    ]
    assert re.search(r"WARNING .* 'sned' .* did you mean 'send'\?; its jobs wait", answer.err)
    assert said[-2:] == [
        "stopped: 2 jobs completed, 0 failed, 1 released",
        "no handler here for 'sned': 1 job released",
    ]


def test_a_process_is_replaced_after_a_number_of_jobs(toril):
    toril.write("jobs.py", JOBS)
    ids = [toril("add", "mails", "hash", "--create", "--json").json["id"] for _ in range(3)]
    options = ("--processes", "1", "--max-jobs-per-process", "1", "--max-memory-per-process", "1")

    assert toril("worker", "jobs", "--burst", *options).code == 0

    shown = [toril("job", "show", "mails", job_id, "--json").json for job_id in ids]
    assert len({job["result"] for job in shown}) == 3


def test_queues_are_chosen_by_their_names(toril):
    toril.write("jobs.py", JOBS)
    for name, said in (
        ("mails", ["  mails: send (async), hash (process), wait (async)"]),
        ("reports", ["  other:reports: any name (async)"]),
        ("other:reports", ["  other:reports: any name (async)"]),
    ):
        answer = toril("worker", "jobs", "--burst", "--queues", name)
        assert answer.code == 0
        assert answer.err.splitlines()[1:-2] == said


def test_the_url_names_another_store(toril):
    toril.write("jobs.py", JOBS.replace('"sqlite:///toril.db"', ""))
    assert toril("add", "mails", "send", "--create", "--url", "sqlite:///else.db").code == 0
    answer = toril("worker", "jobs", "--burst", "--url", "sqlite:///else.db", REDIS_HOST="away")
    assert answer.code == 0
    assert "stopped: 1 job completed" in answer.err
    assert counts_of(toril.folder / "else.db", "mails") == {"completed": 1}
    assert not (toril.folder / "toril.db").exists()


def test_a_worker_says_now_and_then_what_it_does(toril):
    toril.write("jobs.py", JOBS)
    assert toril("add", "mails", "wait", "--create").code == 0
    worker = toril.start("worker", "jobs", "--report", "200ms")
    line = worker.until("1 running")
    assert "INFO 0 jobs completed, 0 failed, 0 attempts retried; 0.0 a second" in line
    (toril.folder / "go").touch()
    worker.until("1 jobs completed")
    worker.signal(signal.SIGINT, everybody=True)
    assert worker.result() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_the_first_signal_lets_jobs_finish(toril, number):
    toril.write("jobs.py", JOBS)
    job = toril("add", "mails", "wait", "--create", "--json").json["id"]
    worker = toril.start("worker", "jobs")
    worker.until("it runs")
    worker.signal(number)
    worker.until("waiting for 1 job to finish; signal again to stop at once")
    (toril.folder / "go").touch()
    assert worker.result() == 0
    assert worker.said[-1] == "stopped: 1 job completed, 0 failed, 0 released"
    assert state_of(toril.folder / "toril.db", "mails", job) == "completed"


def test_the_second_signal_gives_jobs_back_without_an_attempt(toril):
    toril.write("jobs.py", JOBS)
    job = toril("add", "mails", "wait", "--create", "--json").json["id"]
    worker = toril.start("worker", "jobs")
    worker.until("it runs")
    worker.signal(signal.SIGTERM)
    worker.until("waiting for 1 job")
    worker.signal(signal.SIGINT)
    assert worker.result() == 0
    assert worker.said[-1] == "stopped: 0 jobs completed, 0 failed, 1 released"
    found = toril("job", "show", "mails", job, "--json").json
    assert (found["state"], found["attempts_made"]) == ("waiting", 0)


STEERED = r"""
from toril import JobContext, QueueManager

STEERING = "\x1b]0;title\x07 \x1b[2J \x9b31m \u202e \r"
manager = QueueManager("sqlite:///toril.db")
mails = manager.register_queue("mails")

@mails.processor
async def fail(job: JobContext) -> None:
    raise ValueError(f"no\n2026-01-01 00:00:00,000 INFO all is well {STEERING}")
"""


def test_what_a_job_wrote_forges_and_steers_nothing_in_the_workers_log(toril):
    toril.write("steered.py", STEERED)
    name = "evil\n2026-01-01 00:00:00,000 INFO all is well \x1b[2J"
    assert toril("add", "mails", name, "--create").code == 0

    answer = toril("worker", "steered", "--burst")

    assert answer.code == 0
    lines = answer.err.splitlines()
    assert any(r"\x1b]0;title" in line for line in lines)
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("2026-01-01") for line in lines)


def test_what_a_job_wrote_forges_and_steers_nothing_in_what_is_shown_of_it(toril):
    toril.write("steered.py", STEERED)
    name = "evil\nfailed\x1b[2J\u202e"
    added = toril("add", "mails", name, "--create", "--tag", "a\x1b[2J", "--json")
    assert toril("worker", "steered", "--burst").code == 0

    for verb in (["list", "mails"], ["show", "mails", added.json["id"]]):
        answer = toril("job", *verb)
        assert answer.code == 0
        assert all(line.isprintable() for line in answer.out.splitlines())
        assert r"evil\nfailed\x1b[2J\u202e" in answer.out
        assert not any(line.startswith("2026-01-01") for line in answer.out.splitlines())
    document = toril("job", "show", "mails", added.json["id"], "--json")
    assert document.json["name"] == name
    assert all(line.isprintable() for line in document.out.splitlines())


def test_a_url_given_in_a_wrong_place_is_not_repeated_with_its_password(toril):
    for command in (["doctor"], ["worker"], ["worker", "steered"]):
        answer = toril(*command, "redis://:s3cret@localhost")
        assert answer.code == 2
        assert "s3cret" not in answer.err


@pytest.mark.parametrize(
    "url", ["redis://:s3cret/Word@h", "redis://s3cret@h", "redis://:12#s3cret@h"]
)
def test_a_url_that_cannot_be_read_is_not_repeated(toril, url):
    for answer in (toril("doctor", "--url", url), toril("--debug", "doctor", TORIL_URL=url)):
        assert answer.code == 2
        assert "s3cret" not in answer.err
        assert "percent-encode" in answer.err or "write a colon before it" in answer.err
