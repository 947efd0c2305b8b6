"""What Toril's workers do with a job, by its name: the same as the handlers in node/agent.js."""

import asyncio

from toril import JobContext, Unrecoverable


class Gate:
    """Keeps the jobs named `hold` and `stumble` until it is opened."""

    def __init__(self):
        self._open = asyncio.Event()
        self.held = []

    def release(self):
        """Let those go on that are held now."""
        self._open.set()
        self._open = asyncio.Event()

    def take_away(self):
        """Hold nothing any more."""
        self._open.set()

    async def process(self, job: JobContext):
        match job.name:
            case "hold":
                self.held.append(job.id)
                await self._open.wait()
                return "released"
            case "stumble":
                if job.attempt > 1:
                    return "got up"
                self.held.append(job.id)
                await self._open.wait()
                raise ValueError("stumbled")
            case "fail":
                if job.attempt <= job.data.get("times", job.attempt):
                    raise ValueError(job.data.get("reason", "broken"))
                return f"after {job.attempt - 1}"
            case "hopeless":
                raise Unrecoverable(job.data["reason"])
            case "report":
                job.progress({"done": 50})
                job.log("first line")
                job.log("second line")
                return "reported"
            case _:
                return job.data
