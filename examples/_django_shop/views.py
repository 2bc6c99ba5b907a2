"""Selling, and giving money back."""

# pyright: basic, reportGeneralTypeIssues=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# Django ships no types.
from __future__ import annotations

import json
from decimal import Decimal

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

import bizspan
from _django_shop.models import Order


class CardDeclined(Exception):  # noqa: N818 - named like what happened
    """The bank says no."""


@csrf_exempt
def checkout(request: HttpRequest) -> JsonResponse:
    """Sell a cart, or nothing at all."""
    cart = json.loads(request.body)
    try:
        with transaction.atomic():
            order = place(cart["order"], request.headers["X-Customer"], Decimal(cart["total"]))
            charge(cart["card"])  # may refuse, and then the order was never placed
    except CardDeclined:
        return JsonResponse({"error": "card declined"}, status=402)
    return JsonResponse({"order": order.number, "total": str(order.total)})


@bizspan.operation("checkout", order=lambda number: number, revenue=lambda result: (result.total, "USD"))
def place(number: str, customer: str, total: Decimal) -> Order:
    """Write the order down."""
    return Order.objects.create(number=number, customer_id=customer, total=total)


def charge(card: str) -> None:
    """Ask the bank."""
    if card == "stolen":
        raise CardDeclined


@csrf_exempt
def refund(request: HttpRequest, order: str) -> HttpResponse:
    """Give money back."""
    with transaction.atomic():
        Order.objects.select_for_update().get(number=order)
        bizspan.refund((json.loads(request.body)["amount"], "USD"), order=order)
    return HttpResponse(status=204)
