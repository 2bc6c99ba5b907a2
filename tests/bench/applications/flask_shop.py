"""The shop on Flask."""

from __future__ import annotations

from typing import Any

from flask import Flask, request
from opentelemetry.instrumentation.flask import FlaskInstrumentor

from tests.bench.applications.telemetry import COUNTRY_HEADER, OURS, ROUTES, freeze, set_up, total

set_up()
from tests.bench.applications.orders import order  # noqa: E402 - as in an application: telemetry comes first

app = Flask(__name__)


@app.post("/checkout")
def checkout() -> dict[str, Any]:
    """Buy."""
    return {"total": total(request.get_json())}


@app.post("/orders")
def orders() -> dict[str, Any]:
    """Buy, with a database."""
    return order(request.get_json())


instrumentor: Any = FlaskInstrumentor()
instrumentor.instrument_app(app)
if OURS:
    from bizspan.integrations.flask import Bizspan

    Bizspan(
        app,
        routes=ROUTES,
        resolver=lambda request: {"segment": request.environ.get("HTTP_X_SEGMENT")},
        country_header=COUNTRY_HEADER,
    )
freeze()
