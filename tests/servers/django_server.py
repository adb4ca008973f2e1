"""django-oauth-toolkit as an authorization server, for a third opinion.

It takes basic and post alike, hides its reasons, answers a bad client with a Bearer challenge, and ends a session whose
spent refresh token is shown again. Settings: `clients` (RFC 7591 metadata) and `database` (a path).
"""

# ruff: noqa: E402 - Django is configured before its parts are imported

from __future__ import annotations

import json
import secrets
import uuid
from datetime import timedelta
from typing import Any

import django
from django.conf import settings as configuration
from standing import listening, settings, stand

PREFIX = "/o"
said = settings()
configuration.configure(
    SECRET_KEY=secrets.token_hex(),
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": said["database"]}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    PASSWORD_HASHERS=[f"{__name__}.QuickHasher"],
    OAUTH2_PROVIDER={
        "ACCESS_TOKEN_EXPIRE_SECONDS": 600,
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
        "ROTATE_REFRESH_TOKEN": True,
        "SCOPES": {"read": "to read", "write": "to write"},
    },
)
django.setup()

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.models import AccessToken, Application, RefreshToken
from oauth2_provider.urls import metadata_urlpatterns

GRANTS = {
    "client_credentials": Application.GRANT_CLIENT_CREDENTIALS,
    "refresh_token": Application.GRANT_AUTHORIZATION_CODE,  # whose clients may refresh
}


class QuickHasher(PBKDF2PasswordHasher):
    """Hash the clients' secrets, which are random, without the third of a second that passwords are worth."""

    iterations = 1


@csrf_exempt
def mint(request: HttpRequest) -> JsonResponse:
    """Begin a session without a browser; return its refresh token."""
    asked: dict[str, Any] = json.loads(request.body)
    application = Application.objects.get(client_id=asked["client_id"])
    user, _ = User.objects.get_or_create(username=asked["sub"])
    own = {"user": user, "application": application}
    ends = timezone.now() + timedelta(seconds=600)
    access = AccessToken.objects.create(**own, token=secrets.token_hex(), expires=ends, scope=asked["scope"])
    family = {"token_family": uuid.uuid4()}
    token = RefreshToken.objects.create(**own, **family, token=secrets.token_hex(), access_token=access)
    return JsonResponse({"refresh_token": token.token})


urlpatterns = [
    path("", include((metadata_urlpatterns, "metadata"))),  # where RFC 8414 looks for it, the issuer having a path
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("__admin/mint", mint),
]

call_command("migrate", verbosity=0)
for metadata in said["clients"]:
    Application.objects.create(
        client_id=metadata["client_id"],
        client_secret=metadata["client_secret"],
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=GRANTS[metadata["grant_types"][0]],
        redirect_uris="https://app.test/callback",
    )

listener, origin = listening(get_wsgi_application())
stand(listener, origin + PREFIX)
