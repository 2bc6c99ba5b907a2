"""
How many events a second a lens takes in, sustained: ``python -m tests.lens.load [--events N] [--http] [--clients N]``.

One process: clients encode nothing and only send, so that what is measured is taking in. With --http over real
connections to a lens in the same process, which then has to share its interpreter with the clients.
"""

from __future__ import annotations

import argparse
import http.client
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bizspan.lens import Lens
from tests.lens.requests import Shop

_BLOCK = 50_000  # encoded before each stretch that is measured, so that memory stays small


@dataclass(frozen=True, slots=True)
class Measured:
    """
    What was measured.

    Args:
        events: How many were taken in.
        seconds: How long that took.
        cpu_s: Processor time of all threads meanwhile, which other programs on the machine hardly change.
        bytes: Of the store.
        peak_mib: The most memory that the process had, its clients included.
    """

    events: int
    seconds: float
    cpu_s: float
    bytes: int
    peak_mib: float

    @property
    def per_second(self) -> float:
        """The rate."""
        return self.events / self.seconds


def run(
    directory: Path, *, events: int = 300_000, size: int = 500, clients: int = 3, http: bool = False, processes: int = 4
) -> Measured:
    """
    Take events into a new store.

    Args:
        directory: Where the store is made.
        events: How many.
        size: Of a request.
        clients: How many send at once, each one request after the other.
        http: Over connections.
        processes: Of the shop.
    """
    shop = Shop(processes=processes)
    with Lens(directory / "load.db") as lens:
        lens.start(0)
        seconds = cpu_s = 0.0
        for start in range(0, events, _BLOCK):
            requests = list(shop.requests(min(_BLOCK, events - start), size=size))
            shop.sold.clear()
            waiting = iter(requests)
            began, cpu = time.perf_counter(), time.process_time()
            _together(clients, waiting, lambda: _over_http(lens) if http else _direct(lens))
            seconds += time.perf_counter() - began
            cpu_s += time.process_time() - cpu
        with lens.store.reading() as connection:
            (stored,) = connection.execute("SELECT count(*) FROM events").fetchone()
            (counted,) = connection.execute("SELECT sum(count) FROM minute_counts WHERE dimension = ''").fetchone()
    assert events == stored == counted
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(events, seconds, cpu_s, (directory / "load.db").stat().st_size, peak)


Send = Callable[[bytes], None]


def _together(clients: int, requests: Iterator[bytes], connect: Callable[[], Send]) -> None:
    lock, failed = threading.Lock(), list[BaseException]()

    def send_all() -> None:
        try:
            send = connect()
            while not failed:
                with lock:
                    request = next(requests, None)
                if request is None:
                    return
                send(request)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=send_all) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def _direct(lens: Lens) -> Send:
    def send(request: bytes) -> None:
        lens.intake.take("logs", "protobuf", request)

    return send


def _over_http(lens: Lens) -> Send:
    parts = urlsplit(lens.url)
    client = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)

    def send(request: bytes) -> None:
        client.request("POST", "/v1/logs", request, {"Content-Type": "application/x-protobuf"})
        answer = client.getresponse()
        answer.read()
        assert 200 == answer.status

    return send


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.lens.load", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--size", type=int, default=500, help="events of a request")
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--http", action="store_true", help="over connections")
    parser.add_argument("--long", action="store_true", help="2,000,000 events")
    options = parser.parse_args()
    events = 2_000_000 if options.long else options.events
    with tempfile.TemporaryDirectory() as directory:
        found = run(Path(directory), events=events, size=options.size, clients=options.clients, http=options.http)
    print(
        f"{found.events:,} events in {found.seconds:.1f} s: {found.per_second:,.0f} a second, "
        f"{found.cpu_s / found.events * 1e6:.1f} us of processor time each, "
        f"{found.bytes / found.events:.0f} bytes each, {found.peak_mib:.0f} MiB at most"
    )


if __name__ == "__main__":
    main()
