"""Every Python block of README and docs is run as it stands, with an internet that lives in this file."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import time
from pathlib import Path
from types import CodeType
from typing import Any
from urllib.parse import parse_qs

import anyio
import httpx
import pytest
from tests.docs.neighbours import NEIGHBOURS, SIX, Street
from tests.kit.jwts import Server

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


def blocks_of(page: Path) -> list[CodeType]:
    """Compile a page's blocks so that a traceback names the page and its line."""
    text = page.read_text("utf-8")
    return [
        compiled(match["code"], page, line=text.count("\n", 0, match.start("code"))) for match in FENCE.finditer(text)
    ]


def compiled(code: str, page: Path, *, line: int) -> CodeType:
    source = "\n" * line + textwrap.dedent(code)
    unit: CodeType = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return unit


def run(block: CodeType, namespace: dict[str, Any]) -> None:
    """Run a block in an event loop of its own where it awaits at its top level, else as a script."""
    if not block.co_flags & inspect.CO_COROUTINE:
        exec(block, namespace)
        return

    async def main() -> None:
        await eval(block, namespace)

    anyio.run(main)


SESSIONS = {"authorization_code", "refresh_token"}
GRANTS = (
    {"client_credentials"}
    | SESSIONS
    | {f"urn:ietf:params:oauth:grant-type:{name}" for name in ("jwt-bearer", "token-exchange")}
)


def signing(request: httpx.Request, body: bytes) -> httpx.Response:
    """Answer as a server does whose access tokens are JWTs."""
    server = Server()
    server.add("key-1")
    if request.method == "GET":
        return httpx.Response(200, json=server.document())
    [audience] = parse_qs(body.decode())["audience"]
    claims = {"iss": "https://jwt.example.com/", "aud": audience, "exp": time.time() + 3600}
    return httpx.Response(200, json={"access_token": server.jwt("key-1", claims), "token_type": "Bearer"})


class Internet:
    """Answer a token request with a token, who looks for metadata with some, and anything else with its path.

    The last to those alone who bring a token.
    """

    def __init__(self) -> None:
        self.issued = 0

    def answer(self, request: httpx.Request, body: bytes) -> httpx.Response:
        if request.url.host == "jwt.example.com":
            return signing(request, body)
        if request.method == "POST" and "grant_type" in (form := parse_qs(body.decode())):
            assert form["grant_type"][0] in GRANTS
            self.issued += 1
            told = {"access_token": f"t{self.issued}", "token_type": "Bearer", "expires_in": 3600}
            if form["grant_type"][0] in SESSIONS:
                told["refresh_token"] = f"r{self.issued}"
            return httpx.Response(200, json=told)
        if request.url.path == "/.well-known/oauth-authorization-server":
            root = f"{request.url.scheme}://{request.url.host}"
            return httpx.Response(200, json={"issuer": root, "token_endpoint": f"{root}/token"})
        if not request.headers.get("authorization", "").startswith("Bearer t"):
            return httpx.Response(401, headers={"www-authenticate": "Bearer"})
        return httpx.Response(200, json={"path": request.url.path})


@pytest.fixture
def street(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Street:
    """The providers that a page names, and a folder with the files that it names."""
    monkeypatch.chdir(tmp_path)
    return Street(tmp_path)


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch, street: Street) -> Internet:
    internet = Internet()

    async def handle(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.url.host in street.hosts:
            return await street.reply(request)
        return internet.answer(request, await request.aread())

    def refuse(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        raise AssertionError("a page sends synchronously")

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", refuse)
    return internet


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "```python\n" in page.read_text("utf-8")],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_the_blocks_of_a_page_run_in_order_with_one_namespace(page: Path, internet: Internet) -> None:
    namespace: dict[str, Any] = {"__name__": page.stem}

    for block in blocks_of(page):
        run(block, namespace)


def test_the_page_of_providers_asks_every_one_of_them(internet: Internet, street: Street) -> None:
    namespace: dict[str, Any] = {}
    for block in blocks_of(ROOT / "docs" / "providers.md"):
        run(block, namespace)

    assert set(street.asked) == {neighbour.url for neighbour in NEIGHBOURS}
    assert {seen.origin for seen in street.double.ledger} == {f"https://{host}" for host in SIX}


def test_the_first_block_of_the_readme_makes_a_token_request(internet: Internet) -> None:
    run(blocks_of(ROOT / "README.md")[0], {})

    assert internet.issued == 1


def test_a_block_that_awaits_gets_a_loop_and_one_that_does_not_runs_as_a_script(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nimport anyio\nawait anyio.sleep(0)\nx = 1\n```\ntext\n\n```python\ny = x + 1\n```\n")
    namespace: dict[str, Any] = {}

    for block in blocks_of(page):
        run(block, namespace)

    assert namespace["y"] == 2


def test_a_block_that_fails_is_reported_with_its_page_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```python\nx = 1\nassert x == 2\n```\n")

    with pytest.raises(AssertionError) as caught:
        run(blocks_of(page)[0], {})

    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(page), 5)
