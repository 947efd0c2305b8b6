"""Whatever is typed wrongly gets one sentence with the way out, and the right exit code."""

import subprocess
import sys

import apsw
import pytest

OK, FAILED, USAGE, NOT_FOUND, AUTH, CONFLICT, UNREACHABLE, PARTLY, TIMEOUT = range(9)

MISTAKES = {
    "an unknown verb": ("qeue list", USAGE, "No such command 'qeue'"),
    "an unknown verb of a group": ("queue lst", USAGE, "Did you mean 'list'? See: toril queue -"),
    "an unknown option": ("queue list --jsn", USAGE, "--jsn"),
    "a missing argument": ("queue show", USAGE, "Missing argument 'QUEUE'. See: toril queue show"),
    "an unknown queue": ("queue show qqq", NOT_FOUND, "there is no queue 'qqq' in sqlite:///"),
    "a queue's near name": ("queue drain mial --yes", NOT_FOUND, "did you mean 'mails'?"),
    "a queue's near name to add to": ("add mial send", NOT_FOUND, "use --create to create it"),
    "a queue of another prefix": ("queue show other:mails", NOT_FOUND, "no queue 'other:mails'"),
    "an unknown state": ("job list mails --state faild", USAGE, "'failed'"),
    "an unknown job": ("job show mails nope", NOT_FOUND, "no job 'nope' in queue 'mails'"),
    "an unknown job's logs": ("job logs mails nope", NOT_FOUND, "no job 'nope'"),
    "unknown jobs": ("job retry mails a b", NOT_FOUND, "no job 'a' in queue 'mails'; there is no"),
    "neither ids nor a filter": ("job retry mails", USAGE, "Give either ids, or --all"),
    "ids and a filter": ("job retry mails a --all", USAGE, "Give either ids, or --all"),
    "a listing's foreign cursor": (
        "job list mails --cursor x",
        USAGE,
        "cursor: 'x' is not a cursor from",
    ),
    "a page that is too large": ("job list mails --limit 5000", USAGE, "--limit"),
    "data that are not JSON": ("add mails send {", USAGE, "data: is not JSON:"),
    "data with a key twice": ('add mails send {"a":1,"a":2}', USAGE, "'a' appears twice"),
    "data beyond numbers": ("add mails send [NaN]", USAGE, "NaN is not JSON"),
    "a near priority": ("add mails send --priority hihg", USAGE, "did you mean 'HIGH'?"),
    "a negative priority": ("add mails send --priority=-1", USAGE, "priority"),
    "no duration": ("add mails send --delay soon", USAGE, 'write it like "250ms", "30s"'),
    "no attempts": ("add mails send --attempts 0", USAGE, "attempts"),
    "an id that BullMQ refuses": ("add mails send --job-id 12", USAGE, "is an integer"),
    "no grace": ("queue clean mails --grace x", USAGE, "grace: 'x' is not a valid duration"),
    "a new queue's bad name": ("add a:b: send --create", USAGE, "queue: must be text"),
    "an unknown engine": (
        "queue list --url mysql://u:pw@h/d",
        USAGE,
        "the URL does not name an engine",
    ),
    "a URL without a file": ("queue list --url sqlite://x.db", USAGE, "use sqlite:///toril.db"),
    "an empty URL": ("queue list --url=", USAGE, "the URL does not name an engine"),
    "a missing file": ("queue list --url sqlite:///no.db", UNREACHABLE, "use --url or TORIL_URL"),
    "a missing folder": ("queue list --url sqlite:///no/x.db", UNREACHABLE, "create it first"),
    "a folder": ("queue list --url sqlite:////", UNREACHABLE, "is a folder; name a file in it"),
    "a shell without completion": ("completion tcsh", USAGE, "'bash', 'zsh', 'fish'"),
    "an empty folder for the demo": ("demo . --out made", USAGE, "toril: no files in"),
    "no folder for the demo": ("demo nope", USAGE, "'nope' does not exist"),
}


