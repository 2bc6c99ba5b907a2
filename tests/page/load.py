"""
How long the pages take to answer over many events: ``python -m tests.page.load [--events N] [--hours H] [--busy]``.

One process, one connection; the store is filled first. The first answer to a question counts all of the period; those
after it count what is new, and know the hours that are over. With --busy events come in meanwhile, on a thread of the
same process, one request after the other.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from bizspan.lens import Lens
from bizspan.lens._interpreter import serving
from bizspan.page import add_page
from tests.lens.requests import START_NS, Shop

_BLOCK: Final = 100_000  # events that come in meanwhile, at most
# The two filters that a page has at once, and what each page is about.
PAGES: Final = {
    "overview": "/",
    "one filter": "/?segment=smb",
    "two filters": "/?segment=smb&country=DE",
    "operation": "/?operation=checkout",
    "features": "/features",
    "technical": "/technical",
    "events": "/events",
}
SCAN: Final = "a plain scan"  # beside the pages: what reading and grouping all events takes on this machine
_SCAN: Final = "SELECT segment, country, outcome, count(*), sum(revenue_minor) FROM events NOT INDEXED GROUP BY 1, 2, 3"


@dataclass(frozen=True, slots=True)
class Taken:
    """
    How long a page took.

    Args:
        seconds: The median, of those after the first.
        cpu_s: Processor time of each of them, which other programs change less; with that of what comes in.
        first_s: The first answer.
        first_cpu_s: Its processor time.
    """

    seconds: float
    cpu_s: float
    first_s: float
    first_cpu_s: float


def run(
    directory: Path, *, events: int = 300_000, hours: float = 24.0, times: int = 5, busy: bool = False
) -> dict[str, Taken]:
    """
    How long each page takes to answer over a new store: see `fill` and `measured`.

    Args:
        directory: Where the store is made.
        events: How many there are.
        hours: Of how long a time they are.
        times: How often each page is asked for, after the first time.
        busy: Whether events come in meanwhile.
    """
    return measured(fill(directory / "load.db", events=events, hours=hours), times=times, busy=busy)


@dataclass(frozen=True, slots=True)
class Filled:
    """
    A store with events.

    Args:
        path: Of its file.
        shop: Whose events they are; it has more of them.
        period: Of all of them, as a page is asked for it.
    """

    path: Path
    shop: Shop
    period: str


def fill(path: Path, *, events: int = 300_000, hours: float = 24.0) -> Filled:
    """
    Make a store.

    Args:
        path: Of its file.
        events: How many there are.
        hours: Of how long a time they are.
    """
    shop = Shop(per_second=max(1, round(events / hours / 3600)))
    with Lens(path) as lens:
        for request in shop.requests(events, size=1_000):
            lens.intake.take("logs", "protobuf", request)
        lens.store.prune()  # as it does by itself every half a minute: hours that are over are added up
    since = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(START_NS // 10**9))
    until = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(shop.sold[-1].time_ns // 10**9 + 60))
    shop.sold.clear()
    return Filled(path, shop, f"period={quote(f'{since}..{until}')}")


def measured(filled: Filled, *, times: int = 5, busy: bool = False) -> dict[str, Taken]:
    """
    How long each page takes to answer, by its name; and a scan of all events, as `SCAN`.

    Args:
        filled: The store.
        times: How often each page is asked for, after the first time.
        busy: Whether more events of its shop come in meanwhile.
    """
    more = list(filled.shop.requests(_BLOCK, size=500)) if busy else []
    filled.shop.sold.clear()
    with Lens(filled.path, apart=True) as lens:  # as `bizspan lens`
        add_page(lens)
        lens.start(0)
        with serving(), _coming_in(lens, more):  # also as `bizspan lens`
            scan = _scanned(lens)
            return {
                SCAN: scan,
                **{name: _measured(lens.url, path, filled.period, times) for name, path in PAGES.items()},
            }


def _scanned(lens: Lens) -> Taken:
    taken: list[tuple[float, float]] = []
    with lens.store.reading() as connection:
        for _ in range(3):
            began, cpu = time.perf_counter(), time.thread_time()
            connection.execute(_SCAN).fetchall()
            taken.append((time.perf_counter() - began, time.thread_time() - cpu))
    seconds, cpu_s = (min(each) for each in zip(*taken, strict=True))
    return Taken(seconds, cpu_s, *taken[0])


def _measured(url: str, path: str, period: str, times: int) -> Taken:
    parts = urlsplit(url)
    client = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    whole = f"{path}{'&' if '?' in path else '?'}{period}"
    cpu = time.process_time()
    first_s = _asked(client, whole)
    first_cpu_s = time.process_time() - cpu
    cpu = time.process_time()
    taken = [_asked(client, whole) for _ in range(times)]
    cpu_s = (time.process_time() - cpu) / times
    client.close()
    return Taken(statistics.median(taken), cpu_s, first_s, first_cpu_s)


@contextmanager
def _coming_in(lens: Lens, requests: Sequence[bytes]) -> Generator[None]:
    """Have events come in, again and again other ones; that they did is looked at."""
    ended = threading.Event()

    def send() -> None:
        for request in requests:
            lens.intake.take("logs", "protobuf", request)
            if ended.is_set():
                return

    thread = threading.Thread(target=send)
    thread.start()
    before = lens.store.version
    try:
        yield
        assert not requests or lens.store.version > before
    finally:
        ended.set()
        thread.join()


def _asked(client: http.client.HTTPConnection, path: str) -> float:
    began = time.perf_counter()
    client.request("GET", path)
    answer = client.getresponse()
    answer.read()
    assert 200 == answer.status, path
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.page.load", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--busy", action="store_true", help="while events come in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = run(Path(directory), events=options.events, hours=options.hours, busy=options.busy)
    for name, each in found.items():
        print(
            f"{name:<12} {each.seconds * 1000:6.0f} ms, {each.cpu_s * 1000:6.0f} ms of processor time; "
            f"the first answer {each.first_s * 1000:6.0f} ms, {each.first_cpu_s * 1000:6.0f} ms"
        )


if __name__ == "__main__":
    main()
