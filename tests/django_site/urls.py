"""The views of the project, and where they are."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

import contextlib
import io
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.contrib import auth
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import include, path
from django.views import View
from django.views.decorators.csrf import csrf_exempt

import bizspan
from tests.django_site.models import Order

INNER = "stock.reserved"


@csrf_exempt
def checkout(request: HttpRequest) -> HttpResponse:
    """Sell; see tests/load.py."""
    order = request.body.decode()
    bizspan.annotate(order=order)
    bizspan.event(INNER, order=order)
    return HttpResponse(f"{order} {request.headers.get('X-Segment', '')}", headers={"X-Total": "42.00"})


@csrf_exempt
def stored_checkout(request: HttpRequest) -> HttpResponse:
    """Sell, and write it down."""
    Order.objects.create(number=request.body.decode())
    return checkout(request)


async def checkout_async(request: HttpRequest) -> HttpResponse:
    """Sell, on the event loop."""
    return checkout(request)


setattr(checkout_async, "csrf_exempt", True)  # noqa: B010 - before Django 5.0 the decorator makes it a plain function


class Cart(View):
    """A class-based view."""

    def get(self, request: HttpRequest, number: int) -> HttpResponse:
        """Show it."""
        return HttpResponse(str(number))


def quiet(request: HttpRequest) -> HttpResponse:
    """Nothing happens."""
    return HttpResponse("quiet")


def count(request: HttpRequest) -> HttpResponse:
    """Read the database."""
    return HttpResponse(str(Order.objects.count()))


def greet(request: HttpRequest) -> HttpResponse:
    """Read the user."""
    return HttpResponse(str(request.user.is_authenticated))


def reject(request: HttpRequest) -> HttpResponse:
    """Refuse."""
    return HttpResponse("taken", status=409)


def missing(request: HttpRequest) -> HttpResponse:
    """Not there."""
    raise Http404("no such order")


def denied(request: HttpRequest) -> HttpResponse:
    """Not allowed."""
    raise PermissionDenied


def broken(request: HttpRequest) -> HttpResponse:
    """A bug."""
    raise LookupError("no such bin")


async def broken_async(request: HttpRequest) -> HttpResponse:
    """A bug."""
    raise LookupError("no such bin")


def stored_broken(request: HttpRequest) -> HttpResponse:
    """A bug after something was written."""
    Order.objects.create(number="never")
    raise LookupError("no such bin")


def undo(request: HttpRequest) -> HttpResponse:
    """Take back what was written, and answer all the same, as REST frameworks do."""
    Order.objects.create(number="never")
    transaction.set_rollback(True)
    return HttpResponse("sold")


def undo_a_part(request: HttpRequest) -> HttpResponse:
    """Take back one of two."""
    Order.objects.create(number="kept")
    with transaction.atomic():
        Order.objects.create(number="never")
        transaction.set_rollback(True)
    return HttpResponse("sold")


def fail_a_part(request: HttpRequest) -> HttpResponse:
    """A part that is no savepoint fails, and nothing is left."""
    Order.objects.create(number="never")
    with contextlib.suppress(LookupError), transaction.atomic(savepoint=False):
        raise LookupError
    return HttpResponse("sold")


@transaction.non_atomic_requests
def undo_its_own(request: HttpRequest) -> HttpResponse:
    """Take back what was written in a transaction of the view's, and go on."""
    with transaction.atomic():
        Order.objects.create(number="never")
        transaction.set_rollback(True)
    return HttpResponse("sold")


def sign_up(request: HttpRequest) -> HttpResponse:
    """Log in somebody new."""
    auth.login(request, User.objects.get(username="ada"))
    return HttpResponse("welcome")


async def sign_up_async(request: HttpRequest) -> HttpResponse:
    """Log in somebody new, on the event loop."""
    await auth.alogin(request, await User.objects.aget(username="ada"))
    return HttpResponse("welcome")


def rows(last: str = "row.sent") -> Iterator[bytes]:
    """A body that is made while it is sent."""
    try:
        for number in range(3):
            bizspan.event("row.made", attributes={"number": number})
            yield b"%d\n" % number
    finally:
        bizspan.event(last)


async def rows_async() -> AsyncIterator[bytes]:
    """The same, on the event loop."""
    for part in rows():
        yield part


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Stream."""
    return StreamingHttpResponse(rows())


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    """Stream, on the event loop."""
    return StreamingHttpResponse(rows_async())


def stream_broken(request: HttpRequest) -> StreamingHttpResponse:
    """A body with a bug."""

    def body() -> Iterator[bytes]:
        yield b"0\n"
        raise LookupError("no such row")

    return StreamingHttpResponse(body())


def download(request: HttpRequest) -> FileResponse:
    """A file."""
    return FileResponse(io.BytesIO(b"a,b\n1,2\n"), filename="rows.csv")


def page(request: HttpRequest) -> TemplateResponse:
    """A page that is rendered after the view."""

    def word() -> str:
        bizspan.event("page.rendered")
        return "hello"

    return TemplateResponse(request, engines["django"].from_string("{{ word }}"), {"word": word})


def touch(request: HttpRequest) -> HttpResponse:
    """Begin a session."""
    request.session["seen"] = True
    return HttpResponse("seen")


def learn(request: HttpRequest) -> HttpResponse:
    """Learn late."""
    bizspan.annotate(plan="pro")
    with bizspan.context(channel="app"):
        bizspan.event("feature.used")
    return HttpResponse("learnt")


shop: Any = ([path("cart/<int:number>/", Cart.as_view(), name="cart"), path("reject/", reject, name="reject")], "shop")

urlpatterns = [
    path("checkout", checkout_async if os.environ.get("SITE_ASYNC") else checkout, name="checkout"),
    path("checkout/stored", stored_checkout),
    path("checkout/async", checkout_async, name="checkout-async"),
    path("shop/", include(shop, namespace="store")),
    path("quiet/", quiet, name="quiet"),
    path("count/", count, name="count"),
    path("greet/", greet, name="greet"),
    path("missing/", missing, name="missing"),
    path("denied/", denied, name="denied"),
    path("broken/", broken, name="broken"),
    path("broken/async/", broken_async, name="broken-async"),
    path("broken/stored/", stored_broken, name="stored-broken"),
    path("undo/", undo, name="undo"),
    path("undo/part/", undo_a_part, name="undo-part"),
    path("undo/failed-part/", fail_a_part, name="undo-failed-part"),
    path("undo/own/", undo_its_own, name="undo-own"),
    path("sign-up/", sign_up, name="sign-up"),
    path("sign-up/async/", sign_up_async, name="sign-up-async"),
    path("stream/", stream, name="stream"),
    path("stream/async/", stream_async, name="stream-async"),
    path("stream/broken/", stream_broken, name="stream-broken"),
    path("download/", download, name="download"),
    path("page/", page, name="page"),
    path("touch/", touch, name="touch"),
    path("learn/", learn, name="learn"),
]
