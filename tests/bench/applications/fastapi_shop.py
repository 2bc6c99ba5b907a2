"""The shop on FastAPI."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

from tests.bench.applications.telemetry import COUNTRY_HEADER, OURS, ROUTES, freeze, set_up, total

set_up()
from tests.bench.applications.orders import order  # noqa: E402 - as in an application: telemetry comes first

app = FastAPI()


@app.post("/checkout")
async def checkout(cart: dict[str, Any]) -> dict[str, Any]:
    """Buy."""
    return {"total": total(cart)}


@app.post("/orders")
def orders(cart: dict[str, Any]) -> dict[str, Any]:
    """Buy, with a database."""
    return order(cart)


if OURS:
    from bizspan.integrations.asgi import Bizspan

    app.add_middleware(
        Bizspan,
        routes=ROUTES,
        resolver=lambda request: {"segment": request.headers.get("x-segment")},
        country_header=COUNTRY_HEADER,
    )
FastAPIInstrumentor.instrument_app(app)
freeze()
