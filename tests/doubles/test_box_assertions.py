from __future__ import annotations

from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from tests.doubles.box import TOKEN, refusals
from tests.doubles.box.scene import USER, claims, jwt, town
from tests.doubles.reaching import WAYS, Way, reached
from tests.doubles.tokens import key, signed, unsigned

from tokenflight.testing import Answer, Delay, LoseReply, Reset, VirtualClock

pytestmark = pytest.mark.anyio


def _sent(refused: Answer) -> tuple[int, bytes]:
    return refused.status, refused.reply().body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
async def test_an_assertion_brings_a_token(way: Way, algorithm: str) -> None:
    box = town()
    assertion = signed(claims(box, sub=USER, box_sub_type="user"), key("box-key"), algorithm=algorithm)
    async with reached(box, way) as http:
        told = (await http.post(TOKEN, data=jwt(box, assertion, box_device_id="0"))).json()
    assert box.house.tokens[told["access_token"]].subject == ("user", USER)
    assert set(told) == {"access_token", "expires_in", "restricted_to", "token_type"}


@pytest.mark.parametrize(
    ("other", "refused"),
    [
        ({"iss": "the-ccg"}, refusals.claim("iss")),
        ({"iss": None}, refusals.claim("iss")),
        ({"aud": "http://127.0.0.1/oauth2/token"}, refusals.claim("aud")),
        ({"aud": ["https://api.box.com/oauth2/token"]}, refusals.claim("aud")),
        ({"sub": 1234567}, refusals.WRONG_SUBJECT),
        ({"sub": "1"}, refusals.WRONG_SUBJECT),
        ({"sub": None}, refusals.WRONG_SUBJECT),
        ({"box_sub_type": "external"}, refusals.claim("box_sub_type")),
        ({"box_sub_type": "user"}, refusals.WRONG_SUBJECT),
        ({"jti": None}, refusals.REPLAYED_ASSERTION),
        ({"jti": "x" * 15}, refusals.REPLAYED_ASSERTION),
        ({"jti": "x" * 129}, refusals.REPLAYED_ASSERTION),
        ({"exp": None}, refusals.BAD_EXPIRY),
        ({"exp": "30"}, refusals.BAD_EXPIRY),
        ({"exp": 1_750_000_061}, refusals.BAD_EXPIRY),
        ({"exp": 1_750_000_060}, None),
        ({"exp": 1_750_000_000}, refusals.EXPIRED_ASSERTION),
        ({"iat": 1_750_000_001}, refusals.EARLY_ASSERTION),
        ({"nbf": 1_750_000_001}, refusals.EARLY_ASSERTION),
        ({"nbf": 1_750_000_000, "iat": 1_750_000_000}, None),
    ],
)
async def test_each_claim_is_checked(other: dict[str, Any], refused: Answer | None) -> None:
    box = town(clock=VirtualClock())
    async with reached(box) as http:
        answer = await http.post(TOKEN, data=jwt(box, signed(claims(box, **other), key("box-key"))))
    assert (answer.status_code, answer.content) == ((200, answer.content) if refused is None else _sent(refused))


async def test_an_assertion_is_signed_by_a_key_of_the_app_and_no_other_way() -> None:
    box = town()
    good = key("box-key")
    head, body, signature = signed(claims(box), good).split(".")
    bad = [
        (refusals.WRONG_KEY, signed(claims(box), key("another"))),
        *(
            (refusals.BAD_SIGNATURE, assertion)
            for assertion in (
                signed(claims(box), key("another"), kid="box-key"),
                signed(claims(box), good, algorithm="PS256"),
                signed(claims(box), good, typ="at+jwt"),
                unsigned(claims(box)),
                f"{head}.{signed(claims(box, sub=USER), good).split('.')[1]}.{signature}",
                f"{head}.{body}",
                "nonsense",
            )
        ),
    ]
    async with reached(box) as http:
        for refused, assertion in bad:
            answer = await http.post(TOKEN, data=jwt(box, assertion))
            assert (answer.status_code, answer.content) == _sent(refused)
        without_kid = await http.post(TOKEN, data=jwt(box, signed(claims(box), good, kid=None)))
    assert without_kid.status_code == 200


@pytest.mark.parametrize(
    "act",
    [refusals.throttled(), refusals.broken(), refusals.bad_gateway(), LoseReply(), Delay(0.0), Answer(200, [])],
)
async def test_a_jti_is_spent_by_every_try_that_arrives(act: Any) -> None:
    box = town()
    form = jwt(box)
    box.script(act)
    async with reached(box) as http:
        with suppress(httpx.RemoteProtocolError):
            await http.post(TOKEN, data=form)
        again = await http.post(TOKEN, data=form)
        fresh = await http.post(TOKEN, data=jwt(box))
    assert (again.status_code, again.content) == _sent(refusals.REPLAYED_ASSERTION)
    assert fresh.status_code == 200


async def test_a_jti_is_not_spent_by_a_try_that_never_arrived_and_is_forgotten_after_an_hour() -> None:
    clock = VirtualClock()
    box = town(clock=clock)
    form = jwt(box)
    box.script(Reset())
    async with reached(box) as http:
        with pytest.raises(httpx.ReadError):
            await http.post(TOKEN, data=form)
        assert (await http.post(TOKEN, data=form)).status_code == 200
        await clock.advance(3600)
        jti = box.ledger[0].jtis["assertion"][1]
        old = signed(claims(box, jti=jti), key("box-key"))
        assert (await http.post(TOKEN, data=jwt(box, old))).status_code == 200


@pytest.mark.parametrize("offset", [-540.0, 540.0])
async def test_the_server_goes_by_its_own_clock_and_tells_it(offset: float) -> None:
    clock = VirtualClock()
    box = town(clock=clock, now_offset=offset)
    ours = {"exp": int(clock.wall()) + 30}
    async with reached(box) as http:
        refused = await http.post(TOKEN, data=jwt(box, signed(claims(box, **ours), key("box-key"))))
        said = parsedate_to_datetime(refused.headers["date"]).timestamp()
        clock.jump_wall(86_400)
        healed = await http.post(TOKEN, data=jwt(box, signed(claims(box, exp=int(said) + 30), key("box-key"))))
    expected = refusals.EXPIRED_ASSERTION if offset > 0 else refusals.BAD_EXPIRY
    assert (refused.status_code, refused.content) == _sent(expected)
    assert said == clock.wall() - 86_400 + offset
    assert healed.status_code == 200
