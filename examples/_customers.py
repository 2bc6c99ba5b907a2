"""
The customers of the example shops, and the server that they meet: real purchases over real HTTP.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.util import find_spec
from typing import Any

from _collector import Receiver
from _purchases import Purchase, read_purchases
from _reconcile import ACCEPTED, CENT, DECLINED, REFUNDED, REFUNDS, REVENUE, Ledger, Source
from bizspan import names

CLIENTS = 4
BOUND_S = 20.0
COUNTRY = "US"


def trade(port: int, purchases: list[Purchase]) -> None:
    """
    Send everybody to the shop, several at a time.

    Raises:
        RuntimeError: When the shop does not answer as it should.
    """
    with ThreadPoolExecutor(CLIENTS) as clients:
        for done in [clients.submit(_buy, port, purchase) for purchase in purchases]:
            done.result()


def _buy(port: int, purchase: Purchase) -> None:
    """Buy, try another card where the first is declined, and complain where that is in the file."""
    cart = {"order": purchase.order, "total": str(purchase.total), "card": "good"}
    if purchase.declined_first:
        _post(port, purchase, "/checkout", {**cart, "card": "stolen"}, 402)
    _post(port, purchase, "/checkout", cart, 200)
    if purchase.refunded != "no":
        share = purchase.total if purchase.refunded == "whole" else purchase.total / 2
        back = {"amount": str(share.quantize(CENT, ROUND_HALF_EVEN))}
        _post(port, purchase, f"/orders/{purchase.order}/refund", back, 204)


def _post(port: int, purchase: Purchase, path: str, body: Mapping[str, str], wanted: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
    headers = {"Content-Type": "application/json", "X-Customer": purchase.customer, "CF-IPCountry": COUNTRY}
    connection.request("POST", path, json.dumps(body), headers)
    status = connection.getresponse().status
    connection.close()
    if status != wanted:
        raise RuntimeError(f"{path} of {purchase.order}: {status} instead of {wanted}")


def from_events(receiver: Receiver, declined: str) -> Source:
    """
    The figures of the book: the events, each counted once.

    Args:
        receiver: Where the shop sent its telemetry.
        declined: The reason of a checkout whose card was declined.

    Raises:
        ValueError: When an event is not of these customers.
    """
    ledger: Ledger = Counter()
    events = {event["attributes"].get(names.RECORD_UID): event for event in receiver.events()}
    events.pop(None, None)  # log records of others
    for event in events.values():
        told = event["attributes"]
        segment = str(told[names.SEGMENT])
        if told[names.COUNTRY] != COUNTRY:
            raise ValueError(f"a request from {told[names.COUNTRY]!r}, which nobody sent")
        if event["event_name"] == names.EVENT_REFUND:
            ledger[REFUNDS, segment] += 1
            ledger[REFUNDED, segment] += int(str(told[names.MINOR_UNITS_KEYS[names.REFUND]]))
        elif told[names.OPERATION_NAME] == "checkout":
            add_checkout(ledger, told, declined)
    return Source("events", ledger, (ACCEPTED, DECLINED, REFUNDS, REVENUE, REFUNDED))


def add_checkout(ledger: Ledger, told: Mapping[str, Any], declined: str) -> None:
    """Add the attributes of one checkout to the figures."""
    segment = str(told[names.SEGMENT])
    if told[names.OPERATION_OUTCOME] == names.SUCCESS:
        ledger[ACCEPTED, segment] += 1
        ledger[REVENUE, segment] += int(told[names.MINOR_UNITS_KEYS[names.REVENUE]])
    else:
        ledger[DECLINED, segment] += told[names.OPERATION_REASON] == declined


@contextmanager
def served(command: Callable[[int], Sequence[str]], receiver: Receiver, **variables: str) -> Generator[int]:
    """
    A server in a process of its own, from when it listens until the block ends; gives its port.

    Args:
        command: What starts it on a port, as the arguments of this Python.
        receiver: Where its telemetry goes.
        variables: Of its environment.

    Raises:
        RuntimeError: When it does not start.
    """
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = int(held.getsockname()[1])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "BIZSPAN_", "FASTAPI_"))}
    # Months of purchases pass in a second, and OpenTelemetry drops what waits beyond its queue.
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint, "OTEL_BSP_MAX_QUEUE_SIZE": "20000"}
    server = subprocess.Popen(
        [sys.executable, *command(port)], env={**kept, **told, **variables}, start_new_session=True
    )
    try:
        deadline = time.monotonic() + BOUND_S
        while not _listens(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not start")
            time.sleep(0.02)
        yield port
        server.terminate()
        server.wait(BOUND_S)
    finally:
        with suppress(ProcessLookupError):  # it ended, and its workers before it
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


def main(run: Callable[[list[Purchase]], bool], description: str, needs: Iterable[str]) -> int:
    """
    The command of an example.

    Args:
        run: Serves the purchases; whether all that arrived agrees with the file.
        description: One line.
        needs: Packages, by the names that pip has for them.

    Returns:
        0 when everything agrees, else 1.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--limit", type=int, default=600, metavar="N", help="how many purchases; default: 600")
    parser.add_argument("--quick", action="store_true", help="only 150")
    options = parser.parse_args()
    missing = [package for package in needs if find_spec(package) is None]
    if missing:
        print(f"This example needs {' and '.join(missing)}: pip install {' '.join(missing)}")
        return 0
    started = time.perf_counter()
    purchases = read_purchases(150 if options.quick else options.limit)
    total = sum((purchase.total for purchase in purchases), Decimal())
    agrees = run(purchases)
    verdict = "Everything agrees" if agrees else "THERE ARE DIFFERENCES"
    print(f"\n{verdict}: {len(purchases):,} purchases of {total:,} USD. {time.perf_counter() - started:.2f} s in all.")
    return 0 if agrees else 1
