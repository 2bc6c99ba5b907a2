"""Personal facts: hashed with a key, or dropped, before anything is stored."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import bizspan
from bizspan import Attribute, SetupError, Vocabulary, _guard
from bizspan.sdk import _memory
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
