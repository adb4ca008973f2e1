from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.dialects.places import PASSPHRASE, box_town, config, encrypted
from tests.doubles.box.scene import ENTERPRISE
from tests.doubles.tokens import key
from tests.kit.canary import sightings

from tokenflight import ConfigurationError, Secret, SubjectToken
from tokenflight.dialects import box
from tokenflight.model.key import Subject
from tokenflight.model.subject_token import ID_TOKEN
from tokenflight.protocol.assertions import Assertion
from tokenflight.protocol.client_authentication import ClientSecretPost
from tokenflight.protocol.jwt_bearer import JWTBearer

GONE = object()


class Elsewhere:
    """A signer that keeps its key to itself."""

    def __init__(self, algorithm: str = "RS256", key_id: str | None = "box-key") -> None:
        self.algorithm = algorithm
        self.key_id = key_id

    async def sign(self, data: bytes) -> bytes:
        return b"signed"


def changed(path: str, value: object) -> dict[str, Any]:
    """Return a good config, with what lies at a path replaced or taken out."""
    told: dict[str, Any] = json.loads(json.dumps(config(box_town())))
    *way, last = path.split(".")
    where = told
    for name in way:
        where = where[name]
    if value is GONE:
        del where[last]
    else:
        where[last] = value
    return told


@pytest.mark.parametrize("form", ["mapping", "text", "secret", "file", "file with a mark"])
def test_a_config_is_read_in_each_form(form: str, tmp_path: Path) -> None:
    told = config(box_town())
    text, path = json.dumps(told), tmp_path / "config.json"
    path.write_text(("\ufeff" if form == "file with a mark" else "") + text, "utf-8")
    source: Any = {"mapping": told, "text": text, "secret": Secret(text)}.get(form, path)

    app = box.read_config(source)

    assert app.client_id == "the-jwt"
    assert app.client_secret.reveal() == told["boxAppSettings"]["clientSecret"]
    assert (app.key_id, app.passphrase) == ("box-key", Secret(PASSPHRASE))
    assert app.enterprise == box.enterprise(ENTERPRISE)
    assert app.user is None
    assert repr(app) == "Config('the-jwt', ***)"
    assert box.read_config(app) is app


def test_a_client_of_a_config_signs_with_its_key_and_has_its_secret() -> None:
    told = config(box_town())
    app = box.read_config(told)

    client = box.jwt_client(told, scope="root_readonly")

    assert client.client_id == "the-jwt"
    assert client.authentication == ClientSecretPost(app.client_secret)
    assert client.grant == app.grant
    assert isinstance(client.grant, JWTBearer)
    assert (client.token_endpoint, client.endpoints) == (box.TOKEN_ENDPOINT, box.ENDPOINTS)
    assert client.scope == {"root_readonly"}
    assert client == box.jwt_client(app, scope="root_readonly")
    assert hash(client) == hash(box.jwt_client(app, scope="root_readonly"))


def test_who_is_named_is_a_subject_whether_as_text_or_number_and_what_is_not_known_is_left_alone() -> None:
    told = {**config(box_town()), "enterpriseID": 77, "userID": "99", "webhooks": {"primaryKey": ""}, "new": [1]}

    app = box.read_config(told)

    assert (app.enterprise, app.user) == (box.enterprise("77"), box.user("99"))
    assert box.read_config(changed("enterpriseID", GONE)).enterprise is None
    assert box.read_config(changed("enterpriseID", "")).enterprise is None


SETTINGS, KEYS = "boxAppSettings", "boxAppSettings.appAuth"
DOWNLOAD, CREDENTIALS, PAIR = "Download as JSON", "OAuth 2.0 Credentials", "Add and Manage Public Keys"
LACKS: list[tuple[str, object, str, str]] = [
    (SETTINGS, GONE, "no boxAppSettings.clientID", CREDENTIALS),
    (SETTINGS, "x", "boxAppSettings of Box's config is an object and not str", DOWNLOAD),
    (f"{SETTINGS}.clientID", GONE, "no boxAppSettings.clientID", CREDENTIALS),
    (f"{SETTINGS}.clientID", "", "an empty boxAppSettings.clientID", CREDENTIALS),
    (f"{SETTINGS}.clientID", 7, "boxAppSettings.clientID of Box's config is text and not int", CREDENTIALS),
    (f"{SETTINGS}.clientSecret", GONE, "no boxAppSettings.clientSecret", CREDENTIALS),
    (f"{SETTINGS}.clientSecret", None, "no boxAppSettings.clientSecret", CREDENTIALS),
    (KEYS, GONE, "no boxAppSettings.appAuth.privateKey", PAIR),
    (KEYS, [], "boxAppSettings.appAuth of Box's config is an object and not list", DOWNLOAD),
    (f"{KEYS}.publicKeyID", "", "an empty boxAppSettings.appAuth.publicKeyID", PAIR),
    (f"{KEYS}.privateKey", "", "an empty boxAppSettings.appAuth.privateKey", PAIR),
    (f"{KEYS}.privateKey", "-----BEGIN", "boxAppSettings.appAuth.privateKey of Box's config: a private key is", ""),
    (f"{KEYS}.passphrase", "", "no boxAppSettings.appAuth.passphrase, and its key is encrypted", PAIR),
    (f"{KEYS}.passphrase", 7, "boxAppSettings.appAuth.passphrase of Box's config is text", PAIR),
    ("enterpriseID", True, "enterpriseID of Box's config is text and not bool", DOWNLOAD),
    ("enterpriseID", 1.5, "enterpriseID of Box's config is text and not float", DOWNLOAD),
]


