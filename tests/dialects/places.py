"""Providers in front of the doubles of Box and Auth0: in memory on virtual time, or over a socket in real time."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from tests.doubles.auth0 import Auth0Double
from tests.doubles.auth0 import scene as auth0_scene
from tests.doubles.box import BoxDouble
from tests.doubles.box import scene as box_scene
from tests.doubles.server import ServerDouble
from tests.doubles.tokens import key
from tests.doubles.visits import Visit
from tests.kit.canary import canary

from tokenflight import OAuthClient, TokenProvider
from tokenflight.dialects import auth0, box
from tokenflight.protocol.client import Endpoints
from tokenflight.testing import VirtualClock

PASSPHRASE = canary("passphrase")


@asynccontextmanager
async def provider(double: ServerDouble, clients: Any, **options: Any) -> AsyncIterator[TokenProvider]:
    """Enter a provider whose requests go to *double* in memory."""
    http = httpx.AsyncClient(transport=double.transport(), trust_env=False)
    async with http, TokenProvider(clients, http=http, clock=double.clock, **options) as tokens:
        yield tokens


def api(double: ServerDouble, tokens: Any) -> httpx.AsyncClient:
    """Return a client for the double's API that signs with what *tokens* is: the auth of a provider."""
    return httpx.AsyncClient(transport=double.transport(), base_url=double.url, auth=tokens, trust_env=False)


def box_town(**options: Any) -> Any:
    """Return Box with its apps, on virtual time: a BoxDouble whose clock is a VirtualClock."""
    return box_scene.town(**{"clock": VirtualClock(), **options})


def tenant(**options: Any) -> Any:
    """Return a tenant of Auth0 with its clients, on virtual time, likewise."""
    return auth0_scene.tenant(**{"clock": VirtualClock(), **options})


@cache
def encrypted(kid: str) -> str:
    """Return a private key as Box's console hands it out: PKCS#8, encrypted."""
    how = BestAvailableEncryption(PASSPHRASE.encode())
    native: Any = key(kid).private_key
    return str(native.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode())


def config(double: BoxDouble, kid: str = "box-key") -> dict[str, Any]:
    """Return the config of `the-jwt` as the console hands it out."""
    keys = {"publicKeyID": kid, "privateKey": encrypted(kid), "passphrase": PASSPHRASE}
    app = {"clientID": "the-jwt", "clientSecret": double.house.apps["the-jwt"].secret, "appAuth": keys}
    return {"boxAppSettings": app, "enterpriseID": box_scene.ENTERPRISE}


def app_client(double: BoxDouble, app: str, **fields: Any) -> OAuthClient:
    """Return a client of one of the apps."""
    return box.client(client_id=app, client_secret=double.house.apps[app].secret, **fields)


def at(url: str) -> dict[str, Any]:
    """Return what a client of Box says where Box lives at *url*."""
    endpoints = Endpoints(revocation=f"{url}/oauth2/revoke", authorization=f"{url}/api/oauth2/authorize")
    return {"token_endpoint": f"{url}/oauth2/token", "endpoints": endpoints}


def tenant_client(double: Auth0Double, client: str = "the-post", **fields: Any) -> OAuthClient:
    """Return one of the tenant's clients, which authenticates by its secret unless *fields* say otherwise."""
    secret = {} if "authentication" in fields else {"client_secret": double.tenant.clients[client].secret}
    return auth0.client(domain="tenant.eu.auth0.com", client_id=client, **secret, **fields)


def claims(seen: Visit, name: str = "assertion") -> dict[str, Any]:
    """Return what a JWT in a request claims."""
    return part(seen.form[name], 1)


def header(seen: Visit, name: str = "assertion") -> dict[str, Any]:
    """Return the header of a JWT in a request."""
    return part(seen.form[name], 0)


def part(jwt: str, number: int) -> dict[str, Any]:
    text = jwt.split(".")[number]
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return read
