"""Django's requests as operations, with their facts on every signal: WSGI and ASGI, with OpenTelemetry and without."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from importlib.util import find_spec
from typing import Any

import pytest

if find_spec("django") is None:
    pytest.skip("needs Django", allow_module_level=True)

from tests.django_site import started

# isort: split
# Models can be imported once a project has started.
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

import bizspan
from bizspan import _active, names
from bizspan.integrations.django import Middleware
from bizspan.testing import capture
from tests.django_site import telemetry, urls
from tests.django_site.visits import (
    BOTH,
    ROUTES,
    TELEMETRY,
    buy,
    call,
    client,
    instrumented,
    nothing_left,
    served,
    site,
)

assert started


@pytest.fixture(autouse=True)
def nothing_is_left() -> Generator[None]:
    """No request stays the scope of the thread that served it."""
    with nothing_left():
        yield


# --- a request is an operation ----------------------------------------------------------------------------------------


@BOTH
def test_a_request_is_an_operation_by_the_name_of_its_view(way: str) -> None:
    """
    An unchanged view becomes an operation with revenue and the resolver's facts, and so does what is told in it.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured:
        assert b"o-1 s1" == buy(way).content

        assert 1 == len(captured.operations("checkout", outcome="success", segment="s1", order="o-1"))
        assert 1 == len(captured.events(urls.INNER, segment="s1", order="o-1"))
        assert bizspan.Money("42.00", "EUR") == captured.revenue("EUR", segment="s1")
        captured.assert_consistent()


@BOTH
@pytest.mark.parametrize("trusted", [["/checkout*"], False])
def test_facts_of_another_service_are_taken_where_it_is_trusted(way: str, trusted: Any) -> None:
    """
    Declared ones of the header; below what the site itself knows.
    """
    shop = bizspan.Vocabulary("shop", propagate=["segment", "plan"])
    header = "business.plan=pro,business.customer.segment=theirs,business.order.id=o-2"
    with (
        site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.by_header", TRUST_BAGGAGE=trusted),
        capture(vocabulary=shop, check=False) as captured,
    ):
        client(way).post(
            "/checkout", data="o-1", headers={"X-Segment": "s1", "baggage": header}, content_type="text/plain"
        )

        (event,) = captured.operations("checkout", segment="s1", order="o-1")
        assert ("pro" if trusted else None) == event.attributes.get(names.PLAN)


@BOTH
def test_a_middleware_that_is_listed_twice_counts_once(way: str) -> None:
    """
    Checks run with `manage.py`, not in a server: revenue must be right there too.
    """
    twice = [*settings.MIDDLEWARE, "bizspan.integrations.django.Middleware"]
    with site(ROUTES=ROUTES), override_settings(MIDDLEWARE=twice), capture() as captured:
        buy(way)

        assert 1 == len(captured.operations("checkout"))
        assert bizspan.Money("42.00", "EUR") == captured.revenue("EUR")


@pytest.mark.parametrize(
    "key",
    [
        "checkout",
        "POST checkout",
        "/checkout",
        "POST /checkout",
        "tests.django_site.urls.checkout",
    ],
)
def test_a_route_is_named_as_django_or_the_address_has_it(key: str) -> None:
    """
    The view's name, its dotted path, and the address, each with and without a method, find the request.
    """
    with site(ROUTES={key: "checkout"}), capture() as captured:
        buy("wsgi")

        assert 1 == len(captured.operations("checkout"))


@pytest.mark.parametrize(
    "key", ["store:cart", "shop:cart", "/shop/cart/<int:number>/", "/shop/cart/{n}/", "tests.django_site.urls.Cart"]
)
def test_a_class_based_view_in_a_namespace_is_found(key: str) -> None:
    """
    By its namespace of the instance or of the application, by its template of the path, and by its class.
    """
    with site(ROUTES={key: "cart.show"}), capture() as captured:
        Client().get("/shop/cart/7/")

        assert 1 == len(captured.operations("cart.show"))


