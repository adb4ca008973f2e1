"""Shows an asyncio worker: it starts with a token, keeps it warm between jobs, and has its events logged and counted.

To run it, offline: python examples/worker.py
"""

import asyncio
import logging
import sys

import httpx

from tokenflight import ClientSecretPost, OAuthClient, TokenAuth, TokenProvider, WarmUpError
from tokenflight.ext.httpx import TokenUnavailable
from tokenflight.observe import EndpointDown, Event, LoggingHook, TokenLanded
from tokenflight.testing import FakeTokenEndpoint, ProtectedApp

WORKERS = 3


class Metrics:
    """A hook: told of each event in turn, and in nobody's way."""

    def __init__(self) -> None:
        self.tokens = 0
        self.outages = 0

    def __call__(self, event: Event) -> None:
        """Count what is worth a graph."""
        self.tokens += isinstance(event, TokenLanded)
        self.outages += isinstance(event, EndpointDown)


async def work(jobs: asyncio.Queue[str], api: httpx.AsyncClient) -> None:
    """Do one job after the other; a job that finds no token waits its turn again."""
    while True:
        job = await jobs.get()
        try:
            response = await api.post("", json={"job": job})
            print(job, response.status_code)
        except TokenUnavailable as error:
            if not error.transient:
                raise
            jobs.put_nowait(job)
            await asyncio.sleep(error.retry_after or 1.0)
        finally:
            jobs.task_done()


async def main(token_endpoint: str, reports: str, jobs: asyncio.Queue[str]) -> None:
    """Work until no job is left."""
    client = OAuthClient(
        client_id="report-worker",
        token_endpoint=token_endpoint,
        authentication=ClientSecretPost("the client's secret"),
    )
    metrics = Metrics()
    async with TokenProvider(client, hooks=[LoggingHook(), metrics]) as tokens:
        source = tokens.source(audience="https://reports.example.com", keep_warm=True)
        try:
            await tokens.warm_up(source, strict=True)  # a worker that cannot work says so before it takes a job
        except WarmUpError as error:
            sys.exit(f"{error}: {error.failed[0].last_error}")

        async with httpx.AsyncClient(base_url=reports, auth=TokenAuth(source)) as api, asyncio.TaskGroup() as group:
            workers = [group.create_task(work(jobs, api)) for _ in range(WORKERS)]
            await jobs.join()
            for worker in workers:
                worker.cancel()
    print("tokens:", metrics.tokens, "outages:", metrics.outages)


# -- Prerequisites: what you have already, an authorization server, an API and jobs. Here, stand-ins on loopback. --


async def rehearse() -> None:
    """Run `main` on six jobs against the stand-ins."""
    logging.basicConfig(format="%(name)s %(message)s")
    logging.getLogger("tokenflight.events").setLevel(logging.DEBUG)
    jobs: asyncio.Queue[str] = asyncio.Queue()
    for number in range(6):
        jobs.put_nowait(f"report {number}")
    endpoint = FakeTokenEndpoint()
    async with endpoint.serve() as token_endpoint, ProtectedApp(endpoint).serve() as reports:
        await main(token_endpoint, reports, jobs)


if __name__ == "__main__":
    asyncio.run(rehearse())
