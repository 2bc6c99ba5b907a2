"""How fast the sender is, with a server in a process of its own that takes everything at once."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from bizspan.spool._post import Poster
from bizspan.spool._sender import Outcome, Sender
from bizspan.spool._target import Target
from tests.spool.memory import Memory, delimited, encode

TAKES_EVERYTHING = r"""
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
data = b""
while True:
    while b"\r\n\r\n" not in data:
        more = connection.recv(1 << 20)
        if not more:
            raise SystemExit
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    left = int(head.rpartition(b"Content-Length: ")[2]) - len(body)
    while left:
        left -= len(connection.recv(min(left, 1 << 20)))
    data = b""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
"""


def event(number: int) -> bytes:
    """About 600 bytes, as unlike its neighbours as events are: ids, a time, and facts by their names."""
    facts = b"".join(
        delimited(6, delimited(1, key) + delimited(2, delimited(1, value)))
        for key, value in (
            (b"log.record.uid", b"%032x" % (number * 0x9E3779B97F4A7C15 & (1 << 128) - 1)),
            (b"bizspan.writer.id", b"5f3a9c0e11d24b7a8899"),
            (b"business.operation.name", b"checkout"),
            (b"business.operation.id", b"%032x" % (number * 0xD1342543DE82EF95 & (1 << 128) - 1)),
            (b"business.operation.outcome", b"success"),
            (b"business.revenue.currency", b"EUR"),
            (b"business.revenue.minor_units", b"%d" % (number * 7919 % 100_000)),
            (b"business.customer.segment", (b"smb", b"enterprise", b"consumer")[number % 3]),
            (b"geo.country.iso_code", (b"DE", b"FR", b"US", b"JP")[number % 4]),
            (b"business.channel", (b"web", b"app")[number % 2]),
            (b"business.campaign.name", b"autumn-sale"),
            (b"business.plan", b"professional"),
            (b"business.order.id", b"o-%d" % number),
            (b"enduser.pseudo.id", b"%032x" % (number * 0xA24BAED4963EE407 & (1 << 128) - 1)),
        )
    )
    return delimited(2, delimited(12, b"business.operation") + facts)


@pytest.mark.bench
def test_sixty_thousand_events_a_second_leave() -> None:
    """
    Joining, gzip, the request and its answer: at least 60,000 events of 600 bytes per second of the processor.
    """
    source = Memory()
    source.entries = [event(number) for number in range(60_000)]
    size = sum(map(len, source.entries)) / len(source.entries)
    assert 550 < size < 700
    with subprocess.Popen([sys.executable, "-c", TAKES_EVERYTHING], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            poster = Poster(Target(f"http://127.0.0.1:{int(server.stdout.readline())}/v1/logs"))
            sender = Sender(source, poster, encode)
            best = 0.0
            for _ in range(3):
                source.acked, began, cpu = 0, time.perf_counter(), time.process_time()
                while sender.run_once() is Outcome.MOVED:
                    pass
                took, cpu = time.perf_counter() - began, time.process_time() - cpu
                best = max(best, len(source.entries) / cpu)  # of the wall's seconds, other processes take theirs
                rates = f"{len(source.entries) / took:,.0f} events/s, {len(source.entries) / cpu:,.0f} per CPU second"
                print(f"{rates}, of {size:.0f} bytes")
            sender.stop()
        finally:
            server.kill()

    assert best >= 60_000
