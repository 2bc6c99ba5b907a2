"""Customers and their orders."""

# pyright: basic
# Django ships no types.
from __future__ import annotations

from django.db import models


class Customer(models.Model):
    """Somebody who buys."""

    number = models.CharField(max_length=20, primary_key=True)
    segment = models.CharField(max_length=20)

    class Meta:
        """The table's name."""

        app_label = "_django_shop"
        db_table = "customer"


class Order(models.Model):
    """What somebody bought."""

    number = models.CharField(max_length=20, primary_key=True)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT)
    total = models.DecimalField(max_digits=10, decimal_places=2)

    class Meta:
        """The table's name."""

        app_label = "_django_shop"
        db_table = "order_placed"
