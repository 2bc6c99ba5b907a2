"""Where the views are."""

# pyright: basic
# Django ships no types.
from __future__ import annotations

from django.urls import path

from _django_shop import views

urlpatterns = [
    path("checkout", views.checkout, name="checkout"),
    path("orders/<order>/refund", views.refund, name="refund"),
]
