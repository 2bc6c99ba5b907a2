"""
A Django shop in one file, with business telemetry.

    python examples/django_app.py runserver    serves on http://127.0.0.1:8000
    python examples/django_app.py --check      sends one request to itself, prints the receipt, and ends

Needs Django (``pip install django``). In a project of several files, `configure()` stands in ``settings.py``.
Receipts go to standard error.
"""

from __future__ import annotations

# pyright: basic
# Django ships no types.
import json
import sys
from typing import Any

try:
    import django
    from django.conf import settings
    from django.core.management import execute_from_command_line
    from django.http import HttpRequest, JsonResponse
    from django.test import Client
    from django.urls import path
except ImportError:
    print("This example needs Django: pip install django")
    sys.exit(0)

import bizspan

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="known to everyone",
    DEBUG=True,
    ALLOWED_HOSTS=["localhost", "testserver"],
)
bizspan.configure(service_name="shop", export="console")


def checkout(request: HttpRequest) -> JsonResponse:
    """Sell a cart."""
    cart = json.loads(request.body)
    with bizspan.operation("checkout", segment=cart["segment"], order=cart["order"]) as op:
        op.revenue(cart["total"], "EUR")
        return JsonResponse({"order": cart["order"], "total": cart["total"]})


urlpatterns = [path("checkout", checkout)]


def check() -> None:
    """Send one request without a server, as Django's own tests do."""
    cart = {"order": "o-1", "segment": "smb", "total": "42.00"}
    response: Any = Client().post("/checkout", data=cart, content_type="application/json")
    print(response.status_code, response.json())


if __name__ == "__main__":
    django.setup()
    if sys.argv[1:] in (["--check"], ["--quick"]):
        check()
    else:
        execute_from_command_line(sys.argv)