@pytest.mark.parametrize(("typed", "code", "sentence"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_gets_a_sentence_and_a_code(looked_at, tmp_path, typed, code, sentence):
    words = typed.split(" ")
    program = looked_at
    if words[0] == "demo":
        program = type(looked_at)(tmp_path)
    answer = program(*words)
    assert (answer.code, answer.out) == (code, "")
    assert answer.said.startswith("toril: ")
    assert sentence in answer.said
    assert list(tmp_path.iterdir()) == []


SETTINGS = {
    "TORIL_URL": ("nonsense", "The URL comes from TORIL_URL or REDIS_HOST; --url overrides"),
    "LOG_LEVEL": ("loud", "LOG_LEVEL must be one of debug, info, warning, error, not 'loud'"),
    "QUEUE_CONCURRENCY": ("many", "QUEUE_CONCURRENCY must be an integer ≥ 1, not 'many'"),
    "QUEUE_REMOVE_ON_FAIL": ("-1", "QUEUE_REMOVE_ON_FAIL must be an integer ≥ 0, not '-1'"),
    "TORIL_PREFIX": ("a:b:", "prefix: 'a:b:' ends with a colon"),
}


@pytest.mark.parametrize(
    ("name", "value", "sentence"), [(n, *v) for n, v in SETTINGS.items()], ids=SETTINGS.keys()
)
def test_a_wrong_setting_is_named(looked_at, name, value, sentence):
    answer = looked_at("queue", "list", **{name: value})
    assert (answer.code, answer.out) == (USAGE, "")
    assert sentence in answer.said


def test_the_url_goes_before_the_settings(looked_at):
    answer = looked_at("queue", "list", "--url", "sqlite:///toril.db", REDIS_HOST="localhost")
    assert (answer.code, answer.err) == (OK, "")


def test_looking_makes_no_file(toril):
    assert toril("queue", "list").code == UNREACHABLE
    assert toril("add", "mails", "send").code == UNREACHABLE
    assert list(toril.folder.iterdir()) == []


def test_a_file_of_another_kind_is_left_alone(toril):
    text = "no database at all\n" * 1000
    toril.write("notes.txt", text)
    for verb in (["queue", "list"], ["doctor"], ["add", "a", "b", "--create"]):
        answer = toril(*verb, "--url", "sqlite:///notes.txt")
        assert (answer.code, answer.out) == (FAILED, "")
        assert "is not a SQLite database; name another file" in answer.said
    assert (toril.folder / "notes.txt").read_text() == text


def test_the_database_of_another_program_is_left_alone(toril):
    with apsw.Connection(str(toril.folder / "other.db")) as other:
        other.execute("CREATE TABLE customers (name TEXT)")
    other.close()
    answer = toril("add", "a", "b", "--create", "--url", "sqlite:///other.db")
    assert (answer.code, answer.out) == (FAILED, "")
    assert "of another program" in answer.said


def test_a_newer_store_asks_for_an_upgrade(filled):
    store = apsw.Connection(str(filled.folder / "toril.db"))
    store.execute("PRAGMA user_version = 999")
    store.close()
    answer = filled("queue", "list")
    assert (answer.code, answer.out) == (FAILED, "")
    assert "was written by a newer Toril" in answer.said
    assert "upgrade this Toril" in answer.said


def test_a_damaged_store_says_how_to_save_it(filled):
    file = filled.folder / "toril.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    for suffix in ("-wal", "-shm"):
        file.with_name(f"toril.db{suffix}").unlink(missing_ok=True)
    answer = filled("queue", "list")
    assert (answer.code, answer.out) == (FAILED, "")
    assert "restore a backup" in answer.said


def test_a_traceback_is_shown_only_when_asked_for_wherever_that_is_asked(looked_at):
    verb = ["queue", "show", "qqq"]
    for arguments in (["--debug", *verb], [*verb, "--debug"]):
        answer = looked_at(*arguments)
        assert answer.code == NOT_FOUND
        assert answer.err.startswith("Traceback")
        assert answer.err.splitlines()[-1].startswith("toril: there is no queue 'qqq'")


def test_help_names_every_verb_and_exit_code(looked_at):
    answer = looked_at("--help")
    assert (answer.code, answer.err) == (OK, "")
    for word in ("add", "completion", "demo", "doctor", "job", "queue", "worker", "8 timeout"):
        assert word in " ".join(answer.out.split())


def test_no_verb_gets_the_help(looked_at):
    answer = looked_at()
    assert (answer.code, answer.out) == (USAGE, "")
    assert "Commands:" in answer.err


def test_a_server_that_is_not_there_is_named_without_a_hint_to_make_a_file(toril):
    answer = toril("queue", "list", "--url", "redis://:secret@127.0.0.1:1/0")
    assert answer.code == UNREACHABLE
    assert "redis://127.0.0.1:1/0 cannot be reached" in answer.err
    assert "--create" not in answer.err
    assert "secret" not in answer.said


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "toril", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("toril, version ")
