"""The code in the documentation: examples run, other blocks run or compile, commands parse."""

import asyncio
import inspect
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import toril
from tests.docs.pages import EXAMPLES, ROOT, all_blocks, blocks, compiled, name_of, pages
from tests.redis_server import RedisServer
from toril import QueueManager
from toril.cli.app import app

BOUND = 30  # seconds, for one example
FILES = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".sh"})
PYTHON = all_blocks("python")
SNIPPETS = [block for block in PYTHON if block.example is None]
WITH_SNIPPETS = [
    page for page in pages() if any(block.page == page and not block.mark for block in SNIPPETS)
]
SHELL = all_blocks("sh")


@pytest.mark.parametrize("file", FILES)
def test_an_example_stands_in_a_guide_word_for_word(file):
    found = [block for block in all_blocks("python", "sh") if block.example == file]

    assert found, f"no page shows examples/{file}"
    assert all(block.text == (EXAMPLES / file).read_text(encoding="utf-8") for block in found)


def test_every_example_that_a_page_shows_is_there():
    shown = {block.example or block.output for block in all_blocks("python", "sh", "text")}

    assert shown - {None} == set(FILES)


@pytest.mark.timeout(2 * BOUND)
@pytest.mark.parametrize("file", FILES)
def test_an_example_does_what_its_guide_says(file, tmp_path):
    printed = run_example(file, tmp_path)

    expected = [block.text for block in all_blocks("text") if block.output == file]
    assert all(printed == text for text in expected), printed


@pytest.mark.timeout(2 * BOUND)
def test_the_first_example_runs_in_a_worker_of_the_command_line(tmp_path):
    run_example("app.py", tmp_path)
    run(["toril", "add", "emails", "send_welcome", '{"to": "b@example.com"}'], tmp_path)
    run(["toril", "worker", "app:manager", "--burst"], tmp_path)

    counts = run(["toril", "queue", "list", "--json"], tmp_path)
    assert '"completed": 2' in counts


def run_example(file: str, folder: Path) -> str:
    shutil.copy(EXAMPLES / file, folder)
    program = "sh" if file.endswith(".sh") else sys.executable
    options = [] if program == "sh" else ["-W", "error"]
    if file != "on_redis.py":
        return run([program, *options, file], folder)
    server = RedisServer(folder)
    server.start()
    try:
        return run([program, *options, file], folder, TORIL_URL=server.url)
    finally:
        server.stop()


def run(command: list[str], folder: Path, **settings: str) -> str:
    """Run a command as a newcomer would: in an empty folder, with nothing set but `settings`."""
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith(("TORIL_", "REDIS_", "QUEUE_"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**clean, **settings, "PATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_a_block_of_python_compiles(block):
    compiled(block)


@pytest.mark.timeout(2 * BOUND)
@pytest.mark.parametrize("page", WITH_SNIPPETS, ids=name_of)
def test_the_snippets_of_a_page_go_on_from_its_example(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page", "asyncio": asyncio}
    names |= {name: getattr(toril, name) for name in toril.__all__}
    shown = [block for block in blocks(page) if block.language == "python"]
    examples = [block for block in shown if block.example is not None]
    with asyncio.Runner() as runner:
        for block in (*examples[-1:], *(b for b in shown if not b.mark)):
            outcome = eval(compiled(block), names)
            if inspect.iscoroutine(outcome):
                runner.run(asyncio.wait_for(outcome, BOUND))
        for manager in {value for value in names.values() if isinstance(value, QueueManager)}:
            runner.run(manager.shutdown())


def commands(first: str) -> list:
    """Return the command lines in the pages that begin with a word."""
    found = []
    for block in SHELL:
        lines = block.text.replace("\\\n", " ").splitlines()
        for number, line in enumerate(lines, block.line + 1):
            words = words_of(line)
            if words[:1] == [first]:
                place = f"{name_of(block.page)}:{number} {shlex.join(words)}"
                found.append(pytest.param(words[1:], id=place))
    return found


def words_of(line: str) -> list[str]:
    """Return a line's first command, without what the shell does with it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>&;")
    lexer.whitespace_split = True
    words = []
    try:
        for word in lexer:
            if set(word) <= set("|<>&;"):
                break
            words.append(word)
    except ValueError:  # a part of longer text
        return []
    return words


@pytest.mark.parametrize("words", commands("toril"))
def test_a_command_in_the_docs_is_one_that_there_is(words):
    parse(app, "toril", words, None)


def parse(command, name, words, parent):
    try:
        context = command.make_context(name, list(words), parent=parent)
    except click.exceptions.Exit:  # --help
        return
    if isinstance(command, click.Group):
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        sub_name, sub, sub_words = command.resolve_command(context, rest)
        parse(sub, sub_name, sub_words, context)


@pytest.mark.parametrize("words", commands("make"))
def test_a_target_in_the_docs_is_one_that_there_is(words):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [word for word in words if "=" not in word]

    assert all(f"\n{target}:" in makefile for target in targets)
