"""Who acts: asked once per request, when something in it first needs to know."""

# pyright: basic, reportAttributeAccessIssue=false, reportIndexIssue=false
# Django ships no types.
from __future__ import annotations

from django.http import HttpRequest

from _django_shop.models import Customer


def who(request: HttpRequest) -> dict[str, str]:
    """The customer of a request; in a shop of yours that is `request.user`."""
    customer = Customer.objects.get(number=request.headers["X-Customer"])
    return {"customer": customer.number, "segment": customer.segment}
