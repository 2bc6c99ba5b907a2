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

import sys
from collections import Counter
from decimal import Decimal
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
from _customers import add_checkout, from_events, main, served, trade
from _purchases import Purchase, read_purchases
from _reconcile import ACCEPTED, DECLINED, REVENUE, Ledger, Source, expected, from_metrics, print_comparison
from bizspan.integrations.asgi import Bizspan, Request, Response, Route

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

    @app.post("/orders/{order}/refund", status_code=204)
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


# --- its server, and what arrived -----------------------------------------------------------------------------------


def from_spans(receiver: Receiver) -> Source:
    """The figures of the spans that FastAPI itself opens for requests."""
    ledger: Ledger = Counter()
    for span in receiver.spans("POST /checkout"):
        add_checkout(ledger, span["attributes"], "http_402")
    return Source("spans", ledger, (ACCEPTED, DECLINED, REVENUE))


def run(purchases: list[Purchase]) -> bool:
    """
    Serve the purchases, and compare what arrived with the file.

    Returns:
        Whether everything agrees.
    """
    with Receiver() as receiver:
        with served(uvicorn, receiver) as port:
            trade(port, purchases)
        # The server ended, and each of its workers handed over what it held.
        sources = [from_events(receiver, "http_402"), from_metrics(receiver)]
        if find_spec("fastapi.telemetry") is not None:  # from FastAPI 0.142 on
            sources.append(from_spans(receiver))
    return print_comparison(expected(purchases), sources)


def uvicorn(port: int) -> tuple[str, ...]:
    """uvicorn with this shop."""
    workers = ("--workers", "2", "--log-level", "warning", "--no-access-log")
    here = str(Path(__file__).parent)
    return ("-m", "uvicorn", "--port", str(port), *workers, "--app-dir", here, "--factory", "fastapi_shop:create_app")


if __name__ == "__main__":
    sys.exit(main(run, "Serve a FastAPI shop, buy in it, and compare what arrives.", ["uvicorn"]))
