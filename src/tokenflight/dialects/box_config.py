"""An app's config as Box's developer console hands it out, and what is signed with the key in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import evolve, field, frozen

from tokenflight.dialects.box_advice import CONFIGURATION
from tokenflight.errors import ConfigurationError
from tokenflight.model.key import Subject
from tokenflight.model.secret import Secret, SecretSource, secret_source
from tokenflight.model.subject_token import ID_TOKEN, SubjectToken
from tokenflight.protocol.assertions import Assertion
from tokenflight.protocol.client_authentication import Source
from tokenflight.protocol.jwt_bearer import JWTBearer
from tokenflight.protocol.signing import KeptKey, KeySource, Signer, as_key

TOKEN_ENDPOINT: Final = "https://api.box.com/oauth2/token"  # a URL
"""Where tokens are asked for, and the `aud` of every assertion, wherever it is sent."""

ENTERPRISE: Final = "enterprise"
USER: Final = "user"
_EXTERNAL: Final = "external"
_SUBJECT_TYPE: Final = "box_sub_type"
_ALGORITHMS: Final = ("RS256", "RS384", "RS512")
_LIFETIME: Final = 30.0
"""Box takes an `exp` from now to 60 s ahead: in the middle there is as much room for a clock that is behind."""

_CREDENTIALS: Final = f"copy it from {CONFIGURATION} > OAuth 2.0 Credentials"
_KEY_PAIR: Final = (
    f"have a key pair generated at {CONFIGURATION} > Add and Manage Public Keys, and pass the file that it downloads"
)
_DOWNLOAD: Final = f"pass the file that {CONFIGURATION} > App Settings > Download as JSON gives"
_CLIENT_ID: Final = "boxAppSettings.clientID"
_CLIENT_SECRET: Final = "boxAppSettings.clientSecret"
_KEY: Final = "boxAppSettings.appAuth.privateKey"
_KEY_ID: Final = "boxAppSettings.appAuth.publicKeyID"
_PASSPHRASE: Final = "boxAppSettings.appAuth.passphrase"


@frozen(kw_only=True, repr=False)
class Config:
    """What an app with JWT authentication needs to know of itself; made by `read_config`.

    Attributes:
        client_id, client_secret: how it is known to Box.
        key, key_id, passphrase, algorithm: what it signs with; see `Assertion`.
        enterprise: whose service account it is, as a subject; None where the config does not say.
        user: a user whom the config names, as a subject; mostly None.
    """

    client_id: str
    client_secret: Secret
    key: KeptKey
    key_id: str | None = None
    passphrase: Source | None = None
    algorithm: str | None = None
    enterprise: Subject | None = None
    user: Subject | None = None

    def __repr__(self) -> str:
        return f"Config({self.client_id!r}, ***)"

    @property
    def grant(self) -> JWTBearer:
        """Return the grant that signs for a subject."""
        return JWTBearer(self.assertion(), inside={"subject_type": _SUBJECT_TYPE})

    def assertion(self, subject: str | None = None, **claims: str) -> Assertion:
        """Return what is signed as Box wants it: short-lived, for Box alone, and without a date that it may lie past.

        Box grants no second to an `iat` or `nbf` of a clock that is ahead of its own, and asks for neither.
        """
        return Assertion(
            self.key,
            passphrase=self.passphrase,
            algorithm=self.algorithm,
            key_id=self.key_id,
            subject=subject,
            claims=claims,
            **_RULES,
        )


_RULES: Final[Mapping[str, Any]] = {"audience": TOKEN_ENDPOINT, "lifetime": _LIFETIME, "backdate": None}

ConfigSource: TypeAlias = Config | Path | str | Secret | Mapping[str, Any]
"""An app's config: read before, a file, its text, or the text as JSON says it."""


def read_config(
    source: ConfigSource,
    *,
    key: KeySource | None = None,
    passphrase: SecretSource | None = None,
    algorithm: str | None = None,
) -> Config:
    """Read the config that Box's developer console hands out as JSON: a Path, its text, or a mapping.

    *passphrase* stands above the one in the config, and *key*, which may be a `Signer`, above its private key: both may
    be kept elsewhere, and are read on each attempt. *algorithm* is RS256, RS384 or RS512. Fields that are not known
    are left alone. Raises ConfigurationError, which shows no value, for a field that is missing or of the wrong kind.
    """
    phrase = None if passphrase is None else secret_source(passphrase)
    if isinstance(source, Config):
        config = _changed(source, None if key is None else as_key(key), phrase)
    else:
        config = _config(_Fields(_object(source)), key, phrase)
    config = config if algorithm is None else evolve(config, algorithm=algorithm)
    signs = config.key.algorithm if isinstance(config.key, Signer) else config.algorithm
    if signs not in (None, *_ALGORITHMS):
        raise ConfigurationError(f"Box takes what is signed with {', '.join(_ALGORITHMS)}: pass one of these")
    config.assertion()  # which refuses what does not go together
    return config


def assertion(subject: Subject, config: ConfigSource, *, actor: SubjectToken | None = None) -> SubjectToken:
    """Return a subject token that is an assertion about *subject*, signed anew for each request that exchanges it."""
    if not isinstance(subject, Subject) or subject.type not in (ENTERPRISE, USER):
        raise ConfigurationError("an assertion is about one subject: pass box.enterprise(id) or box.user(id)")
    signed = read_config(config).assertion(subject.id, **{_SUBJECT_TYPE: subject.type})
    return SubjectToken(signed, actor=actor)


