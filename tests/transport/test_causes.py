"""What an exception of the wire means: the alerts that name a certificate."""

from __future__ import annotations

import ssl

import httpx
import pytest

from tokenflight.errors import EndpointUnreachableError
from tokenflight.transport.causes import Asked, failure_of

ASKED = Asked("the token endpoint https://auth.test", "token_endpoint")


def broken(reason: str | None) -> httpx.ReadError:
    """Return what httpx raises where TLS ended in an alert."""
    alert = ssl.SSLError(1, "CNRY-openssl-says")
    alert.reason = reason  # type: ignore[assignment]
    error = httpx.ReadError("")
    error.__cause__ = alert
    return error


@pytest.mark.parametrize(
    ("alert", "told"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "asks for a client certificate and got none that it takes"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "refused the client certificate as bad"),
        ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "refused the client certificate as unsupported"),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "refused the client certificate as revoked"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "refused the client certificate as expired or not yet valid"),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "refused the client certificate"),
        ("TLSV1_ALERT_UNKNOWN_CA", "refused the client certificate as one of an authority that it does not know"),
    ],
)
def test_an_alert_about_a_certificate_says_nothing_of_the_endpoint_and_all_of_the_certificate(alert, told) -> None:
    failure = failure_of(broken(alert), ASKED)
    assert (failure.error, failure.reason) == (EndpointUnreachableError, "certificate")
    assert (failure.transient, failure.counts) == (True, False)
    assert failure.detail == f"the token endpoint https://auth.test {told}"
    assert failure.hint == "check the client certificate: its dates, its authority and what the server knows of it"


@pytest.mark.parametrize("alert", ["SSLV3_ALERT_HANDSHAKE_FAILURE", "UNEXPECTED_EOF_WHILE_READING", "_ALERT_", None])
def test_any_other_trouble_of_tls_counts_against_the_endpoint(alert) -> None:
    failure = failure_of(broken(alert), ASKED)
    assert (failure.reason, failure.counts) == ("tls", True)
    assert failure.detail == "the token endpoint https://auth.test did not complete the TLS handshake"