@BOTH
def test_all_signals_of_a_request_carry_its_facts(way: str) -> None:
    """
    The entry span, the spans of others inside, the inner event and the metric points have the resolver's segment.
    """

    def traced(execute: Callable[..., Any], *query: Any) -> Any:
        with captured._memory.tracer_provider.get_tracer("database").start_as_current_span("SELECT"):
            return execute(*query)

    with site(ROUTES={"count": "count"}, RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured:
        with instrumented(captured), connection.execute_wrapper(traced):
            client(way).get("/count/", headers={"X-Segment": "s1"})

        (entry,) = served(captured)
        assert "count" == entry.attributes[names.OPERATION_NAME]
        assert ["s1"] == [span.attributes[names.SEGMENT] for span in captured.spans("SELECT")]
        assert "s1" == entry.attributes[names.SEGMENT]
        assert 1 == captured.metric(names.METRIC_DURATION, segment="s1")
        captured.assert_consistent()


@BOTH
def test_what_is_learned_late_lands_on_the_entry_span(way: str) -> None:
    """
    `annotate()` in a view, and an inner `context()`, reach the entry span and the request's operation.
    """
    with site(ROUTES={"learn": "learn"}), capture() as captured:
        with instrumented(captured):
            client(way).get("/learn/")

        (entry,) = served(captured)
        assert ("pro", "app") == (entry.attributes[names.PLAN], entry.attributes[names.CHANNEL])
        assert 1 == len(captured.operations("learn", plan="pro", channel="app"))
        assert 1 == captured.metric(names.METRIC_DURATION, plan="pro", channel="app")
        captured.assert_consistent()


def test_asgi_instrumentation_around_the_application_makes_the_entry_span() -> None:
    """
    The span that wraps the whole of Django gets the facts as well.
    """
    with site(RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured:
        app = OpenTelemetryMiddleware(ASGIHandler(), tracer_provider=captured._memory.tracer_provider)

        asyncio.run(call(app, "/quiet/", headers=[(b"x-segment", b"s1")]))

        assert ["s1"] == [span.attributes[names.SEGMENT] for span in served(captured)]


def test_a_request_that_nobody_samples_is_counted_all_the_same() -> None:
    """
    Without a recorded span the operation, the event and the points are complete.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.by_header"), capture(sampled=False) as captured:
        with instrumented(captured):
            buy("wsgi")

        assert [] == captured.spans()
        assert 1 == captured.metric(names.METRIC_DURATION, segment="s1")
        assert 1 == len(captured.events(urls.INNER, segment="s1"))


@BOTH
def test_a_request_while_nothing_is_configured_is_left_alone(way: str) -> None:
    """
    The answer is the view's, and nobody is asked for facts.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.by_header"):
        assert _active.pipeline() is None

        assert b"o-1 s1" == buy(way).content
    assert [] == telemetry.asked


def test_excluded_paths_are_left_alone() -> None:
    """
    What EXCLUDE names is no operation and asks nobody.
    """
    with site(ROUTES={"quiet": "quiet"}, RESOLVER=f"{TELEMETRY}.by_header", EXCLUDE=["/qui*"]), capture() as captured:
        Client().get("/quiet/")

        assert [] == captured.operations()
    assert [] == telemetry.asked


def test_a_view_without_the_middleware_works() -> None:
    """
    A request of RequestFactory that is handed to a view has no visit, and its events are told.
    """
    with site(), capture() as captured:
        captured.allow("no_target")  # there is no operation to annotate
        request = RequestFactory().post("/checkout", data="o-1", content_type="text/plain")

        assert 200 == urls.checkout(request).status_code
        assert 1 == len(captured.events(urls.INNER, order="o-1"))


def test_the_middleware_works_by_itself() -> None:
    """
    Called with a request of RequestFactory, outside of Django's handler, it answers and records.
    """
    with site(ROUTES={"/anything": "anything"}), capture() as captured:
        response = Middleware(lambda request: HttpResponse("ok"))(RequestFactory().get("/anything"))

        assert b"ok" == response.content
        assert 1 == len(captured.operations("anything"))
