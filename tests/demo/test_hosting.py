"""The demo's sites: a reply that is lost on purpose reaches nobody, and nobody else is cut off."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tokenflight.demo.faults import NoReply
from tokenflight.demo.hosting import hosted

pytestmark = pytest.mark.anyio


async def lost(request: Request) -> Response:
    return NoReply()


async def told(request: Request) -> Response:
    return Response("told")


async def test_a_lost_reply_ends_its_own_connection_alone(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    app = Starlette(routes=[Route("/lost", lost), Route("/told", told)])
    async with hosted(app) as (site,), httpx.AsyncClient(base_url=site.url) as one, httpx.AsyncClient() as other:
        await one.get("/told")
        await other.get(f"{site.url}/told")
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await one.get("/lost")
        kept_alive = await other.get(f"{site.url}/told")
        again = await one.get("/told")

    assert (kept_alive.text, again.text) == ("told", "told")
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []
    assert capsys.readouterr() == ("", "")
