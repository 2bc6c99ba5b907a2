"""What an event costs before it is written, beside what the protobuf library alone takes for the same bytes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bizspan.lens._logs import LogDecoder
from bizspan.lens._prepared import Prepared
from tests.lens.requests import START_NS, Shop

_ROUNDS = 9


def plainly(data: bytes) -> list[dict[str, object]]:
    """The attributes of each record, read as the library's own documentation shows."""
    return [
        {each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in record.attributes}
        for by_resource in ExportLogsServiceRequest.FromString(data).resource_logs
        for by_scope in by_resource.scope_logs
        for record in by_scope.log_records
    ]


def least(*works: Callable[[], object]) -> list[float]:
    """Of several rounds, in turn, the least processor time that each took: other programs only add to it."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(_ROUNDS):
        for work, times in zip(works, taken, strict=True):
            began = time.thread_time()
            work()
            times.append(time.thread_time() - began)
    return list(map(min, taken))


def shuffled(data: bytes) -> bytes:
    """The same request with the attributes of each record in another order, as some languages' maps give them."""
    chance, request = random.Random(5), ExportLogsServiceRequest.FromString(data)
    for record in request.resource_logs[0].scope_logs[0].log_records:
        attributes = list(record.attributes)
        chance.shuffle(attributes)
        del record.attributes[:]
        record.attributes.extend(attributes)
    return request.SerializeToString()


@pytest.mark.bench
def test_events_that_are_not_alike_cost_little_more_than_their_parsing() -> None:
    """
    To see that they can't be read by column, and to read them one by one, takes about as long as that.
    """
    requests, decoder = list(map(shuffled, Shop().requests(2_000, size=500))), LogDecoder()

    decoded, read = least(
        lambda: [decoder.decode(data, START_NS) for data in requests],
        lambda: [plainly(data) for data in requests],
    )

    print(f"decoded {decoded / read:.2f} of what reading takes")
    assert decoded < 1.3 * read


@pytest.mark.bench
def test_events_cost_little_more_than_their_parsing() -> None:
    """
    To decode events, and to count them and lay them out for the store, takes less than to read their attributes alone
    with the library's classes.
    """
    requests = list(Shop().requests(4_000, size=500))
    decoder = LogDecoder()
    batches = [decoder.decode(data, START_NS) for data in requests]

    decoded, prepared, read = least(
        lambda: [decoder.decode(data, START_NS) for data in requests],
        lambda: [Prepared.of(batch) for batch in batches],
        lambda: [plainly(data) for data in requests],
    )

    print(f"decoded {decoded / read:.2f}, prepared {prepared / read:.2f} of what reading takes")
    assert decoded < 0.7 * read
    assert prepared < 0.45 * read
