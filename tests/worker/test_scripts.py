"""Programs whose process handlers are in their own script."""

import subprocess
import sys
import zipfile

import pytest

HANDLER = """
import asyncio, os, pathlib, sys
from toril import QueueManager, Settings, WorkerSettings

with pathlib.Path({marks!r}).open("a") as marks:
    marks.write(__name__ + "\\n")
manager = QueueManager("memory://", settings=Settings())
queue = manager.register_queue("q")

@queue.task(run_in="process")
def double(x: int) -> int:
    return 2 * x

async def main():
    async with manager:
        handle = await double.enqueue(21)
        await manager.run_workers(burst=True, settings=WorkerSettings(processes=1, report_every=0))
        print(await handle.result(10))
"""
UNGUARDED = HANDLER + "asyncio.run(main())\n"
SYNC = HANDLER + "manager.sync.start_workers()\n"
GUARDED = HANDLER + "if __name__ == '__main__':\n    asyncio.run(main())\n"
SHORT = HANDLER + "__name__ == '__main__' and asyncio.run(main())\n"


@pytest.fixture
def run(tmp_path):
    """Run Python in the test's folder."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
        )

    return run


@pytest.fixture
def marks(tmp_path):
    return tmp_path / "marks"


@pytest.mark.parametrize("text", [GUARDED, SHORT], ids=["if", "and"])
@pytest.mark.parametrize("form", ["script", "module", "package", "folder", "zip"])
def test_a_handler_in_the_programs_own_script_is_found(run, tmp_path, marks, form, text):
    text = text.format(marks=str(marks))
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "__main__.py").write_text(text)
    (tmp_path / "program" / "__init__.py").touch()
    (tmp_path / "single.py").write_text(text)
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.writestr("__main__.py", text)

    done = run(
        *{
            "script": ["single.py"],
            "module": ["-m", "single"],
            "package": ["-m", "program"],
            "folder": ["program"],
            "zip": ["packed.zip"],
        }[form]
    )

    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr
    assert len(marks.read_text().splitlines()) == 2


@pytest.mark.parametrize("text", [UNGUARDED, SYNC], ids=["asyncio", "sync"])
@pytest.mark.parametrize("arguments", [["program.py"], ["-m", "program"]], ids=["script", "module"])
def test_a_script_that_would_start_itself_again_is_refused(run, tmp_path, marks, text, arguments):
    (tmp_path / "program.py").write_text(text.format(marks=str(marks)))

    done = run(*arguments)

    assert done.returncode == 1
    assert "move what starts it under `if __name__ == '__main__':`" in done.stderr
    assert marks.read_text() == "__main__\n"


def test_a_module_that_starts_a_worker_when_it_is_imported_fails_its_job(run, tmp_path, marks):
    """The program guards itself, but one of its modules does not."""
    in_the_process = "if not sys.argv[1:]:\n    asyncio.run(main())\n"
    module = HANDLER + in_the_process
    (tmp_path / "handlers.py").write_text(module.format(marks=str(marks)))
    (tmp_path / "program.py").write_text(
        "import asyncio, handlers\nif __name__ == '__main__':\n    asyncio.run(handlers.main())\n"
    )

    done = run("program.py", "guarded")

    assert done.returncode == 1
    assert "starts a worker when it is imported" in done.stderr
    assert marks.read_text() == "handlers\nhandlers\n"


def test_a_handler_typed_into_an_interpreter_is_refused(run, marks):
    done = run("-c", GUARDED.format(marks=str(marks)))

    assert done.returncode == 1
    assert "interactive session; move it to a module" in done.stderr
