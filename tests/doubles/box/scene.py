"""A small town on Box: one enterprise, its users and files, and an app of each kind."""

from __future__ import annotations

from typing import Any, Final

from tests.doubles.box.double import BoxDouble
from tests.doubles.tokens import key, public, signed
from tests.kit.canary import canary

ENTERPRISE: Final = "1234567"
USER: Final = "987"
APP_USER: Final = "988"
LINK: Final = "https://cloud.box.com/s/123456"
CALLBACK: Final = "https://app.example/callback"
FILE: Final = "https://api.box.com/2.0/files/123456"
JWT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS: Final = "urn:ietf:params:oauth:token-type:access_token"
ID: Final = "urn:ietf:params:oauth:token-type:id_token"


def town(**options: Any) -> BoxDouble:
    """Return a double with three apps: `the-ccg`, `the-jwt` and `the-oauth`."""
    box = BoxDouble(**options)
    box.enterprise(ENTERPRISE, users=[USER], app_users=[APP_USER])
    box.item("file", "123456", link=LINK)
    box.item("file", "777", seen_by=[("user", APP_USER)])
    box.item("folder", "42")
    box.app("the-ccg", kind="ccg")
    box.app("the-jwt", kind="jwt", keys=[public(key("box-key"))])
    box.app("the-oauth", kind="oauth", redirect_uris=(CALLBACK,))
    return box


def credentials(box: BoxDouble, app: str) -> dict[str, str]:
    return {"client_id": app, "client_secret": box.house.apps[app].secret}


def ccg(box: BoxDouble, /, **fields: Any) -> dict[str, str]:
    """Return a request for the enterprise, with fields replaced, or left out where they are None."""
    form = {"grant_type": "client_credentials", **credentials(box, "the-ccg")}
    return without(form | {"box_subject_type": "enterprise", "box_subject_id": ENTERPRISE} | fields)


def claims(box: BoxDouble, **other: Any) -> dict[str, Any]:
    """Return the claims of a good assertion, changed or left out as *other* says."""
    good = {
        "iss": "the-jwt",
        "sub": ENTERPRISE,
        "box_sub_type": "enterprise",
        "aud": "https://api.box.com/oauth2/token",
        "jti": canary("jti"),
        "exp": int(box.now()) + 30,
    }
    return without(good | other)


def jwt(box: BoxDouble, assertion: str | None = None, /, **fields: Any) -> dict[str, str]:
    """Return a request with an assertion, with fields replaced, or left out where they are None."""
    assertion = signed(claims(box), key("box-key")) if assertion is None else assertion
    return without({"grant_type": JWT, "assertion": assertion, **credentials(box, "the-jwt")} | fields)


def downscope(box: BoxDouble, held: str, /, **fields: Any) -> dict[str, str]:
    """Return a request that narrows a token down to one file."""
    form = {"grant_type": EXCHANGE, "subject_token": held, "subject_token_type": ACCESS}
    return without(form | {"scope": "item_preview item_download", "resource": FILE} | fields)


def without(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
