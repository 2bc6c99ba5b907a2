"""What configure() may be told: keys, vocabularies, exports; a mistake says what to do instead."""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

import bizspan
from bizspan import Attribute, SetupError, Vocabulary, _active, _guard
from tests.providers import HASH_KEY, Application, amounts, joined, reader, take


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """None of this machine's own settings, and nothing that leaves it."""
    for name in list(os.environ):
        if name.startswith(("OTEL_", "BIZSPAN_")):
            monkeypatch.delenv(name)
    for name in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{name}_EXPORTER", "none")
    yield
    assert _active.current is None


def checkout(**facts: Any) -> None:
    with bizspan.operation("checkout", attributes=facts) as op:
        op.revenue("42.00", "EUR")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"export": "carrier-pigeon"}, "use 'otlp', 'console', 'none'"),
        ({"export": []}, "use 'otlp', 'console', 'none'"),
        ({"export": 7}, "use 'otlp', 'console', 'none'"),
        ({"hash_key": "short"}, "at least 16 bytes"),
        ({"hash_key": 7}, "at least 16 bytes"),
        ({"vocabulary": ["shop"]}, "takes Vocabulary objects"),
        ({"vocabulary": 7}, "takes Vocabulary objects"),
        ({"revenue_basis": "gross"}, "use 'excl_tax' or 'incl_tax'"),
        ({"capacity": 0}, "above 0"),
        ({"capacity": True}, "above 0"),
        ({"capacity": 1.5}, "above 0"),
        ({"baggage_hosts": "api.shop.internal"}, "must be a list"),
        ({"baggage_hosts": ["https://jane:short@api.shop.internal"]}, "entry 1 is no host"),
    ],
)
def test_a_wrong_argument_says_what_to_do(arguments: dict[str, Any], says: str) -> None:
    """
    The error names the argument; nothing is set up.
    """
    with pytest.raises(SetupError, match=says) as refused:
        bizspan.configure(**arguments)

    assert "short" not in str(refused.value)
    assert _active.current is None


def test_a_hash_key_that_is_too_short_is_not_echoed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Neither from the argument nor from the variable.
    """
    monkeypatch.setenv("BIZSPAN_HASH_KEY", "s3cr3t")
    with pytest.raises(SetupError) as refused:
        bizspan.configure()

    assert "s3cr3t" not in str(refused.value)
    assert "16 bytes" in str(refused.value)


def hashed(**arguments: Any) -> str | None:
    """What a customer becomes under these arguments."""
    application = Application(reader())
    try:
        with bizspan.configure(export="none", **application.providers, **arguments):
            bizspan.event("signup", customer="c-17")
            take()
        (event,) = application.logs()
        pseudonym = event.attributes.get("enduser.pseudo.id")
        return None if pseudonym is None else str(pseudonym)
    finally:
        application.shutdown()


def test_the_same_key_gives_the_same_pseudonym_and_names_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    From the argument or the variable, as text or bytes; another key gives another one.
    """
    expected = "k1:" + hmac.new(HASH_KEY, b"c-17", "sha256").hexdigest()
    assert expected == hashed(hash_key=HASH_KEY) == hashed(hash_key=HASH_KEY.decode())
    assert expected.replace("k1:", "2026:") == hashed(hash_key=HASH_KEY, hash_key_id="2026")
    monkeypatch.setenv("BIZSPAN_HASH_KEY", HASH_KEY.decode())
    assert expected == hashed()
    assert expected != hashed(hash_key=b"another key 0123456789")


def test_production_without_a_key_drops_personal_facts_and_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whether production is said in code or in the environment; with a key they are kept.
    """
    assert hashed(environment="production") is None
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=production")
    assert hashed() is None
    assert str(hashed(hash_key=HASH_KEY)).startswith("k1:")
    with joined(reader(), export="none"):  # with the tests' key
        bizspan.event("signup", customer="c-17")
        assert {} == bizspan.diagnostics().values_refused
    with bizspan.configure(export="none"):
        bizspan.event("signup", customer="c-17")
        assert {"no_key": 1} == bizspan.diagnostics().values_refused


def test_development_without_a_key_generates_one_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """
    Pseudonyms then differ from process to process, and one sentence says how to change that.
    """
    _guard.forget_said()
    with caplog.at_level(logging.WARNING, "bizspan"):
        first, second = hashed(), hashed()

    assert first is not None
    assert second is not None
    assert first != second
    assert 1 == len([r for r in caplog.records if "hash_key=" in r.getMessage()])


def test_a_vocabulary_and_the_revenue_basis_apply() -> None:
    """
    Declared facts get their prefix and go onto metrics; the schema URL names the vocabulary and its version.
    """
    shop = Vocabulary("shop", [Attribute(name="stage", dimension=True)], version="3")
    memory = reader()
    with joined(memory, export="none", vocabulary=shop, revenue_basis="incl_tax") as application:
        checkout(stage="basket")
        take()
        data = memory.get_metrics_data()

    (event,) = application.logs()
    assert ("basket", "incl_tax") == (event.attributes["shop.stage"], event.attributes["business.revenue.basis"])
    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    assert "urn:bizspan:vocabulary:1+shop:3" == scope.schema_url
    assert [42.0] == amounts([data], "business.revenue")


def test_console_and_otlp_together_print_and_send(capsys: pytest.CaptureFixture[str]) -> None:
    """
    export takes several: a receipt per record, and the providers get it too.
    """
    with joined(reader(), export=["console", "otlp"]) as application:
        checkout(segment="gold")
        take()

    assert "checkout ✓ 42.00 EUR" in capsys.readouterr().err
    assert 1 == len(application.logs())
