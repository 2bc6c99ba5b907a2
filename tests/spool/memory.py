"""A source of the sender's that lives in memory, and the shortest encoder that a collector understands."""

from __future__ import annotations

from collections.abc import Sequence

from bizspan.spool._source import Batch, Groups


def delimited(number: int, data: bytes) -> bytes:
    """A protobuf field that holds bytes."""
    size, length = b"", len(data)
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + data


def entry(name: str, padding: int = 0) -> bytes:
    """One log record with this event name, as field 2 of its scope's records."""
    return delimited(2, delimited(12, name.encode()) + delimited(3, b"x" * padding))


def encode(resource: bytes, groups: Groups) -> bytes:
    """An ExportLogsServiceRequest."""
    scopes = b"".join(delimited(2, delimited(1, scope) + b"".join(entries)) for scope, _, entries in groups)
    return delimited(1, delimited(1, resource) + scopes)


def names(request: bytes) -> list[str]:
    """The event names in a request."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    found = ExportLogsServiceRequest.FromString(request)
    return [record.event_name for by in found.resource_logs for scope in by.scope_logs for record in scope.log_records]


class Memory:
    """What waits, in order; what became of the rest."""

    def __init__(self, *told: str) -> None:
        self.entries: list[bytes] = [entry(name) for name in told]
        self.acked = 0
        self.delivered = 0
        self.rejected = 0
        self.dead: list[tuple[bytes, str]] = []
        self.asked: list[tuple[int, int]] = []

    def add(self, *told: str) -> None:
        """More."""
        self.entries += [entry(name) for name in told]

    def waiting(self) -> int:
        return len(self.entries) - self.acked

    def settled(self) -> int:
        return self.acked

    def tick(self) -> None:
        """Nothing to look after."""

    def batch(self, most_bytes: int, most_events: int) -> Batch | None:
        self.asked.append((most_bytes, most_events))
        start, stop, size = self.acked, self.acked, 0
        while stop < len(self.entries) and stop - start < most_events:
            size += len(self.entries[stop])
            if stop > start and size > most_bytes:
                break
            stop += 1
        return Slice(self, start, stop) if stop > start else None


class Slice:
    """Some of what waits."""

    resource = b""

    def __init__(self, source: Memory, start: int, stop: int) -> None:
        self._source, self._start, self._stop = source, start, stop

    @property
    def groups(self) -> Sequence[tuple[bytes, bytes, Sequence[bytes]]]:
        return [(b"", b"", self._source.entries[self._start : self._stop])]

    @property
    def events(self) -> int:
        return self._stop - self._start

    def _ack(self) -> None:
        assert self._start == self._source.acked
        self._source.acked = self._stop

    def delivered(self, rejected: int = 0) -> None:
        self._ack()
        self._source.delivered += self.events - rejected
        self._source.rejected += rejected

    def dead(self, position: int, reason: str) -> None:
        assert (0, 1) == (position, self.events)
        self._source.dead.append((self._source.entries[self._start], reason))
        self._ack()

    def halves(self) -> tuple[Slice, Slice]:
        middle = (self._start + self._stop) // 2
        assert self._start < middle < self._stop
        return Slice(self._source, self._start, middle), Slice(self._source, middle, self._stop)
