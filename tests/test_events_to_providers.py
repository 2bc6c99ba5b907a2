"""How events reach a logger provider: in bursts, and without being checked twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

import bizspan
from bizspan import names
from bizspan._clock import Ids
from bizspan._record import Record
from bizspan._signals import EventSink
from bizspan.sdk import _memory
from bizspan.sdk._events import ReadyEventSink

BURST = 7_000  # the SDK's batch processor keeps 2,048

needs_ready = pytest.mark.skipif(
    not hasattr(sdk_logs, "ReadWriteLogRecord"), reason="this SDK has no ReadWriteLogRecord; the API is used"
)
values = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.tuples(st.text(alphabet="ab", max_size=3), st.text(alphabet="ab", max_size=3)),
)
attributes = st.dictionaries(st.text(alphabet="abc.", min_size=1, max_size=12), values, max_size=12)


def new_far_end() -> Any:
    """The SDK's in-memory exporter, by the name that this SDK has for it."""
    make: Any = vars(_memory)["InMemoryLogRecordExporter"]
    return make()


@pytest.mark.parametrize("joined", [True, False], ids=["configured", "found"])
def test_a_burst_waits_instead_of_being_dropped_by_the_batch_processor(
    joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Thousands of events at once all arrive through the application's stock batch processor.
    """
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    far = new_far_end()
    provider = LoggerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(far))
    with bizspan.configure(export="otlp" if joined else "none", logger_provider=provider) as configured:
        for number in range(BURST):
            bizspan.event("burst.told", order=f"o-{number}")
        assert configured.force_flush(20)
        provider.force_flush()
        diagnostics = bizspan.diagnostics()
    provider.shutdown()

    orders = [finished.log_record.attributes["business.order.id"] for finished in far.get_finished_logs()]
    assert [f"o-{number}" for number in range(BURST)] == orders
    assert BURST == diagnostics.handed_over


def _encoded(make: type[EventSink], told: dict[str, Any], name: str) -> bytes:
    far = new_far_end()
    provider = LoggerProvider(resource=Resource({"service.name": "test"}), shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(far))
    sink = make(provider.get_logger(names.SCOPE, "1", "urn:test"), Ids("0" * 20))
    sink(Record(name, name, "uid-1", 1_767_225_600_000_000_000, dict(told), (), None), 7)
    [finished] = far.get_finished_logs()
    finished.log_record.observed_timestamp = 1
    provider.shutdown()
    return encode_logs([finished]).SerializeToString(deterministic=True)


@needs_ready
@settings(max_examples=100)
@given(told=attributes, name=st.text(alphabet="abc.", min_size=1, max_size=12))
def test_a_finished_record_is_the_same_on_the_wire(told: dict[str, Any], name: str) -> None:
    """
    What skips the SDK's checks encodes to the bytes of what went through them.
    """
    assert _encoded(EventSink, told, name) == _encoded(ReadyEventSink, told, name)


@needs_ready
def test_limits_that_the_application_sets_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With a length limit on log attributes, events go the SDK's own way, which cuts them.
    """
    monkeypatch.setenv("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5")
    far = new_far_end()
    provider = LoggerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(far))
    sink = ReadyEventSink(provider.get_logger(names.SCOPE), Ids("0" * 20))
    sink(Record("a.b", "a.b", "uid-1", 1, {"text": "0123456789"}, (), None), 1)
    provider.shutdown()

    [finished] = far.get_finished_logs()
    assert "01234" == finished.log_record.attributes["text"]
