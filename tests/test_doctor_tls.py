"""`bizspan doctor`: certificates, and TLS at the wrong port."""

from __future__ import annotations

from pathlib import Path

import pytest

from _collector import Receiver
from tests.certificates import certificate, needs_openssl
from tests.doctor_server import GRPC, Answer, assert_all_red, doctor, endpoints, serving

pytestmark = pytest.mark.server


@needs_openssl
def test_a_self_signed_certificate_is_named_and_can_be_trusted(tmp_path: Path) -> None:
    """
    Self-signed is red with the variable that names the authority; with that variable it is green.
    """
    pem, context = certificate(tmp_path, "127.0.0.1")
    with serving(Answer(), context) as endpoint:
        report = doctor(endpoint)
        trusted = doctor(endpoint, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pem))

    assert_all_red(report, "self-signed", "export OTEL_EXPORTER_OTLP_CERTIFICATE=")
    assert ["green"] * 3 == [found.level for found in endpoints(trusted)]


@needs_openssl
def test_a_bundle_of_requests_that_hides_the_certificate_is_named(tmp_path: Path) -> None:
    """
    REQUESTS_CA_BUNDLE wins over OpenTelemetry's variable, so the right certificate does not help; the doctor says so.
    """
    (tmp_path / "other").mkdir()
    other, _ = certificate(tmp_path / "other", "other.example")
    pem, context = certificate(tmp_path, "127.0.0.1")
    with serving(Answer(), context) as endpoint:
        report = doctor(endpoint, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pem), REQUESTS_CA_BUNDLE=str(other))

    assert ["yellow"] == [found.level for found in report.findings if found.check == "tls-files"]
    if "green" in {found.level for found in endpoints(report)}:
        pytest.skip("this version of the exporter prefers OpenTelemetry's own variable")
    assert_all_red(report, "self-signed", "unset that")


@needs_openssl
@pytest.mark.parametrize(
    ("name", "expired", "said"),
    [("127.0.0.1", True, "has expired"), ("other.example", False, "is for another name")],
    ids=["expired", "another name"],
)
def test_a_certificate_that_is_wrong_is_named(name: str, expired: bool, said: str, tmp_path: Path) -> None:
    """
    Expired, and for another name: each is told, although the authority is trusted.
    """
    pem, context = certificate(tmp_path, name, expired=expired)
    with serving(Answer(), context) as endpoint:
        report = doctor(endpoint, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pem))

    assert_all_red(report, said, "certificate" if expired else "export OTEL_EXPORTER_OTLP_ENDPOINT=https://")


@needs_openssl
def test_a_self_signed_certificate_is_named_over_grpc(tmp_path: Path) -> None:
    """
    gRPC's own word for it is UNAVAILABLE; the doctor says what is wrong.
    """
    _, context = certificate(tmp_path, "127.0.0.1")
    with serving(Answer(), context) as endpoint:
        report = doctor(endpoint, **GRPC)

    assert_all_red(report, "self-signed", "export OTEL_EXPORTER_OTLP_CERTIFICATE=")


@needs_openssl
def test_plain_text_at_a_port_for_tls_is_named(tmp_path: Path) -> None:
    """
    http:// against a TLS port says https://.
    """
    _, context = certificate(tmp_path, "127.0.0.1")
    with serving(Answer(), context) as endpoint:
        report = doctor(endpoint.replace("https://", "http://"))

    for found in endpoints(report):
        assert "red" == found.level
        assert "TLS" in found.text or "hangs up" in found.text


def test_tls_at_a_plain_port_is_named() -> None:
    """
    https:// against a port without TLS says http://.
    """
    with Receiver() as receiver:
        report = doctor(receiver.http_endpoint.replace("http://", "https://"))

        assert_all_red(report, "does not speak TLS", f"export OTEL_EXPORTER_OTLP_ENDPOINT={receiver.http_endpoint}")


def test_a_certificate_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """
    The variable of the missing file is told.
    """
    report = doctor("https://127.0.0.1:9", OTEL_EXPORTER_OTLP_CERTIFICATE=str(tmp_path / "none.pem"))

    (found,) = [each for each in report.findings if each.check == "tls-files"]
    assert ("red", True) == (found.level, "OTEL_EXPORTER_OTLP_CERTIFICATE" in found.text)
