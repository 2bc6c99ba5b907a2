"""
How long the pages take to answer over many events: ``python -m tests.page.load [--events N] [--hours H]``.

One process, one connection; the store is filled first. The first answer is left out, as a browser's own first one is.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from bizspan.lens import Lens
from bizspan.page import add_page
from tests.lens.requests import START_NS, Shop

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


@dataclass(frozen=True, slots=True)
class Taken:
    """
    How long a page took.

    Args:
        seconds: The median.
        cpu_s: Processor time of each answer, which other programs on the machine change less.
    """

    seconds: float
    cpu_s: float


def run(directory: Path, *, events: int = 300_000, hours: float = 24.0, times: int = 5) -> dict[str, Taken]:
    """
    How long each page takes to answer, by its name.

    Args:
        directory: Where the store is made.
        events: How many there are.
        hours: Of how long a time they are.
        times: How often each page is asked for.
    """
    shop = Shop(per_second=max(1, round(events / hours / 3600)))
    with Lens(directory / "load.db") as lens:
        for request in shop.requests(events, size=1_000):
            lens.intake.take("logs", "protobuf", request)
        since = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(START_NS // 10**9))
        until = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(shop.sold[-1].time_ns // 10**9 + 60))
        period = f"period={quote(f'{since}..{until}')}"
        shop.sold.clear()
        add_page(lens)
        lens.start(0)
        parts = urlsplit(lens.url)
        client = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        found: dict[str, Taken] = {}
        for name, path in PAGES.items():
            whole = f"{path}{'&' if '?' in path else '?'}{period}"
            _asked(client, whole)
            cpu = time.process_time()
            taken = [_asked(client, whole) for _ in range(times)]
            found[name] = Taken(statistics.median(taken), (time.process_time() - cpu) / times)
        client.close()
    return found


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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = run(Path(directory), events=options.events, hours=options.hours)
    for name, taken in found.items():
        print(f"{name:<12} {taken.seconds * 1000:6.0f} ms, {taken.cpu_s * 1000:6.0f} ms of processor time")


if __name__ == "__main__":
    main()
