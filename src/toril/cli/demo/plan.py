"""What the demo does: which files become jobs, under ids that a second run finds again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from toril.cli.demo.jobs import CALL_JOB, FILE_JOB
from toril.cli.demo.paths import to_text

OUT = "toril-demo"
STORE = "demo.db"
SUMMARY = "summary.json"
COPIES = "files"
MISSING = "gone-before-it-was-read.txt"

_NOT_WORTH_IT = frozenset(
    {
        OUT,
        ".git",
        ".venv",
        "node_modules",
        "__pycache__",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
    }
)


def files_below(root: Path, out: Path, limit: int) -> list[Path]:
    """Return the files of a tree, without what tools and the demo itself left there.

    Args:
        root: The tree.
        out: The demo's own output, which is passed over.
        limit: How many at most.
    """
    return list(islice(_walk(root.absolute(), out), limit))


def _walk(root: Path, out: Path) -> Iterator[Path]:
    own = {os.path.realpath(out), os.path.realpath(out / COPIES)}
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(
            f for f in folders if f not in _NOT_WORTH_IT and os.path.realpath(here / f) not in own
        )
        is_out = os.path.realpath(here) in own
        for name in sorted(names):
            path = here / name
            if _is_plain_file(path) and not (is_out and name.startswith((STORE, SUMMARY))):
                yield path


def _is_plain_file(path: Path) -> bool:
    try:
        return path.is_file() and not path.is_symlink()
    except OSError:  # its folder may be listed but not entered
        return False


def jobs_for(files: list[Path], root: Path, out: Path) -> list[dict[str, Any]]:
    """Return a job for each file, one for a file that is not there, and one that is unlucky.

    Args:
        files: The files.
        root: The tree they are in.
        out: Where their copies go.
    """
    top = root.absolute()
    planned = [_file_job(path, path.relative_to(top), out) for path in files]
    planned.append(_file_job(top / MISSING, Path(MISSING), out))
    planned.append(
        {
            "name": CALL_JOB,
            "data": {"service": "the weather service"},
            "options": {"job_id": f"demo-{_digest(top, out)}", "attempts": 3, "backoff": "300ms"},
        }
    )
    return planned


def _file_job(path: Path, name: Path, out: Path) -> dict[str, Any]:
    target = out / COPIES / name.with_name(f"{name.name}.gz")
    return {
        "name": FILE_JOB,
        "data": {"source": to_text(path), "target": to_text(target)},
        "options": {"job_id": f"demo-{_digest(path, target)}", "attempts": 2, "backoff": "300ms"},
    }


def _digest(*paths: Path) -> str:
    """Return the same for the same paths, however often the demo is run."""
    whole = b"\0".join(os.fsencode(os.path.realpath(path)) for path in paths)
    return hashlib.sha256(whole).hexdigest()[:24]
