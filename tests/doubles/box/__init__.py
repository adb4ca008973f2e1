"""A double of Box."""

from tests.doubles.box import refusals
from tests.doubles.box.authorizing import Consent
from tests.doubles.box.double import AUTHORIZE, REVOKE, TOKEN, BoxDouble
from tests.doubles.box.refreshing import Rotation
from tests.doubles.box.state import App, Item, User

__all__ = ["AUTHORIZE", "REVOKE", "TOKEN", "App", "BoxDouble", "Consent", "Item", "Rotation", "User", "refusals"]
