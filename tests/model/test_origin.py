"""Origins: one text for one place, and no URL that two readers read in two ways."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflight.errors import ConfigurationError
from tokenflight.model.origin import ANY, is_loopback, is_private_to_the_wire, origin_of, origins


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.example.com/orders?x=1#y", "https://api.example.com"),
        ("HTTPS://API.Example.COM", "https://api.example.com"),
        ("https://api.example.com:443/", "https://api.example.com"),
        ("http://localhost:80", "http://localhost"),
        ("https://api.example.com:8443", "https://api.example.com:8443"),
        ("http://api.example.com:443", "http://api.example.com:443"),
        ("https://api.example.com:", "https://api.example.com"),
        ("https://api.example.com./", "https://api.example.com"),
        ("https://my_service:8000/x", "https://my_service:8000"),
        ("https://xn--mnchen-3ya.de", "https://xn--mnchen-3ya.de"),
        ("https://b\u00fccher.example:8443/x", "https://xn--bcher-kva.example:8443"),
        ("https://B\u00dcCHER.example", "https://xn--bcher-kva.example"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
        ("https://[0:0:0:0:0:0:0:1]/", "https://[::1]"),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
        ("https://api.example.com?@evil.example", "https://api.example.com"),
        ("https://api.example.com#@evil.example", "https://api.example.com"),
        ("https://api.example.com/@evil.example", "https://api.example.com"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin
    assert origin_of(origin) == origin


HOSTILE: list[Any] = [
    "", "api.example.com", "//api.example.com", "/path", "https://", "https:///path", "https:api.example.com",
    "ftp://api.example.com", "file:///etc/passwd", "javascript:alert(1)", "wss://api.example.com",
    "https://user@api.example.com", "https://user:canary@api.example.com", "https://@api.example.com",
    "https://:@api.example.com", "https://api.example.com\\@evil.example", "https://evil.example\\.api.example.com",
    "https://api.example.com:99999", "https://api.example.com:-1", "https://api.example.com:8o", "https://a:1:2",
    "https://api.example.com:\u0664\u0664", "https://[::1", "https://::1", "https://[evil]", "https://[fe80::1%25eth0]",
    "https://[::1]evil", "https://.", "https://..", "https://a..b", "https://.a", "https://a%2eb", "https://a b",
    "https://a\tb", "https://a\nb", "\nhttps://a", "https://a\x00b", "https://a/\r\nX: y", "https://a\x7f",
    "https://stra\u00dfe.de", "https://" + "\u00fc" * 70 + ".de", "https://user@b\u00fccher.example",
    "https://ex\u2100mple.com", "https://\uff41pi.example.com", "https://a,b", "https://a;b",
    "https://a*b", "https://*.example.com", "https://a\u3002b", "https://\u200bapi.example.com",
    None, 7, b"https://api.example.com", httpx.URL("https://api.example.com"), ["https://a"],
]  # fmt: skip


@pytest.mark.parametrize("url", HOSTILE)
def test_a_url_that_could_mislead_is_refused_and_not_shown(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r": \w+") as caught:
        origin_of(url)

    assert "canary" not in str(caught.value)


@given(st.text(alphabet=st.sampled_from("htps:/@.\\?#[]%0aé\t 1-_"), max_size=30))
def test_only_the_librarys_own_error_comes_out(text: str) -> None:
    try:
        origin = origin_of("https://" + text)
    except ConfigurationError:
        return
    assert origin_of(origin) == origin
    assert httpx.URL(origin).raw_host.decode() in origin


def test_origins_are_any_or_a_set() -> None:
    assert origins(ANY) is ANY
    assert origins("https://a.example/x") == frozenset({"https://a.example"})
    assert origins(["https://a.example/x", "https://a.example/y", "https://b.example"]) == frozenset(
        {"https://a.example", "https://b.example"}
    )
    assert origins(()) == frozenset()
    assert repr(ANY) == "ANY"


@pytest.mark.parametrize("wrong", [None, 7, b"https://a", ["https://a", None], ["*"], "*", object()])
def test_what_names_no_origins_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        origins(wrong)


@pytest.mark.parametrize(
    "origin",
    ["http://localhost", "http://app.localhost:80", "http://127.0.0.1", "http://127.8.8.8:1", "http://[::1]:9"],
)
def test_this_machine_is_loopback(origin: str) -> None:
    assert is_loopback(origin)
    assert is_private_to_the_wire(origin)


@pytest.mark.parametrize(
    "origin",
    ["http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://10.0.0.1", "http://2130706433", "http://notlocalhost",
     "http://[2001:db8::1]", "http://0.0.0.0", ""],
)  # fmt: skip
def test_other_machines_are_not(origin: str) -> None:
    assert not is_loopback(origin)
    assert not is_private_to_the_wire(origin)


def test_https_is_private_to_the_wire() -> None:
    assert is_private_to_the_wire("https://api.example.com")
