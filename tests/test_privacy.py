"""Personal facts: hashed with a key, or dropped, before anything is stored."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import bizspan
from bizspan import Attribute, SetupError, Vocabulary, _guard
from bizspan._facts import Hasher
from bizspan.sdk import _memory
from bizspan.spool._inspect import events_in
from bizspan.testing import Capture

KEY = b"0123456789abcdef0123456789abcdef"
CUSTOMER = "enduser.pseudo.id"


class Far:
    """What reached the far ends of an application's own providers."""

    def __init__(self) -> None:
        self.spans_seen = InMemorySpanExporter()
        in_memory: Any = _memory
        self.logs_seen = in_memory.InMemoryLogRecordExporter()
        self.tracer = TracerProvider()
        self.tracer.add_span_processor(SimpleSpanProcessor(self.spans_seen))
        self.logger = LoggerProvider()
        self.logger.add_log_record_processor(SimpleLogRecordProcessor(self.logs_seen))

    def configure(self, **options: Any) -> bizspan.Configuration:
        return bizspan.configure(export="none", tracer_provider=self.tracer, logger_provider=self.logger, **options)

    def customers(self) -> list[Any]:
        """The customer on each span and event."""
        told = [span.attributes or {} for span in self.spans_seen.get_finished_spans()]
        told += [item.log_record.attributes for item in self.logs_seen.get_finished_logs()]
        return [attributes.get(CUSTOMER) for attributes in told]


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    for variable in ("BIZSPAN_HASH_KEY", "BIZSPAN_HASH_KEY_ID", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    _guard.forget_said()
    far = Far()
    yield far
    far.tracer.shutdown()
    far.logger.shutdown()


def checkout(far: Far, **options: Any) -> list[Any]:
    with far.configure(**options) as configured:
        with bizspan.operation("checkout", customer="c-17"):
            pass
        configured.force_flush()
        return far.customers()


def test_a_personal_fact_is_its_hmac_with_the_configured_key_and_key_id(far: Far) -> None:
    """
    HMAC-SHA-256, with the key's id in front, on span and event alike.
    """
    expected = f"2026a:{hmac.new(KEY, b'c-17', hashlib.sha256).hexdigest()}"

    assert [expected, expected] == checkout(far, hash_key=KEY, hash_key_id="2026a")


def test_the_key_may_come_from_the_environment(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `BIZSPAN_HASH_KEY` and `BIZSPAN_HASH_KEY_ID`; also in production.
    """
    monkeypatch.setenv("BIZSPAN_HASH_KEY", KEY.decode())
    monkeypatch.setenv("BIZSPAN_HASH_KEY_ID", "env")
    expected = f"env:{hmac.new(KEY, b'c-17', hashlib.sha256).hexdigest()}"

    assert [expected, expected] == checkout(far, environment="production")


def test_without_a_key_development_generates_one_and_says_so(far: Far, caplog: pytest.LogCaptureFixture) -> None:
    """
    Hashed all the same, with a key that nobody knows, and said once.
    """
    on_span, on_event = checkout(far)

    assert on_span == on_event
    assert on_span.startswith("dev:")
    assert f"dev:{hmac.new(b'', b'c-17', hashlib.sha256).hexdigest()}" != on_span
    assert ["bizspan: no hash_key is configured"] == [record.message[:34] for record in caplog.records]


@pytest.mark.parametrize("told_by", ["argument", "variable"])
def test_without_a_key_production_drops_the_value_and_counts_it(
    far: Far, monkeypatch: pytest.MonkeyPatch, told_by: str
) -> None:
    """
    Redaction fails closed: the event is kept, without its customer.
    """
    options: dict[str, Any] = {"environment": "production"} if told_by == "argument" else {}
    if told_by == "variable":
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "a=b,deployment.environment.name=production")

    with far.configure(**options) as configured:
        with bizspan.operation("checkout", customer="c-17"):
            pass
        configured.force_flush()

        assert [None, None] == far.customers()
        assert {"no_key": 1} == bizspan.diagnostics().values_refused


@pytest.mark.parametrize("key", ["short", b"fifteen bytes!!", 3])
def test_a_weak_key_is_a_set_up_error(far: Far, key: Any) -> None:
    """
    At least 16 bytes, and the text never shows the key.
    """
    with pytest.raises(SetupError, match="at least 16 bytes") as caught:
        far.configure(hash_key=key)

    assert not any(word in str(caught.value) for word in ("short", "fifteen"))


PEOPLE = Vocabulary("people", [Attribute(name="email", personal=True)])


@pytest.mark.bizspan(vocabulary=PEOPLE)
def test_every_personal_fact_is_hashed_on_every_path(capbiz: Capture, capfd: pytest.CaptureFixture[str]) -> None:
    """
    Through context, call, run, annotate, event, refund, feedback, a decorator, and the fact's own key.
    """
    secret = "ada@example.org"

    @bizspan.operation("decorated", email=lambda email: email)
    def decorated(email: str) -> None:
        pass

    with bizspan.context(email=secret), bizspan.operation("checkout", customer=secret) as op:
        op.annotate(email=secret)
        bizspan.annotate(customer=secret)
        bizspan.event("told", attributes={"people.email": secret, CUSTOMER: secret})
    bizspan.refund(1, "EUR", email=secret)
    bizspan.feedback("nps", 9, email=secret)
    decorated(secret)

    stored = repr([capbiz.operations(), capbiz.events(), [span.to_json() for span in capbiz.spans()]])
    assert secret not in stored
    assert secret not in "".join(capfd.readouterr())
    assert (2, 3) == (len(capbiz.operations(email=secret)), len(capbiz.events(email=secret)))
    assert all("people.email" not in point.attributes for point in capbiz.points("business.events"))


@pytest.mark.bizspan(vocabulary=PEOPLE)
@pytest.mark.parametrize("value", [3.5, True, b"ada", ["ada@example.org"], object()])
def test_a_personal_value_of_a_wrong_type_is_dropped(capbiz: Capture, value: Any) -> None:
    """
    What can't be hashed is not stored.
    """
    capbiz.allow("type", "bytes")

    bizspan.event("told", email=value)

    assert "people.email" not in capbiz.events("told")[0].attributes


def test_nothing_is_recorded_that_was_not_named(capbiz: Capture) -> None:
    """
    Neither arguments, nor the result, nor an exception's text: they may hold anything.
    """
    secret = "4111-1111-1111-1111"

    @bizspan.operation("checkout")
    def pay(card: str) -> str:
        local = card
        if local == secret:
            raise ValueError(f"declined: {local}")
        return local

    with pytest.raises(ValueError, match="declined"):
        pay(secret)
    pay("other-secret")

    stored = repr([capbiz.operations(), [span.to_json() for span in capbiz.spans()]])
    assert secret not in stored
    assert "other-secret" not in stored
    assert [[], []] == [list(span.events) for span in capbiz.spans("checkout")]


def test_a_refused_value_is_not_repeated_in_what_is_said(capbiz: Capture, caplog: pytest.LogCaptureFixture) -> None:
    """
    Warnings go to log files, which are stores too.
    """
    secret = "ada@example.org"
    capbiz.allow("iso_3166_1", "parse", "type", "invalid", "not_allowed", "extractor_failed", "invalid_name")

    def failing(email: str) -> str:
        raise ValueError(email)

    @bizspan.operation("decorated", plan=failing)
    def decorated(email: str) -> None:
        pass

    decorated(secret)
    bizspan.event("told", country=secret, traffic=secret, revenue=(secret, "EUR"))
    bizspan.event("told", revenue=(5, secret), time=secret)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    capbiz.allow("currency", "time")
    bizspan.feedback("nps", secret)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    said = "".join(record.getMessage() for record in caplog.records)
    assert "refused" in said
    assert secret not in said
    assert secret not in repr([event.attributes for event in capbiz.events()])


class HashError(Exception):
    """Of a hash."""


def test_a_hash_that_fails_drops_the_fact_and_nothing_else(
    far: Far, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, production_guard: None
) -> None:
    """
    Redaction fails closed, on a guard of its own: spans and events are kept with their other facts, and say what is
    missing; the value is nowhere, nor in what is said.
    """

    def broken(self: Hasher, text: str) -> str:
        raise HashError(text)

    monkeypatch.setattr(Hasher, "__call__", broken)
    before = bizspan.diagnostics().refused  # by other tests of this process, while nothing was configured
    with caplog.at_level("DEBUG"), far.configure(hash_key=KEY) as configured:
        with bizspan.context(customer="c-17"), bizspan.operation("checkout", order="o-1", customer="c-17") as op:
            op.annotate(customer="c-17", plan="pro")
            bizspan.event("told", customer="c-17", order="o-1")
        configured.force_flush()
        found = bizspan.diagnostics()

    told: list[Any] = [span.attributes or {} for span in far.spans_seen.get_finished_spans()]
    told += [item.log_record.attributes for item in far.logs_seen.get_finished_logs()]
    assert [None] * 3 == [attributes.get(CUSTOMER) for attributes in told]
    assert ["o-1"] * 3 == [attributes["business.order.id"] for attributes in told]
    assert ["pro"] * 2 == [attributes["business.plan"] for attributes in told if "business.plan" in attributes]
    assert all("customer:not_hashed" in attributes["bizspan.notes"] for attributes in told), told
    assert (before, found.values_refused) == (found.refused, {"not_hashed": found.swallowed["hashing a personal fact"]})
    assert "c-17" not in caplog.text + repr(told)


@pytest.mark.parametrize(("place", "value"), [("country", "DE"), ("region", "DE-BY"), ("continent", "EU")])
def test_a_personal_place_is_hashed_too(far: Far, place: Literal["country", "region", "continent"], value: str) -> None:
    """
    Its format is checked before.
    """
    home = Vocabulary("people", [Attribute(name="home", personal=True, format=place)])
    with far.configure(hash_key=KEY, vocabulary=home) as configured:
        bizspan.event("told", home=value.lower())
        bizspan.event("told", home="nowhere")
        configured.force_flush()

    expected = f"k1:{hmac.new(KEY, value.encode(), hashlib.sha256).hexdigest()}"
    assert [expected, None] == [
        item.log_record.attributes.get("people.home") for item in far.logs_seen.get_finished_logs()
    ]


def test_a_rotation_of_the_key_shows_in_a_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What was stored before it has the old key's id, what comes after the new one's.
    """
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for key_id, key in (("2026a", KEY), ("2026b", KEY[::-1])):
        monkeypatch.setenv("BIZSPAN_HASH_KEY", key.decode())
        monkeypatch.setenv("BIZSPAN_HASH_KEY_ID", key_id)
        with bizspan.configure(export="none", spool=tmp_path / "spool") as configured:
            bizspan.event("told", customer="c-17")
            configured.shutdown(0.1)

    assert [f"{key_id}:{hmac.new(key, b'c-17', hashlib.sha256).hexdigest()}"
            for key_id, key in (("2026a", KEY), ("2026b", KEY[::-1]))] == [
        event.attributes[CUSTOMER] for _, event in events_in(str(tmp_path / "spool"))
    ]  # fmt: skip
