"""Adds jobs, and opens the store's file by other means in between; says how many were accepted."""

import asyncio
import shutil
import sqlite3
import sys
from contextlib import closing

from tests.conformance.support import QUEUE, job
from toril.engine.sqlite import SqliteEngine


def look(path: str, how: str) -> None:
    """Open the file and close it again."""
    if how == "copy":
        shutil.copyfile(path, f"{path}.copy")
        return
    with closing(sqlite3.connect(f"file:{path}?mode={how}", uri=True)) as connection:
        connection.execute("SELECT count(*) FROM job").fetchall()


async def main(path: str, how: str) -> None:
    engine = SqliteEngine(path)
    accepted = 0
    for n in range(60):
        await engine.add(QUEUE, [job(f"j{n}")])
        accepted += 1
        if n % 20 == 10:
            look(path, how)
            print("looked", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
    print(accepted, flush=True)
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
