"""The demo's plan: which files become jobs, with ids that a second run finds again."""

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

_SKIPPED_FOLDERS = frozenset(
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
    """Return the files of a folder tree, except for those that tools or the demo created.

    Args:
        root: The root of the tree.
        out: The demo's output folder, which is skipped.
        limit: The maximum number of files.
    """
    return list(islice(_walk(root.absolute(), out), limit))


def _walk(root: Path, out: Path) -> Iterator[Path]:
    own = {os.path.realpath(out), os.path.realpath(out / COPIES)}
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(
            f
            for f in folders
            if f not in _SKIPPED_FOLDERS and os.path.realpath(here / f) not in own
        )
        is_out = os.path.realpath(here) in own
        for name in sorted(names):
            path = here / name
            if _is_plain_file(path) and not (is_out and name.startswith((STORE, SUMMARY))):
                yield path


def _is_plain_file(path: Path) -> bool:
    try:
        return path.is_file() and not path.is_symlink()
    except OSError:  # listing the folder may be allowed, but not accessing its files
        return False


def jobs_for(files: list[Path], root: Path, out: Path) -> list[dict[str, Any]]:
    """Return a job for each file, one for a missing file, and one that needs retries.

    Args:
        files: The files.
        root: The root of the folder tree.
        out: The folder for the copies.
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
    """Return a digest of paths that is the same in every run of the demo."""
    whole = b"\0".join(os.fsencode(os.path.realpath(path)) for path in paths)
    return hashlib.sha256(whole).hexdigest()[:24]
