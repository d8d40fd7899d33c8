"""Queues of jobs."""

from __future__ import annotations

import asyncio

from relay_gguf.irc.network.jobs import Jobs


def test_jobs_go_on_after_a_failure_and_end() -> None:
    done: list[int] = []

    async def job(number: int) -> None:
        if number == 1:
            raise ValueError("as expected")
        done.append(number)

    async def run() -> None:
        jobs = Jobs(10)
        for n in range(3):
            jobs.add("a", lambda n=n: job(n))  # type: ignore[misc]
        await asyncio.sleep(0.01)
        jobs.add("a", lambda: asyncio.sleep(60))
        await asyncio.sleep(0.01)
        await jobs.close()

    asyncio.run(run())
    assert done == [0, 2]
