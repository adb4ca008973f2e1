"""OddDouble: Entra, Okta, Google, GitHub, Keycloak and Salesforce as their answers were recorded, each at its own host;
and `/o/…`, where each path is one oddity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tests.doubles.odd.answers import odd_answer
from tests.doubles.odd.checks import RefusedError
from tests.doubles.odd.entra import Entra
from tests.doubles.odd.github import GitHub
from tests.doubles.odd.google import Google
from tests.doubles.odd.keycloak import Keycloak
from tests.doubles.odd.okta import Okta
from tests.doubles.odd.salesforce import Salesforce
from tests.doubles.server import Route, ServerDouble
from tests.doubles.visits import Visit
from tests.kit.canary import canary

from tokenflight.testing import Answer, Reply


class OddDouble(ServerDouble):
    """Six providers, strict in what they take, and an endpoint that takes any client credentials and answers oddly.

    Attributes:
        entra, okta, google, github, keycloak, salesforce: what each knows; tests add to it.
        tokens: the access tokens that were issued, in order.
    """

    url_in_memory: ClassVar[str] = "https://odd.test"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.entra = Entra(self.now)
        self.okta = Okta(self.now)
        self.google = Google(self.now)
        self.github = GitHub(self.now)
        self.keycloak = Keycloak(self.now)
        self.salesforce = Salesforce(self.now)
        self.tokens: list[str] = []

    def _routes(self) -> tuple[Route, ...]:
        systems = (self.entra, self.okta, self.google, self.github, self.keycloak, self.salesforce)
        return (
            ("POST", "/o/", self._odd),
            *(("POST", path, self._asked(system, system.answer)) for system in systems for path in system.paths),
        )

    def _asked(self, system: Any, answer: Callable[[Visit, str], Answer]) -> Callable[[Visit], Reply]:
        def respond(seen: Visit) -> Reply:
            if seen.origin != system.origin:
                return Answer(404, f"this is not {system.origin}").reply()
            token = canary("access")
            try:
                made = answer(seen, token)
            except RefusedError as refused:
                return refused.answer.reply()
            seen.token = token
            self.tokens.append(token)
            return made.reply()

        return respond

    def _odd(self, seen: Visit) -> Reply:
        if seen.form.get("grant_type") != "client_credentials" or not seen.readable:
            return Answer(400, {"error": "invalid_request"}).reply()
        token = canary("access")
        self.tokens.append(token)
        return odd_answer(seen.path.removeprefix("/o/"), token, self.now()).reply()
