"""What is signed is signed once for each request, fresh, and for nothing else; what signs may fail and come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve, field, frozen
from tests.kit.keys import jwk, peek, pem
from tests.kit.town import Town, client, town
from tests.kit.verifier import Verifier

from tokenflight import (
    ClientAssertion,
    ClientSecretJWT,
    JWTBearer,
    OAuthClient,
    PrivateKeyJWT,
    SubjectToken,
)
from tokenflight.protocol import private_keys
from tokenflight.protocol.assertions import Assertion
from tokenflight.testing import Error

pytestmark = pytest.mark.anyio

LIFE = 60.0
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SECRET = "CNRY-secret-0123456789-0123456789"


def signing(authentication: Any, **fields: Any) -> OAuthClient:
    return client(issuer="https://auth.test", authentication=authentication, **fields)


def bearing(key: Any = None) -> OAuthClient:
    return client(grant=JWTBearer(key), dialect=evolve(client().dialect, form=None))


@frozen
class Kms:
    """A signer in another house: it signs as a shared table says, and counts."""

    state: dict[str, Any] = field(factory=dict, eq=False)
    algorithm = "ES256"
    key_id = "kms"

    async def sign(self, data: bytes) -> bytes:
        self.state["signed"] = self.state.get("signed", 0) + 1
        if (trouble := self.state.get("trouble")) is not None:
            await trouble()
        return b"signature"


async def sealed() -> None:
    raise OSError("CNRY-kms is sealed")


def jtis(place: Town, name: str) -> list[str]:
    return [peek(entry.form[name])[1]["jti"] for entry in place.requests()]


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (lambda: signing(PrivateKeyJWT(jwk())), "client_assertion"),
        (lambda: bearing(jwk()), "assertion"),
    ],
    ids=["client assertion", "jwt-bearer"],
)
async def test_a_429_a_503_and_a_200_have_three_different_jti(made, name):
    place = town(grant_types=("client_credentials", GRANT))
    place.endpoint.always(Verifier(place.clock, failing=[429, 503]))
    async with place.provider(made()) as tokens:
        [call] = await place.once(tokens.source())
    assert call.error is None
    assert [entry.status for entry in place.requests()] == [429, 503, 200]
    assert len(set(jtis(place, name))) == 3


async def test_a_subject_that_is_known_by_an_assertion_presents_a_new_one_each_time():
    place = town(grant_types=(GRANT,))
    place.endpoint.always(Verifier(place.clock, failing=[503]))
    async with place.provider(bearing()) as tokens:
        [call] = await place.once(tokens.source(subject=SubjectToken(Assertion(jwk(), subject="7"))))
    assert call.error is None
    assert len(set(jtis(place, "assertion"))) == 2


async def test_a_key_is_parsed_once_and_a_signature_made_for_each_request_and_for_no_held_token(monkeypatch):
    counted = {"parsed": 0, "signed": 0}

    def opened(text: str, *rest: Any) -> Any:
        counted["parsed"] += 1
        key = real(text, *rest)

        def sign(data: bytes) -> bytes:
            counted["signed"] += 1
            return key.sign(data)

        return evolve(key, sign=sign)

    real = private_keys.opened
    monkeypatch.setattr(private_keys, "opened", opened)
    private_keys._CACHE.forget()
    place = town(expires_in=LIFE)
    key = PrivateKeyJWT(pem("P-521", "CNRY-counted"), passphrase="CNRY-counted")
    async with place.provider(signing(key)) as tokens:
        sources = [tokens.source(audience=f"https://api{number}.test") for number in range(20)]
        await place.once(*sources)
        await place.traffic(sources, rate=50, seconds=3 * LIFE)
    assert not place.failures
    assert counted == {"parsed": 1, "signed": len(place.requests())}
    assert counted["signed"] < 200


async def test_a_signer_elsewhere_is_asked_once_for_each_request():
    place, kms = town(expires_in=LIFE), Kms()
    async with place.provider(signing(PrivateKeyJWT(kms))) as tokens:
        await place.traffic([tokens.source()], rate=20, seconds=5 * LIFE)
    assert not place.failures
    assert kms.state["signed"] == len(place.requests())
    assert peek(place.requests()[0].form["client_assertion"])[0]["kid"] == "kms"


async def test_a_signer_that_is_out_costs_held_tokens_nothing_and_is_not_the_endpoints_fault():
    place, kms = town(expires_in=LIFE), Kms()
    async with place.provider(signing(PrivateKeyJWT(kms))) as tokens:
        source = tokens.source()
        await place.once(source)
        kms.state["trouble"] = sealed
        await place.traffic([source], rate=10, seconds=0.9 * LIFE)
        assert not place.failures
        [health] = tokens.health()
        assert health.state == "up"
        [cold] = await place.once(tokens.source(subject="cold"))
        assert (cold.error.reason, cold.error.transient) == ("credential", True)
        assert "the signer Kms raised OSError" in str(cold.error)
        assert "CNRY" not in str(cold.error)
        kms.state["trouble"] = None
        await place.clock.advance(5)
        [healed] = await place.once(source)
    assert healed.error is None


async def test_a_signer_that_never_answers_is_given_up_at_the_attempts_end():
    place, kms = town(), Kms({"trouble": anyio.sleep_forever})
    async with place.provider(signing(PrivateKeyJWT(kms))) as tokens:
        [call] = await place.once(tokens.source())
    assert (call.error.reason, call.error.transient, call.error.attempts) == ("credential", True, 0)
    assert call.waited <= 30.0
    assert not place.requests()


@pytest.mark.parametrize("bad", ["", "CNRY no key", "-----BEGIN PRIVATE KEY-----\nCNRY\n-----END PRIVATE KEY-----"])
async def test_a_key_file_that_holds_no_key_is_transient_and_heals(bad, tmp_path: Path):
    path = tmp_path / "key.pem"
    path.write_text(bad)
    place = town()
    async with place.provider(signing(PrivateKeyJWT(path))) as tokens:
        source = tokens.source()
        [call] = await place.once(source)
        assert (call.error.reason, call.error.transient) == ("credential", True)
        assert "CNRY" not in str(call.error)
        path.write_text(pem())
        await place.clock.advance(5)
        [healed] = await place.once(source)
    assert healed.error is None
    assert len(place.requests()) == 1


async def test_a_key_that_is_typed_in_and_wrong_is_the_programs_fault():
    place = town()
    wrong = signing(PrivateKeyJWT(pem("P-256", "CNRY-right"), passphrase="CNRY-wrong"))
    async with place.provider(wrong) as tokens:
        [call] = await place.once(tokens.source())
    assert "check passphrase" in str(call.error)
    assert not call.error.transient
    assert not place.requests()


async def test_a_rotated_key_file_signs_from_the_next_request_on(tmp_path: Path):
    path = tmp_path / "key.json"
    path.write_text(json.dumps(jwk(kid="old")))
    place = town(expires_in=LIFE)
    async with place.provider(signing(PrivateKeyJWT(path))) as tokens:
        source = tokens.source()
        await place.traffic([source], rate=2, seconds=LIFE)
        path.write_text(json.dumps(jwk("RSA", kid="new")))
        await place.traffic([source], rate=2, seconds=LIFE)
    assert not place.failures
    headers = [peek(entry.form["client_assertion"])[0] for entry in place.requests()]
    assert {(header["kid"], header["alg"]) for header in headers} == {("old", "ES256"), ("new", "RS256")}


async def test_a_workloads_assertion_is_read_anew_for_each_request(tmp_path: Path):
    path = tmp_path / "federated-token"
    path.write_text("first\n")
    place = town(expires_in=LIFE)
    async with place.provider(signing(ClientAssertion(path))) as tokens:
        source = tokens.source()
        await place.once(source)
        path.write_text("second\n")
        await place.traffic([source], rate=2, seconds=2 * LIFE)
    assert not place.failures
    presented = [entry.form["client_assertion"] for entry in place.requests()]
    assert (presented[0], set(presented[1:])) == ("first", {"second"})


async def test_a_refused_assertion_is_presented_again_when_its_file_has_another(tmp_path: Path):
    path = tmp_path / "federated-token"
    path.write_text("stale")
    place = town()
    place.endpoint.always(lambda entry: Error("invalid_client") if entry.form["client_assertion"] == "stale" else None)
    async with place.provider(signing(ClientAssertion(path))) as tokens:
        source = tokens.source()
        await place.traffic([source], rate=5, seconds=10)
        assert len(place.requests()) == 1
        path.write_text("fresh")
        await place.traffic([source], rate=5, seconds=5)
    assert [entry.status for entry in place.requests()] == [401, 200]


async def test_a_crowd_needs_one_signature():
    place, kms = town(), Kms()
    async with place.provider(signing(PrivateKeyJWT(kms))) as tokens:
        calls = await place.once(*[tokens.source()] * 1_000)
    assert all(call.error is None for call in calls)
    assert kms.state["signed"] == 1


async def test_a_client_secret_signs_and_never_travels():
    place = town()
    place.endpoint.always(Verifier(place.clock, kind=SECRET.encode(), algorithm="HS256"))
    async with place.provider(signing(ClientSecretJWT(SECRET))) as tokens:
        [call] = await place.once(tokens.source())
    assert call.error is None
    assert SECRET not in repr(place.requests()[0].form)