def annotator(
    external_id: str, name: str, config: ConfigSource | None = None, *, unsigned: bool = False
) -> SubjectToken:
    """Return the actor of an exchange whose token lets somebody without a Box account annotate a file.

    *external_id* is how this program knows them, *name* what Box shows beside what they write. It is signed with the
    key of *config*; `unsigned=True` instead signs nothing, so that whoever has the subject token can be anybody.
    Raises ConfigurationError where neither or both are given.
    """
    if unsigned == (config is not None):
        raise ConfigurationError("an annotator is signed for with the app's key: pass its config, or unsigned=True")
    for text in (external_id, name):
        if not isinstance(text, str) or not text:
            raise ConfigurationError("an annotator has an id and a name: pass two texts")
    claims = {"name": name, _SUBJECT_TYPE: _EXTERNAL}
    if config is None:
        made = Assertion(subject=external_id, claims=claims, unsigned=True, **_RULES)
    else:
        made = read_config(config).assertion(external_id, **claims)
    return SubjectToken(made, type=ID_TOKEN)


def _object(source: object) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    if isinstance(source, Path):
        text, what = _file(source), f"the file {source.name!r}"
    elif isinstance(source, str | Secret):
        text = source.reveal() if isinstance(source, Secret) else source
        what = "the text of Box's config"
    else:
        raise ConfigurationError(
            f"Box's config is a Path, its text or a mapping, not {type(source).__name__}: pass one of these"
        )
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if isinstance(read, dict):
        return read
    name = "for a file's name pass pathlib.Path(...), else " if not isinstance(source, Path) else ""
    raise ConfigurationError(f"{what} is no JSON object: {name}{_DOWNLOAD}")


def _file(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        why = type(error).__name__
    raise ConfigurationError(f"the file {path.name!r} of Box's config cannot be read ({why}): check its path")


@frozen
class _Fields:
    """The members of a config, told by their paths; no value shows in an error."""

    members: Mapping[str, Any] = field(repr=False)

    def find(self, path: str) -> Any:
        """Return what lies at *path*; None for nothing. Raises ConfigurationError where it leads through no object."""
        found: Any = self.members
        names = path.split(".")
        for number, name in enumerate(names):
            if found is None:
                return None
            if not isinstance(found, Mapping):
                raise _odd(".".join(names[:number]), "an object", found, _DOWNLOAD)
            found = found.get(name)
        return found

    def text(self, path: str, advice: str, *, optional: bool = False) -> str | None:
        """Return the text at *path*; None for none or an empty one where it is *optional*."""
        found = self.find(path)
        if found is not None and not isinstance(found, str):
            raise _odd(path, "text", found, advice)
        if found or optional:
            return found or None
        raise ConfigurationError(f"Box's config has {'no' if found is None else 'an empty'} {path}: {advice}")

    def id(self, path: str, kind: str) -> Subject | None:
        """Return the subject at *path*, whose id may be a number; None for none or an empty one."""
        found = self.find(path)
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        if found is not None and not isinstance(found, str):
            raise _odd(path, "text", found, _DOWNLOAD)
        return Subject(found, kind) if found else None


def _config(fields: _Fields, key: KeySource | None, passphrase: Source | None) -> Config:
    """Make a Config of what is there; *key* and *passphrase* are those that stand above it."""
    elsewhere = key is not None
    phrase = None if elsewhere else fields.text(_PASSPHRASE, _KEY_PAIR, optional=True)
    passphrase = passphrase or (None if phrase is None else Secret(phrase))
    return Config(
        client_id=_required(fields, _CLIENT_ID),
        client_secret=Secret(_required(fields, _CLIENT_SECRET)),
        key=_private_key(fields, locked=passphrase is None) if key is None else as_key(key),
        key_id=fields.text(_KEY_ID, _KEY_PAIR, optional=elsewhere),
        passphrase=passphrase,
        enterprise=fields.id("enterpriseID", ENTERPRISE),
        user=fields.id("userID", USER),
    )


def _changed(config: Config, key: KeptKey | None, passphrase: Source | None) -> Config:
    if key is not None:
        return evolve(config, key=key, passphrase=passphrase)
    return config if passphrase is None else evolve(config, passphrase=passphrase)


def _required(fields: _Fields, path: str) -> str:
    return fields.text(path, _CREDENTIALS) or ""


def _private_key(fields: _Fields, *, locked: bool) -> KeptKey:
    """Return the key in the config; *locked* tells that no passphrase is known."""
    text = fields.text(_KEY, f"{_KEY_PAIR}, or pass key=") or ""
    if locked and "ENCRYPTED" in text:
        raise ConfigurationError(
            f"Box's config has no {_PASSPHRASE}, and its key is encrypted: pass passphrase=, or {_KEY_PAIR}"
        )
    try:
        return as_key(text)
    except ConfigurationError as problem:
        why = str(problem)
    raise ConfigurationError(f"{_KEY} of Box's config: {why}")


def _odd(path: str, wanted: str, found: object, advice: str) -> ConfigurationError:
    return ConfigurationError(f"{path} of Box's config is {wanted} and not {type(found).__name__}: {advice}")
