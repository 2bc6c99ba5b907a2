"""
A Flask shop behind gunicorn: real purchases over HTTP, and not a cent is missing at the other end.

    python examples/flask_shop.py                600 purchases
    python examples/flask_shop.py --quick        150 purchases
    python examples/flask_shop.py --limit 6919   all of them

The views know almost nothing of telemetry. Which route is a checkout, what it earned and who bought is told once, in
`create_app`. gunicorn serves it in a process of its own, four clients buy, some cards are declined and some orders are
refunded. What arrives at a small OTLP receiver is then compared with the file.

Needs Flask and gunicorn (``pip install flask gunicorn``).
"""

from __future__ import annotations

import sys
from pathlib import Path

try:
    from flask import Flask, Request, Response, g, request
except ImportError:
    print("This example needs Flask: pip install flask gunicorn")
    sys.exit(0)

import bizspan
from _collector import Receiver
from _customers import from_events, main, served, trade
from _purchases import Purchase, read_purchases
from _reconcile import expected, from_metrics, print_comparison
from bizspan.integrations.flask import Bizspan, Route

# --- the shop -------------------------------------------------------------------------------------------------------


def create_app() -> Flask:
    """The application, as gunicorn loads it."""
    app = Flask("shop")
    segments = {purchase.customer: purchase.segment for purchase in read_purchases()}

    @app.before_request
    def log_in() -> None:
        g.customer = request.headers["X-Customer"]  # a shop of yours has a session

    @app.post("/checkout")
    def checkout() -> tuple[dict[str, str], int]:
        cart = request.get_json()
        bizspan.annotate(order=cart["order"])  # learned late, and yet on the request's span, points and event
        if cart["card"] == "stolen":
            return {"error": "card declined"}, 402
        return {"order": cart["order"], "total": cart["total"]}, 200

    @app.post("/orders/<order>/refund")
    def refund(order: str) -> tuple[str, int]:
        bizspan.refund((request.get_json()["amount"], "USD"), order=order)
        return "", 204

    def who(request: Request) -> dict[str, str]:
        return {"customer": g.customer, "segment": segments[g.customer]}

    def earned(request: Request, response: Response) -> tuple[str, str]:
        return response.get_json()["total"], "USD"

    bizspan.configure(service_name="shop", hash_key="a demo key, known to everyone")
    routes = {"POST /checkout": Route(operation="checkout", revenue=earned)}
    Bizspan(app, routes=routes, resolver=who, country_header="CF-IPCountry", channel="web")
    return app


# --- its server, and what arrived -----------------------------------------------------------------------------------


def run(purchases: list[Purchase]) -> bool:
    """
    Serve the purchases, and compare what arrived with the file.

    Returns:
        Whether everything agrees.
    """
    with Receiver() as receiver:
        with served(gunicorn, receiver) as port:
            trade(port, purchases)
        # The server ended, and each of its workers with all that it held.
        sources = (from_events(receiver, "http_402"), from_metrics(receiver))
    return print_comparison(expected(purchases), sources)


def gunicorn(port: int) -> tuple[str, ...]:
    """gunicorn with this shop."""
    workers = ("--workers", "2", "--threads", "2", "--log-level", "warning", "--no-control-socket")
    here = str(Path(__file__).parent)
    return ("-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *workers, "--chdir", here, "flask_shop:create_app()")


if __name__ == "__main__":
    sys.exit(main(run, "Serve a Flask shop, buy in it, and compare what arrives.", ["gunicorn"]))
