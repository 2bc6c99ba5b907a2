"""The same checkout on Django's own tables; to be imported after ``django.setup()``."""

# pyright: basic, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# Django ships no types.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connection, models, transaction

from tests.bench.applications.telemetry import PRICES


class Product(models.Model):  # type: ignore[misc] # Django ships no types
    """What is sold."""

    sku: Any = models.CharField(max_length=20, primary_key=True)
    price: Any = models.IntegerField()

    class Meta:
        app_label = "bench"


class Order(models.Model):  # type: ignore[misc] # Django ships no types
    """What was bought at once."""

    total: Any = models.IntegerField()

    class Meta:
        app_label = "bench"


class Line(models.Model):  # type: ignore[misc] # Django ships no types
    """One product of an order."""

    order: Any = models.ForeignKey(Order, on_delete=models.CASCADE)
    sku: Any = models.CharField(max_length=20)
    quantity: Any = models.IntegerField()
    price: Any = models.IntegerField()

    class Meta:
        app_label = "bench"


with connection.schema_editor() as editor:
    for table in (Product, Order, Line):
        editor.create_model(table)
Product.objects.bulk_create(Product(sku=sku, price=price) for sku, price in PRICES.items())
connection.close()


def order(cart: Mapping[str, Any]) -> dict[str, int]:
    """Write an order; its number and what it costs, in cents."""
    with transaction.atomic():
        lines = [(Product.objects.get(pk=line["sku"]), line["quantity"]) for line in cart["cart"]]
        placed = Order.objects.create(total=sum(product.price * quantity for product, quantity in lines))
        Line.objects.bulk_create(
            Line(order=placed, sku=product.sku, quantity=quantity, price=product.price) for product, quantity in lines
        )
    return {"order": placed.pk, "total": placed.total}
