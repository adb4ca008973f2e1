"""Plain requests with httpx, for tests of the servers themselves."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import quote

import httpx
from tests.kit.oidc import Registered

_TLS = ssl.create_default_context()
BY_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
REFUSED = 401, "invalid_client"
BAD_GRANT = 400, "invalid_grant"


def post(
    url: str, form: dict[str, Any], *, client: Registered | None = None, tls: ssl.SSLContext = _TLS
) -> httpx.Response:
    """Send a form, with *client* authenticated by basic (RFC 6749, section 2.3.1) if there is one."""
    secret = None if client is None else quote(client.secret or "", safe="")
    auth = None if client is None or secret is None else (quote(client.client_id, safe=""), secret)
    with httpx.Client(trust_env=False, verify=tls, timeout=30) as http:
        return http.post(url, data=form, auth=auth)


def get(url: str, **headers: str) -> httpx.Response:
    with httpx.Client(trust_env=False, verify=_TLS, timeout=30) as http:
        return http.get(url, headers=headers)


def machine(**form: str) -> dict[str, str]:
    """Return the form of client credentials."""
    return {"grant_type": "client_credentials", **form}


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Return status and error code."""
    return response.status_code, response.json()["error"]
