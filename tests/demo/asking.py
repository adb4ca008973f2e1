"""Asking the demo's authorization server: in memory, with keys of its own kind."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey

from tokenflight.demo.authority import Authority
from tokenflight.demo.signatures import KeyPair

FORM = {"content-type": "application/x-www-form-urlencoded"}


@cache
def pair(name: str) -> KeyPair:
    """Return a key pair, the same for the same name."""
    return KeyPair.made()


@cache
def _private(key: KeyPair) -> RSAKey:
    return RSAKey.import_key(key.pem, password=key.passphrase)


def signed(key: KeyPair, claims: Mapping[str, Any], **header: Any) -> str:
    """Return a JWT; a claim or header that is None is left out, `exp` is seconds from now."""
    said = {name: value for name, value in claims.items() if value is not None}
    if "exp" in said:
        said["exp"] = int(time.time() + said["exp"])
    full = {"alg": "RS256", "kid": key.id, **header}
    return jwt.encode({name: value for name, value in full.items() if value}, said, _private(key), [full["alg"]])


def without(form: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in form.items() if key != name}


async def post(
    authority: Authority, path: str, form: Mapping[str, str] | str, headers: Mapping[str, str] = FORM
) -> httpx.Response:
    """Send a token request."""
    async with browser(authority) as http:
        body = form if isinstance(form, str) else str(httpx.QueryParams(form))
        return await http.post(path, content=body, headers=headers)


def browser(authority: Authority) -> httpx.AsyncClient:
    """Return an httpx client in front of the authority."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=authority.app()), base_url="http://127.0.0.1")


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Return a refusal's status and error code."""
    return response.status_code, response.json()["error"]
