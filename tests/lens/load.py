"""
How many events a second a lens takes in, sustained, and how long a page waits for its reads meanwhile:
``python -m tests.lens.load [--events N] [--http | --apart] [--clients N]``.

Clients encode nothing and only send, so that what is measured is taking in. There are ten by default: so many requests
a Collector's exporter has on their way. With --http over real connections to a lens in the same process, which then has
to share its interpreter with the clients; with --apart they are a process of their own, as applications are.
"""

from __future__ import annotations

import argparse
import http.client
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bizspan.lens import Lens, Store
from bizspan.lens._interpreter import serving
from tests.lens.requests import Shop
from tests.memory import cpu_s, now_mib, peak_mib

_BLOCK = 50_000  # encoded before each stretch that is measured, so that memory stays small
_PAGE_EVERY_S = 0.1
# What a page reads: series of outcomes and of money, and a table by each of two dimensions.
_PAGE: Final = (
    "SELECT minute, outcome, sum(count) FROM minute_counts WHERE dimension = '' GROUP BY minute, outcome",
    "SELECT minute, currency, sum(minor) FROM minute_money WHERE dimension = '' GROUP BY minute, currency",
    "SELECT value, outcome, sum(count) FROM minute_counts WHERE dimension = 'country' GROUP BY value, outcome",
    "SELECT value, currency, sum(minor) FROM minute_money WHERE dimension = 'segment' GROUP BY value, currency",
    "SELECT time_ns, name, operation, outcome FROM events ORDER BY time_ns DESC LIMIT 20",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """
    What was measured.

    Args:
        events: How many were taken in.
        seconds: How long that took.
        cpu_s: Processor time of the lens's two processes meanwhile, which other programs hardly change.
        bytes: Of the store.
        peak_mib: The most memory that both took for it, and its clients, where they are in it.
        page_s: How long each of a page's reads took meanwhile, the fastest first.
    """

    events: int
    seconds: float
    cpu_s: float
    bytes: int
    peak_mib: float
    page_s: list[float] = field(default_factory=list[float])

    @property
    def per_second(self) -> float:
        """The rate."""
        return self.events / self.seconds


def run(
    directory: Path, *, events: int = 300_000, size: int = 500, clients: int = 10, over: str = "", processes: int = 4
) -> Measured:
    """
    Take events into a new store.

    Args:
        directory: Where the store is made.
        events: How many.
        size: Of a request.
        clients: How many send at once, each one request after the other.
        over: ``http`` for connections; ``apart`` for connections of another process.
        processes: Of the shop.
    """
    before = now_mib()
    with serving(), Lens(directory / "load.db", apart=True) as lens:
        lens.start(0)
        assert lens._apart is not None
        assert lens._apart.is_ready()
        decoding = lens._apart.pid
        watch = _Watch(decoding)
        with _read_as_a_page(lens.store, watch) as page_s:
            if over == "apart":
                _apart(lens, events, size, clients, watch)
            else:
                _beside(lens, Shop(processes=processes), events, size, clients, over, watch)
        with lens.store.reading() as connection:
            (stored,) = connection.execute("SELECT count(*) FROM events").fetchone()
            (counted,) = connection.execute("SELECT sum(count) FROM minute_counts WHERE dimension = ''").fetchone()
        peak = peak_mib() - before + peak_mib(decoding)
    assert events == stored == counted
    return Measured(events, watch.seconds, watch.cpu_s, (directory / "load.db").stat().st_size, peak, sorted(page_s))


class _Watch:
    """
    What the stretches in which something is sent take together.

    Args:
        decoding: The process beside this one.
    """

    def __init__(self, decoding: int) -> None:
        self._decoding = decoding
        self.seconds = self.cpu_s = 0.0
        self.runs = threading.Event()

    @contextmanager
    def running(self) -> Generator[None]:
        began, cpu = time.perf_counter(), cpu_s() + cpu_s(self._decoding)
        self.runs.set()
        yield
        self.runs.clear()
        self.seconds += time.perf_counter() - began
        self.cpu_s += cpu_s() + cpu_s(self._decoding) - cpu


def _beside(lens: Lens, shop: Shop, events: int, size: int, clients: int, over: str, watch: _Watch) -> None:
    """Send on threads of this process."""
    for start in range(0, events, _BLOCK):
        requests = list(shop.requests(min(_BLOCK, events - start), size=size))
        shop.sold.clear()
        with watch.running():
            _together(clients, iter(requests), lambda: _over_http(lens.url) if over else _direct(lens))


def _apart(lens: Lens, events: int, size: int, clients: int, watch: _Watch) -> None:
    """Have another process send; its processor time is not counted."""
    told = ["--events", str(events), "--size", str(size), "--clients", str(clients), "--send", lens.url]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.lens.load", *told], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None
        for _ in range(0, events, _BLOCK):
            assert "ready\n" == sender.stdout.readline()
            with watch.running():
                print("go", file=sender.stdin, flush=True)
                assert "sent\n" == sender.stdout.readline()
    assert 0 == sender.returncode


def _send(url: str, events: int, size: int, clients: int) -> None:
    """The other side of `_apart`."""
    shop = Shop()
    for start in range(0, events, _BLOCK):
        requests = list(shop.requests(min(_BLOCK, events - start), size=size))
        shop.sold.clear()
        print("ready", flush=True)
        assert "go\n" == sys.stdin.readline()
        _together(clients, iter(requests), lambda: _over_http(url))
        print("sent", flush=True)


@contextmanager
def _read_as_a_page(store: Store, watch: _Watch) -> Generator[list[float]]:
    """Read again and again in the lens's own process; how long each time took."""
    taken: list[float] = []
    failed: list[BaseException] = []
    ended = threading.Event()

    def read() -> None:
        try:
            while not ended.wait(_PAGE_EVERY_S):
                if not watch.runs.is_set():
                    continue
                began = time.perf_counter()
                with store.reading() as connection:
                    for query in _PAGE:
                        connection.execute(query).fetchall()
                taken.append(time.perf_counter() - began)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield taken
    finally:
        ended.set()
        thread.join()
    if failed:
        raise failed[0]


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


def _over_http(url: str) -> Send:
    parts = urlsplit(url)
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
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--http", action="store_const", dest="over", const="http", default="")
    parser.add_argument("--apart", action="store_const", dest="over", const="apart", help="from another process")
    parser.add_argument("--long", action="store_true", help="2,000,000 events")
    parser.add_argument("--send", metavar="URL", help="only be the other process")
    options = parser.parse_args()
    events = 2_000_000 if options.long else options.events
    if options.send:
        _send(options.send, events, options.size, options.clients)
        return
    with tempfile.TemporaryDirectory() as directory:
        found = run(Path(directory), events=events, size=options.size, clients=options.clients, over=options.over)
    print(
        f"{found.events:,} events in {found.seconds:.1f} s: {found.per_second:,.0f} a second, "
        f"{found.cpu_s / found.events * 1e6:.1f} us of processor time each, "
        f"{found.bytes / found.events:.0f} bytes each, {found.peak_mib:.0f} MiB at most"
    )
    page = found.page_s
    print(
        f"{len(page)} reads of a page meanwhile: {page[len(page) // 2] * 1e3:.0f} ms in the middle, "
        f"{page[len(page) * 95 // 100] * 1e3:.0f} ms for 95 %, {page[-1] * 1e3:.0f} ms the longest"
    )


if __name__ == "__main__":
    main()
