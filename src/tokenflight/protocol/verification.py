"""Verification: whether a JWT was signed by one of a server's published keys (RFC 7515, RFC 7517, RFC 8725).

joserfc, of the extra `jwt`, does the mathematics. What is taken from a header is decided here: `alg` and `kid` choose
among the keys at hand, and no key or address in it (`jwk`, `jku`, `x5u`, `x5c`) is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.protocol.compact import Compact, Invalid, read_compact, read_json

MAX_DOCUMENT: Final = 1024 * 1024
MAX_KEYS: Final = 100
_RSA_BITS: Final = 2048
_MAX_NUMBER: Final = 4096

ALGORITHMS: Final[Mapping[str, tuple[str, str | None]]] = MappingProxyType(
    {
        **{f"{family}{size}": ("RSA", None) for family in ("RS", "PS") for size in (256, 384, 512)},
        "ES256": ("EC", "P-256"),
        "ES384": ("EC", "P-384"),
        "ES512": ("EC", "P-521"),
        "EdDSA": ("OKP", "Ed25519"),
    }
)
"""What can be verified, with the type of key and the curve that each algorithm takes: none of a shared secret."""

_SECRET_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@frozen(eq=False, repr=False, kw_only=True)
class _Key:
    kind: tuple[Any, Any]
    kid: str | None
    algorithm: str | None
    material: Any

    def fits(self, algorithm: str) -> bool:
        """Tell whether *algorithm* is one of its type, and its own where it names one."""
        return ALGORITHMS[algorithm] == self.kind and self.algorithm in (None, algorithm)


@frozen(eq=False, repr=False)
class KeySet:
    """The public keys of a server that can verify something (RFC 7517, section 5)."""

    keys: tuple[_Key, ...]

    def __repr__(self) -> str:
        return f"KeySet({len(self.keys)} keys)"

    @classmethod
    def read(cls, document: bytes) -> KeySet | Invalid:
        """Read a JWK set. Never raises but ConfigurationError, where joserfc is not installed.

        A key of another use or type, too small, or malformed is passed over, as RFC 7517 asks. A document that
        publishes a secret (a symmetric or private key), is too large or has no key that is of use is refused whole.
        """
        require_joserfc()
        if len(document) > MAX_DOCUMENT:
            return _no_keys(f"it is larger than {MAX_DOCUMENT} bytes")
        try:
            read = read_json(document)
        except (ValueError, RecursionError):
            return _no_keys("it is no JSON in which every name comes once")
        listed = read.get("keys") if isinstance(read, dict) else None
        if not isinstance(listed, list) or len(listed) > MAX_KEYS:
            return _no_keys(f"it is no list of {MAX_KEYS} keys at most")
        members = [jwk for jwk in listed if isinstance(jwk, dict)]
        if any(jwk.get("kty") == "oct" or _SECRET_MEMBERS & jwk.keys() for jwk in members):
            return _no_keys("it publishes a symmetric or private key")
        keys = tuple(key for jwk in members if (key := _usable(jwk)) is not None)
        return cls(keys) if keys else _no_keys("none of its keys can verify a signature")


def _sealed(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(values))


@frozen(kw_only=True, repr=False)
class Claims:
    """What a server signed for, with the algorithm and the `typ` of the header. The repr shows names only."""

    values: Mapping[str, Any] = field(converter=_sealed)
    algorithm: str
    typ: str | None

    def get(self, name: str, default: Any = None) -> Any:
        """Return a claim, *default* where it is absent."""
        return self.values.get(name, default)

    def __repr__(self) -> str:
        return f"Claims({sorted(self.values)}, {self.algorithm})"


def verify(text: str, keys: KeySet, *, algorithms: Collection[str]) -> Claims | Invalid:
    """Return what a JWT says where one of *keys* signed it with one of *algorithms*; never raises.

    Reasons: `not_a_jwt`, `critical`, `algorithm`, `unknown_key`, `signature`. What the claims mean is not looked at.
    """
    jwt = read_compact(text)
    if isinstance(jwt, Invalid):
        return jwt
    algorithm = jwt.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms or algorithm not in ALGORITHMS:
        return Invalid(reason="algorithm", detail="its algorithm is none of those that are accepted")
    key = _chosen(keys, jwt.header.get("kid"), algorithm)
    if isinstance(key, Invalid):
        return key
    if not _is_signed(jwt, key, algorithm):
        # Without a kid the key was the only one that fits, which a key that took its place would be too.
        return Invalid(reason="signature", detail="its signature is not the server's", outdated="kid" not in jwt.header)
    typ = jwt.header.get("typ")
    return Claims(values=jwt.claims, algorithm=algorithm, typ=typ if isinstance(typ, str) else None)


def require_joserfc() -> None:
    """Raise ConfigurationError where joserfc is not installed."""
    try:
        import joserfc  # noqa: F401  # asked for, and used where it is there
    except ImportError:
        raise ConfigurationError(
            "verifying a JWT needs joserfc, which is not installed: pip install 'tokenflight[jwt]'"
        ) from None


def _chosen(keys: KeySet, kid: str | None, algorithm: str) -> _Key | Invalid:
    """Return the one key that is meant: several of a name, or several that fit where no name is given, are none."""
    named = [key for key in keys.keys if kid is None or key.kid == kid]
    fitting = [key for key in named if key.fits(algorithm)]
    if len(fitting) == 1:
        return fitting[0]
    if named and not fitting and kid is not None:
        return Invalid(reason="algorithm", detail="its algorithm is not that of the key that it names")
    if fitting:
        return Invalid(reason="unknown_key", detail="more than one key could be meant")
    return Invalid(reason="unknown_key", detail="it was signed with a key that the server does not list", outdated=True)


def _is_signed(jwt: Compact, key: _Key, algorithm: str) -> bool:
    from joserfc.jws import JWSRegistry

    try:
        return JWSRegistry.algorithms[algorithm].verify(jwt.signing_input, jwt.signature, key.material)
    except Exception:  # a signature that is no pair of numbers, or whatever the libraries below think of it
        return False


def _usable(jwk: dict[str, Any]) -> _Key | None:
    """Return a key that verifies signatures; None for any other (RFC 7517, sections 4.1 to 4.4 and 5)."""
    kind = (jwk.get("kty"), None if jwk.get("kty") == "RSA" else jwk.get("crv"))
    kid, algorithm, operations = jwk.get("kid"), jwk.get("alg"), jwk.get("key_ops", ["verify"])
    of_use = jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    named = isinstance(kid, str | None) and isinstance(algorithm, str | None)
    if not of_use or not named or (algorithm or "RS256") not in ALGORITHMS:
        return None
    material = _imported(jwk) if kind in list(ALGORITHMS.values()) else None
    return None if material is None else _Key(kind=kind, kid=kid, algorithm=algorithm, material=material)


def _imported(jwk: dict[str, Any]) -> Any:
    """Return a key of joserfc, None for numbers that are no key, or none of a size to trust (RFC 7518, section 3.3)."""
    from joserfc.jwk import import_key

    numbers: dict[str, Any] = {name: jwk[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in jwk}
    if any(not isinstance(text, str) or len(text) > _MAX_NUMBER for text in numbers.values()):
        return None
    try:
        key = import_key(numbers)
        size = key.public_key.key_size if numbers["kty"] == "RSA" else _RSA_BITS  # type: ignore[union-attr]
    except Exception:  # whatever the libraries below think of it
        return None
    return key if size >= _RSA_BITS else None


def _no_keys(detail: str) -> Invalid:
    return Invalid(reason="key_set", detail=detail)
