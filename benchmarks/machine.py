"""Where the run took place: figures mean nothing without it."""

import os
import platform
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile

import msgspec

from benchmarks.needs import NODE_FOLDER

SYNCS = 50


def describe(scratch: str) -> dict[str, str]:
    """Cores, versions, and what a synced write costs on the disk that is used."""
    return {
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "node": _said_by("node", "--version").removeprefix("v"),
        "redis": _redis_version(),
        "bullmq": _npm_version("bullmq"),
        "huey": _python_version("huey"),
        "toril": _python_version("toril"),
        "fsync of 4 KiB": f"{_sync_cost(scratch) * 1000:.2f} ms",
    }


def _said_by(program: str, *arguments: str) -> str:
    path = shutil.which(program)
    if path is None:
        return "not installed"
    return subprocess.run(
        [path, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def _redis_version() -> str:
    words = _said_by("redis-server", "--version").split()
    return next(
        (word.removeprefix("v=") for word in words if word.startswith("v=")), " ".join(words)
    )


def _python_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _npm_version(package: str) -> str:
    manifest = NODE_FOLDER / "node_modules" / package / "package.json"
    if not manifest.is_file():
        return "not installed"
    return str(msgspec.json.decode(Path(manifest).read_bytes())["version"])


def _sync_cost(scratch: str) -> float:
    times: list[float] = []
    with TemporaryFile(dir=scratch) as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return median(times)
