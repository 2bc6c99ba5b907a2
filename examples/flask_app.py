"""
A Flask shop with business telemetry.

    python examples/flask_app.py            serves on http://127.0.0.1:5000
    python examples/flask_app.py --check    sends one request to itself, prints the receipt, and ends

Needs Flask (``pip install flask``). Receipts go to standard error.
"""

from __future__ import annotations

import sys

try:
    from flask import Flask, request
except ImportError:
    print("This example needs Flask: pip install flask")
    sys.exit(0)

import bizspan

bizspan.configure(service_name="shop", export="console")
app = Flask(__name__)


@app.post("/checkout")
@bizspan.operation("checkout", revenue=lambda result: (result["total"], "EUR"))
def checkout() -> dict[str, str]:
    """Sell a cart; what is learned on the way is told on the way."""
    cart = request.get_json()
    bizspan.annotate(segment=cart["segment"], order=cart["order"])
    return {"order": cart["order"], "total": cart["total"]}


def check() -> None:
    """Send one request without a server, as Flask's own tests do."""
    cart = {"order": "o-1", "segment": "smb", "total": "42.00"}
    response = app.test_client().post("/checkout", json=cart)
    print(response.status_code, response.get_json())


if __name__ == "__main__":
    if sys.argv[1:] in (["--check"], ["--quick"]):
        check()
    else:
        app.run()
