"""What signing costs: how often a key is parsed and used, and what a signed request takes beside one with a secret."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import httpx
from attrs import define, evolve
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from benchmarks.measure import Figure, interleaved, ratio, timed
from benchmarks.world import answering, wire_client
from tokenflight import PrivateKeyJWT, TokenProvider
from tokenflight.protocol import private_keys

REQUESTS = 200
HELD = 10_000
CALLS = 1_000
ROUNDS = 100
PASSPHRASE = "a passphrase for the benchmark"


@define(eq=False)
class Counts:
    """How often a key was parsed, and how often one signed."""

    parsed: int = 0
    signed: int = 0

    def watch(self) -> Callable[[], None]:
        """Count from now on; return what ends that."""
        whole = private_keys.opened

        def counting(text: str, passphrase: str | None, algorithm: str | None) -> private_keys.PrivateKey:
            self.parsed += 1
            key = whole(text, passphrase, algorithm)

            def sign(data: bytes) -> bytes:
                self.signed += 1
                return key.sign(data)

            return evolve(key, sign=sign)

        private_keys.opened = counting

        def restore() -> None:
            private_keys.opened = whole

        return restore


async def run(scale: float) -> list[Figure]:
    """Measure."""
    requests, rounds, counts = max(5, int(REQUESTS * scale)), max(5, int(ROUNDS * scale)), Counts()
    signing = evolve(
        wire_client(), issuer="https://as.example.com", authentication=PrivateKeyJWT(_key(), passphrase=PASSPHRASE)
    )
    restore = counts.watch()
    try:
        async with (
            httpx.AsyncClient(transport=answering()) as http,
            TokenProvider({"signs": signing, "tells": wire_client()}, http=http) as tokens,
        ):
            return [*await _counted(tokens, requests, counts), *await _timed(tokens, rounds)]
    finally:
        restore()


async def _counted(tokens: TokenProvider, requests: int, counts: Counts) -> list[Figure]:
    """Ask for many tokens, each of them often."""
    for number in range(requests):
        await tokens.token("signs", audience=f"https://api.example.com/{number}")
    for _ in range(HELD):
        await tokens.token("signs", audience="https://api.example.com/0")
    size = f"{requests:,} requests and {HELD:,} calls for a held token"
    return [
        Figure(name="an encrypted key was parsed", value=counts.parsed, unit="times", target=1.0, size=size),
        Figure(
            name="signatures made for a request", value=counts.signed / requests, unit="each", target=1.0, size=size
        ),
    ]


async def _timed(tokens: TokenProvider, rounds: int) -> list[Figure]:
    signs, tells = tokens.source("signs"), tokens.source("tells")

    async def held_by_signs() -> None:
        for _ in range(CALLS):
            await signs.token()

    async def held_by_tells() -> None:
        for _ in range(CALLS):
            await tells.token()

    async def request_of_signs() -> None:
        await signs.forget()
        await signs.token()

    async def request_of_tells() -> None:
        await tells.forget()
        await tells.token()

    await request_of_signs()
    await request_of_tells()
    held = await interleaved(rounds, {"tells": timed(held_by_tells, CALLS), "signs": timed(held_by_signs, CALLS)})
    sent = await interleaved(
        rounds, {"tells": timed(request_of_tells, 1, perf_counter), "signs": timed(request_of_signs, 1, perf_counter)}
    )
    once, of_once = ratio(held, "signs", "tells")
    each, of_each = ratio(sent, "signs", "tells")
    return [
        Figure(
            name="a held token, beside a client with a secret",
            value=once,
            unit="×",
            spread=of_once,
            size=f"{rounds} rounds of {CALLS:,}",
        ),
        Figure(
            name="a request that signs, beside one with a secret",
            value=each,
            unit="×",
            spread=of_each,
            size=f"{rounds} rounds, RSA 2048",
        ),
    ]


def _key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encrypted = BestAvailableEncryption(PASSPHRASE.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted).decode("ascii")
