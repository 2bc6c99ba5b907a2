"""
A FastAPI shop with business telemetry.

    fastapi dev examples/fastapi_app.py       serves on http://127.0.0.1:8000
    python examples/fastapi_app.py --check    sends one request to itself, prints the receipt, and ends

Needs FastAPI (``pip install "fastapi[standard]"``); the check needs ``httpx2`` too. Receipts go to
standard error.
"""

from __future__ import annotations

import sys

try:
    from fastapi import FastAPI
    from pydantic import BaseModel
except ImportError:
    print('This example needs FastAPI: pip install "fastapi[standard]"')
    sys.exit(0)

import bizspan

bizspan.configure(service_name="shop", export="console")
app = FastAPI()


class Cart(BaseModel):
    """What the shop's page sends."""

    order: str
    segment: str
    total: str


@app.post("/checkout")
@bizspan.operation(
    "checkout",
    order=lambda cart: cart.order,
    segment=lambda cart: cart.segment,
    revenue=lambda cart: (cart.total, "EUR"),
)
async def checkout(cart: Cart) -> dict[str, str]:
    """Sell a cart."""
    return {"order": cart.order, "total": cart.total}


def check() -> None:
    """Send one request without a server, as FastAPI's own tests do."""
    try:
        from fastapi.testclient import TestClient
    except (ImportError, RuntimeError):  # starlette says so with a RuntimeError
        print("The check needs a test client: pip install httpx2")
        return
    cart = {"order": "o-1", "segment": "smb", "total": "42.00"}
    response = TestClient(app).post("/checkout", json=cart)
    print(response.status_code, response.json())


if __name__ == "__main__":
    if sys.argv[1:] in (["--check"], ["--quick"]):
        check()
    else:
        print("Serve it: fastapi dev examples/fastapi_app.py")
