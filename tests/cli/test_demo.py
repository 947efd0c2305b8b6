"""`toril demo`: real work on awkward files, stopped and killed and gone on with."""

import gzip
import hashlib
import json
import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from toril.cli.demo.paths import from_text, to_text

AWKWARD = [
    b"plain.txt",
    b"with space.txt",
    b"quotes '\".txt",
    b"new\nline.txt",
    b"\x1b[31mred",
    b"not\xffutf-8.bin",
    b"folder\xe9/inside",
    b"file:/url",
    b"%41.txt",
    "bull 🐂.txt".encode(),
    b"-dash",
    b"already.gz",
    b"deep/er/still/file",
]
CALL_AND_MISSING = 2


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Make a folder of files with awkward names, and of things that are no files."""
    tree = tmp_path_factory.mktemp("tree")
    source = random.Random(5)
    for name in AWKWARD:
        write(tree, name, name + source.randbytes(3000) + b"\n\n")
    write(tree, b"empty", b"")
    for n in range(80):
        write(tree, b"many/%d.bin" % n, source.randbytes(20_000) * 8)
    for name, target in (("link", "plain.txt"), ("dangling", "nowhere"), ("loop", "loop")):
        (tree / name).symlink_to(target)
    (tree / "around").symlink_to(".", target_is_directory=True)
    os.mkfifo(tree / "pipe")
    return tree


def write(folder, name, data):
    path = folder / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(data)


def files_of(tree):
    found = [Path(folder) / name for folder, _, names in os.walk(tree) for name in names]
    return {path for path in found if path.is_file() and not path.is_symlink()}


def check(out, files, *, gone=()):
    """Hold the summary against the files themselves, and the copies against both."""
    summary = json.loads((out / "summary.json").read_text())
    assert summary["jobs"] == len(files) + len(gone) + CALL_AND_MISSING
    assert summary["completed"] == len(files) + 1
    lost = {Path(failure["what"]) for failure in summary["failed"]}
    assert {path.name for path in lost} == {"gone-before-it-was-read.txt", *gone}
    assert {from_text(file["source"]) for file in summary["files"]} == files
    for file in summary["files"]:
        data = from_text(file["source"]).read_bytes()
        copy = from_text(file["target"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
        assert (file["size"], file["compressed"]) == (len(data), len(copy))
        assert file["lines"] == data.count(b"\n")
        assert gzip.decompress(copy) == data
    assert summary["bytes_in"] == sum(path.stat().st_size for path in files)
    assert not list((out / "files").rglob("*.part"))
    return summary


@pytest.mark.parametrize("name", AWKWARD)
def test_a_path_survives_being_text(name):
    path = Path(os.fsdecode(b"/folder/" + name))
    assert from_text(to_text(path)) == path
    to_text(path).encode()


def test_a_run_presses_every_file_and_a_second_one_begins_anew(toril, tree):
    out = toril.folder / "out"
    files = files_of(tree)
    first = toril("demo", str(tree), "--out", "out")
    assert first.code == 0
    summary = check(out, files)
    assert summary["retried"] == 3
    for text in (
        f"{len(files) + CALL_AND_MISSING} jobs added to sqlite:///{out}/demo.db",
        "call-service failed attempt 2, retrying in 0.3 s: ConnectionError: the weather service",
        "press-file failed for good: FileNotFoundError",
        f"inspect it:  toril job list toril-demo --state failed --url sqlite:///{out}/demo.db",
    ):
        assert text in first.err
    assert f"{len(files) + 1} of {len(files) + CALL_AND_MISSING} completed" in first.out
    assert "\x1b" not in first.out + first.err
    assert "resuming" not in toril("demo", str(tree), "--out", "out").err
    check(out, files)


def test_what_it_writes_is_for_its_user_alone(toril, tree):
    out = tree / "private"
    assert toril("demo", str(tree), "--limit", "1", "--out", str(out)).code == 0
    assert out.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(out)


def test_the_way_to_look_closer_works_in_a_shell(toril, tree):
    out = toril.folder / "a ? # %41 'quoted'"
    assert toril("demo", str(tree), "--limit", "3", "--out", str(out)).code == 0
    answer = toril("demo", str(tree), "--limit", "3", "--out", str(out))
    command = answer.err.strip().splitlines()[-1].partition("toril ")[2]
    shown = toril.shell(f'"$toril" {command} --json')
    assert (shown.code, shown.err) == (0, "")
    assert len(shown.json["jobs"]) == 1


def test_a_terminal_shows_a_bar(toril, tree):
    shown = toril.terminal("demo", str(tree), "--out", "out")
    assert shown.result() == 0
    total = len(files_of(tree)) + CALL_AND_MISSING
    assert f"{total}/{total}" in shown.shown
    assert "━" in shown.shown


def test_output_within_the_folder_is_not_compressed(toril, tree):
    inside = toril.folder / "tree"
    shutil.copytree(tree / "deep", inside)
    files = files_of(inside)
    for out in (inside / "nested" / "out", inside):
        for _ in range(2):
            assert toril("demo", str(inside), "--out", str(out)).code == 0
            check(out, files)
        shutil.rmtree(out / "files")
        for left in out.glob("*.*"):
            left.unlink()


def test_it_runs_in_memory(toril, tree):
    answer = toril("demo", str(tree), "--limit", "5", "--out", "out", "--url", "memory://")
    assert answer.code == 0
    assert "inspect it" not in answer.err
    assert sorted(path.name for path in (toril.folder / "out").iterdir()) == [
        "files",
        "summary.json",
    ]


def test_settings_that_drop_jobs_do_not_spoil_the_summary(toril, tree):
    answer = toril(
        "demo", str(tree / "deep"), "--out", "out", QUEUE_REMOVE_ON_COMPLETE="0", REDIS_HOST="h"
    )
    assert answer.code == 0
    check(toril.folder / "out", files_of(tree / "deep"))


def compressed(program, count, running):
    """Wait until so many files are compressed."""
    copies = program.folder / "out" / "files"
    while len(list(copies.rglob("*.gz"))) < count:
        running.wait(0.01)


def begun(program, tree, *options):
    """Start the demo, and wait until it has compressed some more files."""
    before = len(list((program.folder / "out" / "files").rglob("*.gz")))
    running = program.start("demo", str(tree), "--out", "out", *options)
    compressed(program, before + 5, running)
    return running


def test_what_was_interrupted_is_gone_on_with(toril, tree):
    running = begun(toril, tree, "-c", "2")
    running.signal(signal.SIGINT)
    assert running.result() == 130
    assert running.said[-1].endswith("left; run the demo again to resume")
    assert not any("Traceback" in line for line in running.said)
    second = toril("demo", str(tree), "--out", "out")
    assert second.code == 0
    assert "resuming a stopped run with" in second.err
    assert "left (--fresh starts over)" in second.err
    check(toril.folder / "out", files_of(tree))


def test_what_was_killed_is_gone_on_with(toril, tree):
    for _ in range(2):
        running = begun(toril, tree)
        running.signal(signal.SIGKILL)
        assert running.result() == -signal.SIGKILL
    last = toril("demo", str(tree), "--out", "out")
    assert last.code == 0
    assert "resuming a stopped run with" in last.err
    check(toril.folder / "out", files_of(tree))


@pytest.mark.parametrize("other", [False, True], ids=["a fresh one", "another folder"])
def test_a_stopped_run_is_left_for(toril, tree, other):
    running = begun(toril, tree, "-c", "1")
    running.signal(signal.SIGTERM)
    assert running.result() == 130
    folder = tree / "many" if other else tree
    options = [] if other else ["--fresh"]
    answer = toril("demo", str(folder), "--out", "out", *options)
    assert answer.code == 0
    assert "resuming" not in answer.err
    check(toril.folder / "out", files_of(folder))


def test_a_file_that_vanishes_fails_alone(toril, tree):
    copy = toril.folder / "tree"
    shutil.copytree(tree / "many", copy)
    running = begun(toril, copy, "-c", "1")
    running.signal(signal.SIGINT)
    assert running.result() == 130
    (copy / "79.bin").unlink()  # among the last: its job still waits
    assert toril("demo", str(copy), "--out", "out").code == 0
    check(toril.folder / "out", files_of(copy), gone=["79.bin"])


@pytest.mark.parametrize("seed", range(4))
def test_a_signal_at_any_moment_costs_nothing(toril, tree, seed):
    drawn = random.Random(seed)
    running = toril.start("demo", str(tree), "--out", "out")
    running.wait(drawn.uniform(0.05, 0.3))  # while it starts
    compressed(toril, drawn.randrange(len(files_of(tree)) // 2), running)
    running.signal([signal.SIGINT, signal.SIGKILL][seed % 2])
    assert running.result() in {130, -signal.SIGKILL, -signal.SIGINT}
    assert toril("demo", str(tree), "--out", "out").code == 0
    check(toril.folder / "out", files_of(tree))


def test_an_output_that_is_in_the_way_is_named(toril, tree):
    toril.write("file", "")
    for out in ("file", "file/out"):
        answer = toril("demo", str(tree), "--out", out)
        assert answer.code in {1, 2}
        assert "file" in answer.said
