"""Real authorization servers, one of each a test session (a worker's, under pytest-xdist)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import pytest
from tests.kit import node, opinions
from tests.kit.credentials import Certificates, make_certificates
from tests.kit.oidc import OidcProvider, registry, served
from tests.kit.opinions import Opinion
from tests.kit.processes import MissingError, running

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def oidc_provider(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """Start oidc-provider; where Node or its packages are missing, what needs it is skipped, and fails with CI=true."""
    try:
        binary = node.node()
        node.install(HERE)
    except MissingError as missing:
        pytest.skip(str(missing))
    registered = registry(certificates)
    log = tmp_path_factory.mktemp("oidc-provider") / "log"
    with running([binary, HERE / "server.mjs"], registered.settings, log=log) as told:
        yield served(told, registered, certificates)


@pytest.fixture(scope="session")
def authlib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opinion]:
    """Start Authlib's server."""
    _need("authlib", "flask", "joserfc")
    log = tmp_path_factory.mktemp("authlib") / "log"
    clients = opinions.clients(all_methods=True)
    settings = {"clients": opinions.metadata(clients)}
    with running([sys.executable, HERE / "authlib_server.py"], settings, log=log) as told:
        at = told["issuer"]
        yield Opinion(issuer=at, token_endpoint=f"{at}/token", revocation_endpoint=f"{at}/revoke", clients=clients)


@pytest.fixture(scope="session")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opinion]:
    """Start django-oauth-toolkit's server."""
    _need("django", "oauth2_provider", "werkzeug")
    folder = tmp_path_factory.mktemp("django")
    clients = opinions.clients(all_methods=False)
    settings = {"clients": opinions.metadata(clients), "database": str(folder / "database")}
    with running([sys.executable, HERE / "django_server.py"], settings, log=folder / "log") as told:
        at = told["issuer"]
        yield Opinion(
            issuer=at, token_endpoint=f"{at}/token/", revocation_endpoint=f"{at}/revoke_token/", clients=clients
        )


def _need(*modules: str) -> None:
    missing = [name for name in modules if util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} cannot be imported: install the extra `test`")


@pytest.fixture
def oidc(oidc_provider: OidcProvider) -> OidcProvider:
    """The session's oidc-provider, without journal and faults of former tests."""
    oidc_provider.clear()
    return oidc_provider
