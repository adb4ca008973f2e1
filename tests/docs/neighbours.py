"""The providers that docs/providers.md writes to: each request is looked at to the letter before it is answered."""

from __future__ import annotations

import base64
import json
import math
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote_plus

import httpx
from attrs import field, frozen
from tests.doubles.odd import OddDouble, google
from tests.doubles.tokens import key, peeked

SECRET: Final = "…"
ID: Final = "me"
_FORM: Final = "application/x-www-form-urlencoded"
_CODE: Final = "the-code"


@frozen(kw_only=True)
class Neighbour:
    """What one request has to be, and its answer, or a function that makes the n-th.

    A `...` as a value stands for any text.
    """

    url: str
    form: Mapping[str, Any] | None = None
    method: str = "POST"
    basic: tuple[str, str] | None = None
    headers: Mapping[str, str] = field(factory=dict)
    claims: Mapping[str, Any] = field(factory=dict)
    answer: Any = field(factory=dict)
    status: int = 200
    media: str = "application/json"

    def reply(self, request: httpx.Request, body: bytes, number: int) -> httpx.Response:
        assert request.method == self.method
        if self.form is not None:
            assert request.headers["content-type"] == _FORM
            self._check(dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)))
        wanted = (
            f"Basic {base64.b64encode(':'.join(map(_quoted, self.basic)).encode()).decode()}" if self.basic else None
        )
        assert request.headers.get("authorization") == self.headers.get("authorization", wanted)
        assert {name: request.headers.get(name) for name in self.headers} == dict(self.headers)
        answer = self.answer(number) if callable(self.answer) else self.answer
        content = answer if isinstance(answer, str) else json.dumps(answer)
        return httpx.Response(self.status, content=content, headers={"content-type": self.media})

    def _check(self, sent: Mapping[str, str]) -> None:
        assert self.form is not None
        assert sent.keys() == self.form.keys()
        assert {name for name, value in self.form.items() if value is not ... and sent[name] != value} == set()
        said = peeked(sent.get("assertion")) or {}
        assert {name: said.get(name) for name in self.claims} == dict(self.claims)


def _quoted(text: str) -> str:
    return quote_plus(text)


SIX: Final = frozenset(
    {
        *("login.microsoftonline.com", "acme.okta.com", "oauth2.googleapis.com"),
        *("api.github.com", "sso.acme.test", "acme.my.salesforce.com"),
    }
)
_PROOF: Final = {"client_id": ID, "client_secret": SECRET}
_BASIC: Final = (ID, SECRET)
_CREDENTIALS: Final = {"grant_type": "client_credentials"}
_REFRESH: Final = {"grant_type": "refresh_token", "refresh_token": "…"}

