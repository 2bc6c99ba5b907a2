"""
A Django shop behind gunicorn: real purchases over HTTP, and money counts only where its transaction committed.

    python examples/django_shop.py                600 purchases
    python examples/django_shop.py --quick        150 purchases
    python examples/django_shop.py --limit 6919   all of them

The project stands in ``_django_shop/``: its settings say who bizspan is and which functions say who acts. Orders are
written in transactions; where the card is declined, the order that was already written and told is rolled back. What
arrives at a small OTLP receiver is then compared with the file, and with the shop's own database.

Needs Django and gunicorn (``pip install django gunicorn``).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.util import find_spec
from pathlib import Path

from _collector import Receiver
from _purchases import Purchase, read_purchases
from _reconcile import (
    ACCEPTED,
    CENT,
    DECLINED,
    REFUNDED,
    REFUNDS,
    REVENUE,
    Ledger,
    Source,
    expected,
    print_comparison,
)
from bizspan import names

CLIENTS = 4
BOUND_S = 20.0

# --- its customers --------------------------------------------------------------------------------------------------


def trade(port: int, purchases: list[Purchase]) -> None:
    """Send everybody to the shop, several at a time."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        for done in [clients.submit(buy, port, purchase) for purchase in purchases]:
            done.result()


def buy(port: int, purchase: Purchase) -> None:
    """Buy, try another card where the first is declined, and complain where that is in the file."""
    cart = {"order": purchase.order, "total": str(purchase.total), "card": "good"}
    if purchase.declined_first:
        post(port, purchase, "/checkout", {**cart, "card": "stolen"}, 402)
    post(port, purchase, "/checkout", cart, 200)
    if purchase.refunded != "no":
        share = purchase.total if purchase.refunded == "whole" else purchase.total / 2
        back = {"amount": str(share.quantize(CENT, ROUND_HALF_EVEN))}
        post(port, purchase, f"/orders/{purchase.order}/refund", back, 204)


def post(port: int, purchase: Purchase, path: str, body: Mapping[str, str], wanted: int) -> None:
    """Send one request, and insist on the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
    headers = {"Content-Type": "application/json", "X-Customer": purchase.customer, "CF-IPCountry": "US"}
    connection.request("POST", path, json.dumps(body), headers)
    status = connection.getresponse().status
    connection.close()
    if status != wanted:
        raise RuntimeError(f"{path} of {purchase.order}: {status} instead of {wanted}")


# --- what arrived, and what the shop itself wrote down --------------------------------------------------------------


def from_events(receiver: Receiver) -> Source:
    """The figures of the book: the events, each counted once."""
    ledger: Ledger = Counter()
    for event in {event["attributes"][names.RECORD_UID]: event for event in receiver.events()}.values():
        told = event["attributes"]
        segment, country = str(told[names.SEGMENT]), told[names.COUNTRY]
        if country != "US":
            raise ValueError(f"a request from {country!r}, which nobody sent")
        if event["event_name"] == names.EVENT_REFUND:
            ledger[REFUNDS, segment] += 1
            ledger[REFUNDED, segment] += int(str(told[names.MINOR_UNITS_KEYS[names.REFUND]]))
        elif told[names.OPERATION_NAME] != "checkout":
            continue
        elif told[names.OPERATION_OUTCOME] == names.SUCCESS:
            ledger[ACCEPTED, segment] += 1
            ledger[REVENUE, segment] += int(str(told[names.MINOR_UNITS_KEYS[names.REVENUE]]))
        else:
            ledger[DECLINED, segment] += told[names.OPERATION_REASON] == names.ROLLED_BACK
    return Source("events", ledger, (ACCEPTED, DECLINED, REFUNDS, REVENUE, REFUNDED))


def from_metrics(receiver: Receiver) -> Source:
    """The figures of the fast view: the newest point of every series."""
    ledger: Ledger = Counter()
    for line, metric in ((REVENUE, names.REVENUE), (REFUNDED, names.REFUND)):
        for point in receiver.last_points(metric):
            ledger[line, str(point["attributes"][names.SEGMENT])] += int(Decimal(repr(point["value"])) * 100)
    return Source("metrics", ledger, (REVENUE, REFUNDED))


def from_database(database: Path) -> Source:
    """What the shop sold, as its own tables have it."""
    ledger: Ledger = Counter()
    query = "SELECT segment, total FROM order_placed JOIN customer ON customer_id = customer.number"
    with closing(sqlite3.connect(database)) as connection:
        for segment, total in connection.execute(query):
            ledger[ACCEPTED, segment] += 1
            ledger[REVENUE, segment] += int(Decimal(str(total)).quantize(CENT) * 100)
    return Source("database", ledger, (ACCEPTED, REVENUE))


def run(purchases: list[Purchase]) -> bool:
    """
    Serve the purchases, and compare what arrived with the file.

    Returns:
        Whether everything agrees.
    """
    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver:
        database = Path(folder) / "shop.db"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "BIZSPAN_"))},
            "PYTHONPATH": str(Path(__file__).parent),
            "DJANGO_SETTINGS_MODULE": "_django_shop.settings",
            "SHOP_DATABASE": str(database),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint,
            "OTEL_BSP_MAX_QUEUE_SIZE": "20000",  # months pass in a second, and OpenTelemetry drops the rest
        }
        open_shop(database, environment, purchases)
        with served(environment) as port:
            trade(port, purchases)
        # The server ended, and each of its workers with all that it held.
        sources = (from_events(receiver), from_metrics(receiver), from_database(database))
    return print_comparison(expected(purchases), sources)


def open_shop(database: Path, environment: Mapping[str, str], purchases: list[Purchase]) -> None:
    """Make the tables, and write down who the customers are."""
    migrate = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"]
    subprocess.run(migrate, env=environment, check=True)
    with closing(sqlite3.connect(database)) as connection:
        customers = {(purchase.customer, purchase.segment) for purchase in purchases}
        connection.executemany("INSERT INTO customer (number, segment) VALUES (?, ?)", customers)
        connection.commit()


@contextmanager
def served(environment: Mapping[str, str]) -> Generator[int]:
    """gunicorn with this shop, from when it listens until the block ends; gives its port."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = int(held.getsockname()[1])
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "2"),
            *("--log-level", "warning", "--no-control-socket", "_django_shop.wsgi"),
        ],
        env=environment,
    )
    try:
        deadline = time.monotonic() + BOUND_S
        while not listens(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("gunicorn did not start")
            time.sleep(0.02)
        yield port
        server.terminate()
        server.wait(BOUND_S)
    finally:
        server.kill()
        server.wait()


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


def main() -> int:
    """Return 0 when everything agrees, else 1."""
    parser = argparse.ArgumentParser(description="Serve a Django shop, buy in it, and compare what arrives.")
    parser.add_argument("--limit", type=int, default=600, metavar="N", help="how many purchases; default: 600")
    parser.add_argument("--quick", action="store_true", help="only 150")
    options = parser.parse_args()
    missing = [package for package in ("django", "gunicorn") if find_spec(package) is None]
    if missing:
        print(f"This example needs {' and '.join(missing)}: pip install django gunicorn")
        return 0
    started = time.perf_counter()
    purchases = read_purchases(150 if options.quick else options.limit)
    total = sum((purchase.total for purchase in purchases), Decimal())
    agrees = run(purchases)
    verdict = "Everything agrees" if agrees else "THERE ARE DIFFERENCES"
    print(f"\n{verdict}: {len(purchases):,} purchases of {total:,} USD. {time.perf_counter() - started:.2f} s in all.")
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
