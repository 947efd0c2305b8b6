"""One store, three processes: this program adds jobs, two workers run them. Then a backup."""

import asyncio
import os
import subprocess
import sys

from toril import QueueManager

manager = QueueManager("sqlite:///shared.db")
queue = manager.register_queue("work")


@queue.task
async def which_process() -> int:
    await asyncio.sleep(0.02)
    return os.getpid()


def start_worker() -> subprocess.Popen[bytes]:
    """Start a worker as a service manager would: `toril worker operating:manager`."""
    command = ["toril", "worker", "operating:manager", "--concurrency", "2"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


async def main() -> None:
    workers = [start_worker() for _ in range(2)]
    async with manager:
        handles = await queue.add_jobs([which_process.job() for _ in range(100)])
        pids = {await handle.result(timeout=20) for handle in handles}
        print("100 jobs ran in other processes:", os.getpid() not in pids)
        for worker in workers:
            worker.terminate()  # SIGTERM lets running jobs finish
        for worker in workers:
            worker.wait(timeout=20)

        backup = [sys.executable, "-m", "apsw", "shared.db", "VACUUM INTO 'backup.db'"]
        await asyncio.to_thread(subprocess.run, backup, check=True)  # while the store is in use
        findings = await manager.examine()
        print("doctor finds errors:", any(finding.level == "error" for finding in findings))

    async with QueueManager("sqlite:///backup.db") as restored:
        metrics = await restored.get_queue_metrics("work")
        print("completed in the backup:", metrics.completed)


if __name__ == "__main__":
    asyncio.run(main())