NEIGHBOURS: Final = (
    Neighbour(
        url="http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net",
        method="GET",
        headers={"metadata": "true"},
        answer={
            "access_token": "from-the-machine",
            "expires_in": "86399",
            "expires_on": str(int(time.time()) + 86399),
            "token_type": "Bearer",
        },
    ),
    Neighbour(
        url="https://acme.auth.eu-west-1.amazoncognito.com/oauth2/token",
        form=_CREDENTIALS | {"scope": "orders/read"},
        basic=_BASIC,
        answer={"access_token": "cognito", "expires_in": 3600, "token_type": "Bearer"},
    ),
    Neighbour(
        url="https://github.com/login/oauth/access_token",
        form={"grant_type": "authorization_code", "code": _CODE, "code_verifier": ..., **_PROOF},
        headers={"accept": "application/json"},
        answer="access_token=github&scope=repo&token_type=bearer",
        media=_FORM,
    ),
    Neighbour(
        url="https://zoom.us/oauth/token",
        form={"grant_type": "account_credentials", "account_id": "a-1"},
        basic=_BASIC,
        answer={"access_token": "zoom", "token_type": "bearer", "expires_in": 3599, "scope": "meeting:read:admin"},
    ),
    Neighbour(
        url="https://slack.com/api/oauth.v2.access",
        form=_REFRESH | _PROOF,
        answer={
            "ok": True,
            "access_token": "slack",
            "token_type": "bot",
            "scope": "chat:write,users:read",
            "expires_in": 43200,
            "refresh_token": "the next one",
            "team": {"id": "T1"},
        },
    ),
    Neighbour(
        url="https://acme.myshopify.com/admin/oauth/access_token",
        form=_CREDENTIALS | _PROOF,
        answer={"access_token": "shopify", "scope": "read_orders,write_orders", "expires_in": 86399},
    ),
    Neighbour(
        url="https://acme.myshopify.com/admin/api/orders.json",
        method="GET",
        headers={"x-shopify-access-token": "shopify"},
    ),
    Neighbour(
        url="https://accounts.spotify.com/api/token",
        form=_REFRESH,
        basic=_BASIC,
        answer=lambda number: {
            "access_token": f"spotify-{number}",
            "token_type": "Bearer",
            "expires_in": 3600,
            "scope": "user-read-email",
        },
    ),
    Neighbour(
        url="https://api-m.paypal.com/v1/oauth2/token",
        form=_CREDENTIALS,
        basic=_BASIC,
        answer={
            "access_token": "paypal",
            "token_type": "Bearer",
            "expires_in": "31668",
            "scope": "https://uri.paypal.com/services/invoicing",
            "app_id": "APP-1",
            "nonce": "2026-11-22T10:00:00Z",
        },
    ),
    Neighbour(
        url="https://id.twitch.tv/oauth2/token",
        form=_CREDENTIALS | _PROOF,
        answer={"access_token": "twitch", "expires_in": 5011271, "token_type": "bearer", "scope": ["clips:edit"]},
    ),
    Neighbour(
        url="https://api.twitch.tv/helix/streams",
        method="GET",
        headers={"authorization": "Bearer twitch", "client-id": ID},
    ),
    Neighbour(
        url="https://acme.snowflakecomputing.com/oauth/token-request",
        form=_REFRESH,
        basic=_BASIC,
        answer={"access_token": "snowflake", "token_type": "Bearer", "expires_in": 599},
    ),
    Neighbour(
        url="https://acme.service-now.com/oauth_token.do",
        form=_CREDENTIALS | _PROOF,
        answer={"error": "server_error", "error_description": "access_denied"},
        status=401,
    ),
    Neighbour(
        url="https://account-d.docusign.com/oauth/token",
        form={"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": ...},
        claims={
            "iss": ID,
            "sub": "3e1a-user",
            "aud": "account-d.docusign.com",
            "scope": "impersonation signature",
        },
        answer={"access_token": "docusign", "token_type": "Bearer", "expires_in": "3600"},
    ),
    Neighbour(
        url="https://api.ebay.com/identity/v1/oauth2/token",
        form=_CREDENTIALS | {"scope": "https://api.ebay.com/oauth/api_scope"},
        basic=_BASIC,
        answer={"access_token": "ebay", "token_type": "Application Access Token", "expires_in": 7200},
    ),
    Neighbour(
        url="https://login.mailchimp.example/oauth2/token",
        form=_CREDENTIALS | _PROOF,
        answer={"access_token": "mailchimp", "expires_in": 0, "scope": None},
    ),
    Neighbour(
        url="https://api.fitbit.example/oauth2/token",
        form=_CREDENTIALS,
        basic=_BASIC,
        answer={"errors": [{"errorType": "invalid_client", "message": "Invalid authorization header."}]},
        status=401,
    ),
    Neighbour(
        url="https://graph.facebook.example/oauth/access_token",
        form=_CREDENTIALS | _PROOF,
        answer="access_token=facebook&expires=5183944",
        media="text/plain; charset=UTF-8",
    ),
    Neighbour(
        url="https://shop.plentymarkets.example/rest/login",
        form=_CREDENTIALS | _PROOF,
        answer={"accessToken": "plenty", "tokenType": "Bearer", "expiresIn": 86400},
    ),
)


class Street:
    """The providers of that page: some by what is said of them here, six by their double, at their own hosts.

    The key files that the page names lie in *folder*.
    """

    def __init__(self, folder: Path) -> None:
        self.asked: Counter[str] = Counter()
        self.known = {neighbour.url: neighbour for neighbour in NEIGHBOURS}
        self.hosts = SIX | {httpx.URL(url).host for url in self.known}
        self.double = OddDouble()
        self.double.secrets[ID] = SECRET
        self.double.tokens["eyJ…"] = math.inf
        self.double.keys[ID] = self.double.keys[google.ACCOUNT]
        pem = key("odd-key").as_pem(private=True).decode()  # type: ignore[attr-defined]
        for name in ("okta.pem", "github-app.pem", "salesforce.pem", "docusign.pem"):
            (folder / name).write_text(pem, "ascii")
        account = {"type": "service_account", "client_email": google.ACCOUNT, "private_key_id": "odd-key"}
        told = account | {"private_key": pem, "token_uri": "https://oauth2.googleapis.com/token"}
        (folder / "service-account.json").write_text(json.dumps(told), "utf-8")

    async def reply(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        neighbour = self.known.get(str(request.url))
        if neighbour is not None:
            self.asked[neighbour.url] += 1
            return neighbour.reply(request, body, self.asked[neighbour.url])
        return await self.double.transport().handle_async_request(request)
