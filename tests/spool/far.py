"""The SDK's pipeline to compare with, encoders at a fixed time, and strategies for what both encode."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanContext, TraceFlags

from bizspan import names
from bizspan._clock import Ids
from bizspan._record import Record
from bizspan.sdk._events import ReadyEventSink
from bizspan.spool._encode import Encoder
from tests.providers import log_exporter

WRITER: Final = "0123456789abcdef0123"
OBSERVED: Final = 1_767_225_600_000_000_007
TIME: Final = 1_767_225_600_000_000_000

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
ints = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1, -1, 0, 127, 128, 16_383, 16_384, 2**21])
floats = st.floats()
links = st.none() | st.builds(
    SpanContext,
    st.integers(0, 2**128 - 1) | st.just(0),
    st.integers(0, 2**64 - 1) | st.just(0),
    st.booleans(),
    st.integers(0, 255).map(TraceFlags),
)
times = st.integers(0, 2**64 - 1)


def copied(record: Record) -> Record:
    """The same: a sink writes into a record's attributes."""
    return Record(
        record.event_name, record.name, record.uid, record.time_ns, dict(record.attributes), record.amounts,
        record.span_context, record.outcome, record.duration_ns,
    )  # fmt: skip


class Far:
    """An SDK's pipeline that ends in memory."""

    def __init__(self) -> None:
        self._exporter = log_exporter()
        provider = LoggerProvider(resource=Resource({}), shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(self._exporter))
        self.logger = provider.get_logger(names.SCOPE, "1", names.SCHEMA_URL)
        self.sink = ReadyEventSink(self.logger, Ids(WRITER))

    def finished(self) -> Any:
        """The one log record that was emitted since the last call."""
        [finished] = self._exporter.get_finished_logs()
        self._exporter.clear()
        finished.log_record.observed_timestamp = OBSERVED
        return finished

    def told(self, record: Record, sequence: int) -> Any:
        """A record of ours as it leaves this pipeline."""
        self.sink(copied(record), sequence)
        return self.finished()


FAR: Final = Far()
# Two that live as long as the tests: one remembers what it meets, the other has room for next to nothing.
ENCODERS: Final = (Encoder(WRITER, time_ns=lambda: OBSERVED), Encoder(WRITER, time_ns=lambda: OBSERVED))


def encoder() -> Encoder:
    """A new one, at a fixed time."""
    return Encoder(WRITER, time_ns=lambda: OBSERVED)
