"""
A FastAPI shop behind uvicorn: real purchases over HTTP, and not a cent is missing at the other end.

    python examples/fastapi_shop.py                600 purchases
    python examples/fastapi_shop.py --quick        150 purchases
    python examples/fastapi_shop.py --limit 6919   all of them

The views know almost nothing of telemetry. Which route is a checkout, what it earned and who bought is told once, to
the middleware. uvicorn serves it with two workers, four clients buy, some cards are declined and some orders are
refunded in the background. What arrives at a small OTLP receiver, FastAPI's own spans among it, is then compared with
the file.

Needs FastAPI and uvicorn (``pip install fastapi uvicorn``).
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
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

try:
    from fastapi import BackgroundTasks, FastAPI, HTTPException
    from pydantic import BaseModel
except ImportError:
    print("This example needs FastAPI: pip install fastapi uvicorn")
    sys.exit(0)

import bizspan
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
    from_metrics,
    print_comparison,
)
from bizspan import names
from bizspan.integrations.asgi import Bizspan, Request, Response, Route

CLIENTS = 4
BOUND_S = 20.0

# --- the shop -------------------------------------------------------------------------------------------------------


class Cart(BaseModel):
    """What the shop's page sends."""

    order: str
    total: Decimal
    card: str


class Complaint(BaseModel):
    """What the service desk sends."""

    amount: Decimal


def create_app() -> FastAPI:
    """The application, as uvicorn loads it."""
    app = FastAPI()
    segments = {purchase.customer: purchase.segment for purchase in read_purchases()}

    @app.post("/checkout")
    async def checkout(cart: Cart) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        bizspan.annotate(order=cart.order)  # learned late, and yet on the request's span, points and event
        if cart.card == "stolen":
            raise HTTPException(402, "card declined")
        return {"order": cart.order, "total": cart.total}

    @app.post("/orders/{order}/refund", status_code=202)
    def refund(order: str, told: Complaint, tasks: BackgroundTasks) -> None:  # pyright: ignore[reportUnusedFunction]
        tasks.add_task(bizspan.refund, told.amount, "USD", order=order)

    def who(request: Request) -> dict[str, str]:
        customer = request.headers["X-Customer"]  # a shop of yours has a session, or a token
        return {"customer": customer, "segment": segments[customer]}

    def earned(request: Request, response: Response) -> tuple[str, str]:
        return response.json()["total"], "USD"

    bizspan.configure(service_name="shop", hash_key="a demo key, known to everyone")
    app.add_middleware(
        Bizspan,
        routes={"POST /checkout": Route(operation="checkout", revenue=earned)},
        resolver=who,
        country_header="CF-IPCountry",
        channel="web",
    )
    return app


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
        post(port, purchase, f"/orders/{purchase.order}/refund", back, 202)


def post(port: int, purchase: Purchase, path: str, body: Mapping[str, str], wanted: int) -> None:
    """Send one request, and insist on the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
    headers = {"Content-Type": "application/json", "X-Customer": purchase.customer, "CF-IPCountry": "US"}
    connection.request("POST", path, json.dumps(body), headers)
    status = connection.getresponse().status
    connection.close()
    if status != wanted:
        raise RuntimeError(f"{path} of {purchase.order}: {status} instead of {wanted}")


# --- what arrived ---------------------------------------------------------------------------------------------------


def from_events(receiver: Receiver) -> Source:
    """The figures of the book: the events, each counted once."""
    ledger: Ledger = Counter()
    events = {event["attributes"].get(names.RECORD_UID): event for event in receiver.events()}
    events.pop(None, None)  # FastAPI's own log records
    for event in events.values():
        told = event["attributes"]
        if (told["geo.country.iso_code"], told["business.channel"]) != ("US", "web"):
            raise ValueError("a request which nobody sent")
        if event["event_name"] == names.EVENT_REFUND:
            segment = str(told[names.SEGMENT])
            ledger[REFUNDS, segment] += 1
            ledger[REFUNDED, segment] += int(str(told[names.MINOR_UNITS_KEYS[names.REFUND]]))
        else:
            add_checkout(ledger, told)
    return Source("events", ledger, (ACCEPTED, DECLINED, REFUNDS, REVENUE, REFUNDED))


def from_spans(receiver: Receiver) -> Source:
    """The same from the spans that FastAPI itself opens for requests."""
    ledger: Ledger = Counter()
    for span in receiver.spans("POST /checkout"):
        add_checkout(ledger, span["attributes"])
    return Source("spans", ledger, (ACCEPTED, DECLINED, REVENUE))


def add_checkout(ledger: Ledger, told: Mapping[str, Any]) -> None:
    """Add one checkout to the figures."""
    segment = str(told[names.SEGMENT])
    if told[names.OPERATION_OUTCOME] == names.SUCCESS:
        ledger[ACCEPTED, segment] += 1
        ledger[REVENUE, segment] += int(told[names.MINOR_UNITS_KEYS[names.REVENUE]])
    else:
        ledger[DECLINED, segment] += told[names.OPERATION_REASON] == "http_402"


def run(purchases: list[Purchase]) -> bool:
    """
    Serve the purchases, and compare what arrived with the file.

    Returns:
        Whether everything agrees.
    """
    with Receiver() as receiver:
        with served(receiver) as port:
            trade(port, purchases)
        # The server ended, and each of its workers handed over what it held.
        sources = (from_events(receiver), from_metrics(receiver), from_spans(receiver))
    return print_comparison(expected(purchases), sources)


@contextmanager
def served(receiver: Receiver) -> Generator[int]:
    """uvicorn with this shop, from when it listens until the block ends; gives its port."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = int(held.getsockname()[1])
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "uvicorn", "--port", str(port), "--workers", "2", "--log-level", "warning"),
            *("--no-access-log", "--app-dir", str(Path(__file__).parent), "--factory", "fastapi_shop:create_app"),
        ],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "FASTAPI_"))},
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint,
            "OTEL_BSP_MAX_QUEUE_SIZE": "20000",  # a day's purchases pass in a second, and OpenTelemetry drops the rest
        },
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + BOUND_S
        while not listens(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("uvicorn did not start")
            time.sleep(0.02)
        yield port
        server.terminate()
        server.wait(BOUND_S)
    finally:
        with suppress(ProcessLookupError):  # it ended, and its workers before it
            os.killpg(server.pid, signal.SIGKILL)
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
    parser = argparse.ArgumentParser(description="Serve a FastAPI shop, buy in it, and compare what arrives.")
    parser.add_argument("--limit", type=int, default=600, metavar="N", help="how many purchases; default: 600")
    parser.add_argument("--quick", action="store_true", help="only 150")
    options = parser.parse_args()
    if find_spec("uvicorn") is None:
        print("This example needs uvicorn: pip install uvicorn")
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
