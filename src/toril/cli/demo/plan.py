"""What the demo does: which files become jobs, under ids that a second run finds again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toril.cli.demo.jobs import CALL_JOB, FILE_JOB

_NOT_WORTH_IT = frozenset(
    {".git", ".venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis"}
)
MISSING = "gone-before-it-was-read.txt"


def files_below(root: Path, out: Path, limit: int) -> list[Path]:
    """Return the files of a tree, without what tools left there.

    Args:
        root: The tree.
        out: The demo's own output, which is passed over.
        limit: How many at most.
    """
    found: list[Path] = []
    for path in _walk(root, out.resolve()):
        if len(found) == limit:
            break
        found.append(path)
    return found


def _walk(root: Path, out: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(
            f for f in folders if f not in _NOT_WORTH_IT and (here / f).resolve() != out
        )
        for name in sorted(names):
            path = here / name
            if not path.is_symlink() and path.is_file():
                yield path


def jobs_for(files: list[Path], root: Path, out: Path) -> list[dict[str, Any]]:
    """Return a job for each file, one for a file that is not there, and one that is unlucky.

    Args:
        files: The files.
        root: The tree they are in.
        out: Where their copies go.
    """
    planned = [_file_job(path, path.relative_to(root), out) for path in files]
    planned.append(_file_job(root / MISSING, Path(MISSING), out))
    planned.append(
        {
            "name": CALL_JOB,
            "data": {"service": "the weather service"},
            "options": {"job_id": "demo-call", "attempts": 3, "backoff": "300ms"},
        }
    )
    return planned


def _file_job(path: Path, name: Path, out: Path) -> dict[str, Any]:
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:24]
    return {
        "name": FILE_JOB,
        "data": {"source": str(path), "target": str(out / "files" / f"{name}.gz")},
        "options": {"job_id": f"demo-{digest}", "attempts": 2, "backoff": "300ms"},
    }
