"""Real authorization servers, one of each a test session (a worker's, under pytest-xdist)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.kit import node, oidc
from tests.kit.credentials import Certificates, make_certificates
from tests.kit.oidc import OidcProvider
from tests.kit.processes import MissingError, running

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def oidc_provider(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """Start oidc-provider; where Node or its packages are missing, what needs it is skipped, and fails with CI=true."""
    try:
        node.install(HERE)
    except MissingError as missing:
        pytest.skip(str(missing))
    registry = oidc.registry(certificates)
    log = tmp_path_factory.mktemp("oidc-provider") / "log"
    with running([node.node(), HERE / "server.mjs"], registry.settings, log=log) as told:
        yield oidc.served(told, registry, certificates)


@pytest.fixture
def server(oidc_provider: OidcProvider) -> OidcProvider:
    """The session's oidc-provider, without journal and faults of former tests."""
    oidc_provider.clear()
    return oidc_provider