@pytest.mark.parametrize(("path", "value", "lack", "advice"), LACKS)
def test_what_a_config_lacks_is_told_by_its_path_and_where_to_get_it(
    path: str, value: object, lack: str, advice: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        box.jwt_client(changed(path, value))

    assert lack in str(caught.value)
    assert advice in str(caught.value)
    assert not sightings(str(caught.value))


@pytest.mark.parametrize("text", ["config.json", "[]", "", "{", "[" * 100_000])
def test_a_text_that_is_no_object_is_refused_with_the_way_to_name_a_file(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no JSON object: for a file's name pass pathlib\.Path"):
        box.read_config(text)


def test_a_file_that_cannot_be_read_is_named_and_no_more(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'gone\.json'.*\(FileNotFoundError\): check its path"):
        box.read_config(tmp_path / "gone.json")
    (tmp_path / "odd.json").write_bytes(b"\xff\xff")
    with pytest.raises(ConfigurationError, match=r"'odd\.json'.*\(UnicodeDecodeError\)"):
        box.read_config(tmp_path / "odd.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ConfigurationError, match=r"the file 'list\.json' is no JSON object: pass"):
        box.read_config(tmp_path / "list.json")


@pytest.mark.parametrize("source", [None, 7, b"{}", ["a"]])
def test_what_is_no_config_is_refused(source: Any) -> None:
    with pytest.raises(ConfigurationError, match="is a Path, its text or a mapping"):
        box.read_config(source)


def test_a_passphrase_from_elsewhere_stands_above_the_configs() -> None:
    def phrase() -> str:
        return PASSPHRASE

    told = config(box_town())
    assert box.read_config(told, passphrase=phrase).passphrase is phrase
    assert box.read_config(box.read_config(told), passphrase=phrase).passphrase is phrase
    assert box.read_config(changed(f"{KEYS}.passphrase", ""), passphrase=phrase).passphrase is phrase
    assert box.jwt_client(told, passphrase=phrase).grant == box.read_config(told, passphrase=phrase).grant


def test_a_key_from_elsewhere_needs_none_in_the_config() -> None:
    signer = Elsewhere()
    app = box.read_config(changed(KEYS, GONE), key=signer)
    assert (app.key, app.key_id, app.passphrase) == (signer, None, None)
    again = box.read_config(box.read_config(config(box_town())), key=signer)
    assert (again.key, again.key_id, again.passphrase) == (signer, "box-key", None)
    assert box.read_config(config(box_town()), key=signer).passphrase is None


def test_a_key_in_the_clear_needs_no_passphrase() -> None:
    told = changed(f"{KEYS}.passphrase", "")
    mine: Any = key("box-key")
    told["boxAppSettings"]["appAuth"]["privateKey"] = mine.as_pem(private=True).decode()
    assert box.read_config(told).passphrase is None


@pytest.mark.parametrize("algorithm", ["PS256", "ES256", "EdDSA", "HS256", "none"])
def test_other_algorithms_than_boxs_are_refused(algorithm: str) -> None:
    with pytest.raises(ConfigurationError, match="RS256, RS384, RS512: pass one of these"):
        box.read_config(config(box_town()), algorithm=algorithm)
    if algorithm in ("PS256", "ES256", "EdDSA"):
        with pytest.raises(ConfigurationError, match="RS256, RS384, RS512: pass one of these"):
            box.read_config(config(box_town()), key=Elsewhere(algorithm))


def test_a_subject_known_by_an_assertion_is_a_value() -> None:
    app, actor = box.read_config(config(box_town())), box.annotator("ext-1", "Jane", unsigned=True)

    subject = box.assertion(box.user("987"), app, actor=actor)

    assert subject == box.assertion(box.user("987"), app, actor=actor)
    assert subject != box.assertion(box.user("988"), app, actor=actor)
    assert subject != box.assertion(box.enterprise("987"), app, actor=actor)
    assert (subject.type, subject.actor) == (SubjectToken("x").type, actor)
    for bad in (Subject("987"), "987", None):
        with pytest.raises(ConfigurationError, match=r"box\.enterprise\(id\) or box\.user\(id\)"):
            box.assertion(bad, app)  # type: ignore[arg-type]


def test_an_annotator_is_signed_for_unless_somebody_says_otherwise() -> None:
    app = box.read_config(config(box_town()))

    signed, unsigned = box.annotator("ext-1", "Jane", app), box.annotator("ext-1", "Jane", unsigned=True)

    assert (signed.type, unsigned.type) == (ID_TOKEN, ID_TOKEN)
    for each, is_unsigned in ((signed, False), (unsigned, True)):
        assert isinstance(each.value, Assertion)
        assert each.value.unsigned is is_unsigned
        assert (each.value.subject, each.value.backdate) == ("ext-1", None)
        assert dict(each.value.claims) == {"name": "Jane", "box_sub_type": "external"}
    for config_, says in ((None, False), (app, True)):
        with pytest.raises(ConfigurationError, match="pass its config, or unsigned=True"):
            box.annotator("ext-1", "Jane", config_, unsigned=says)
    for who, name in (("", "Jane"), ("ext-1", ""), (None, "Jane"), ("ext-1", 7)):
        with pytest.raises(ConfigurationError, match="pass two texts"):
            box.annotator(who, name, app)  # type: ignore[arg-type]


def test_the_key_of_a_config_shows_nowhere() -> None:
    app = box.read_config(config(box_town()))
    shown = repr([app, app.grant, app.assertion("1"), box.assertion(box.user("1"), app), box.jwt_client(app)])
    assert not sightings(shown)
    assert encrypted("box-key")[40:80] not in shown
