"""Who acts in a request of Django, and what its session remembers."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

from collections.abc import Callable, Generator
from importlib.util import find_spec
from typing import Any

import pytest

if find_spec("django") is None:
    pytest.skip("needs Django", allow_module_level=True)

from tests.django_site import started

# isort: split
# Models can be imported once a project has started.
import django
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client

from bizspan import names
from bizspan.testing import capture
from tests.django_site import telemetry, urls
from tests.django_site.models import Order
from tests.django_site.visits import (
    BOTH,
    ROUTES,
    SINCE_5,
    TELEMETRY,
    atomic_requests,
    buy,
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


# --- who ------------------------------------------------------------------------------------------------------------


@BOTH
def test_the_resolver_is_asked_once(way: str) -> None:
    """
    An operation, an event and a span in one request need the facts, and there is one question.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured, instrumented(captured):
        buy(way)

    assert 1 == len(telemetry.asked)


@BOTH
def test_nobody_is_asked_in_a_transaction_of_the_view(way: str) -> None:
    """
    A query of the resolver that fails would break it, so the question comes before ATOMIC_REQUESTS begins one.
    """
    asked: list[bool] = []

    def who(request: Any) -> dict[str, str]:
        asked.append(connection.in_atomic_block)
        return {"segment": "s1"}

    with site(ROUTES={"/checkout/stored": "checkout"}, RESOLVER=who), atomic_requests(), capture() as captured:
        client(way).post("/checkout/stored", data="o-asked", content_type="text/plain")

        assert 1 == len(captured.events(urls.INNER, segment="s1"))
    assert [False] == asked
    Order.objects.all().delete()


@BOTH
@pytest.mark.parametrize("resolver", ["by_user", pytest.param("by_user_async", marks=SINCE_5)])
def test_the_resolver_reads_the_user_from_the_database(way: str, resolver: str) -> None:
    """
    Plain and async resolvers reach the user behind WSGI and ASGI, where the event loop allows no database.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.{resolver}"), capture() as captured:
        browser = client(way)
        browser.force_login(User.objects.get(username="ada"))
        path = "/checkout/async" if way == "asgi" else "/checkout"
        browser.post(path, data="o-1", content_type="text/plain")

        (event,) = captured.events(urls.INNER, segment="gold")
        assert event.attributes[names.CUSTOMER] not in (None, "ada")
        assert 1 == len(captured.operations("checkout", segment="gold", customer="ada"))


def test_an_async_view_under_wsgi_gets_the_facts() -> None:
    """
    Django runs it on an event loop of its own, where the resolver could not use the database.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.by_user"), capture() as captured:
        browser = Client()
        browser.force_login(User.objects.get(username="ada"))
        browser.post("/checkout/async", data="o-1", content_type="text/plain")

        assert 1 == len(captured.events(urls.INNER, segment="gold"))


def test_the_user_is_loaded_once_where_queries_are_traced() -> None:
    """
    A span of the query that loads the user does not make the resolver load it again.
    """
    queries: list[str] = []

    def traced(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        queries.append(sql)
        with captured._memory.tracer_provider.get_tracer("database").start_as_current_span("SELECT"):
            return execute(sql, *rest)

    with site(RESOLVER=f"{TELEMETRY}.by_user"), capture() as captured:
        browser = Client()
        browser.force_login(User.objects.get(username="ada"))
        with instrumented(captured), connection.execute_wrapper(traced):
            assert b"True" == browser.get("/greet/").content

        assert 2 == len(queries), queries  # the session and the user
        assert ["gold"] == [span.attributes[names.SEGMENT] for span in served(captured)]


@BOTH
@pytest.mark.parametrize("resolver", ["broken", "broken_async"])
def test_a_resolver_that_raises_harms_nobody(way: str, resolver: str) -> None:
    """
    The answer is the view's, the operation is recorded, and the failure is counted.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.{resolver}"), capture() as captured:
        captured.allow("extractor_failed")

        assert 200 == buy(way).status_code
        [operation] = captured.operations("checkout", outcome="success", order="o-1")
        assert ("resolver:extractor_failed",) == operation.attributes[names.NOTES]
        assert 1 == captured._pipeline.accounts.values_refused.values()["extractor_failed"]


@BOTH
@pytest.mark.parametrize("resolver", ["by_user", pytest.param("by_user_async", marks=SINCE_5)])
def test_who_logs_in_during_the_request_is_its_customer(way: str, resolver: str) -> None:
    """
    A signup is the operation of the customer that it made, although nobody was there when it began.
    """
    if way == "asgi" and django.VERSION < (5, 0):
        pytest.skip("alogin() came with Django 5.0")
    path = "/sign-up/async/" if way == "asgi" else "/sign-up/"
    routes = {"sign-up": "signup", "sign-up-async": "signup"}
    with site(ROUTES=routes, RESOLVER=f"{TELEMETRY}.{resolver}"), capture() as captured:
        with instrumented(captured):
            client(way).get(path)

        assert 1 == len(captured.operations("signup", segment="gold", customer="ada"))
        assert ["gold"] == [span.attributes[names.SEGMENT] for span in served(captured)]


@BOTH
def test_staff_is_told_by_the_user(way: str) -> None:
    """
    The predicate sees who is logged in; the traffic of others is nobody's but a customer's.
    """
    with site(ROUTES={"quiet": "quiet"}, STAFF=f"{TELEMETRY}.is_staff"), capture() as captured:
        for name in ("ada", "root"):
            browser = client(way)
            browser.force_login(User.objects.get(username=name))
            browser.get("/quiet/")

        assert [None, "staff"] == [
            operation.attributes.get(names.TRAFFIC) for operation in captured.operations("quiet")
        ]


def test_one_function_replaces_everything() -> None:
    """
    FACTS gives every fact, and no other option is asked.
    """
    options = {"FACTS": f"{TELEMETRY}.by_header", "CHANNEL": "web", "ROUTES": ROUTES}
    with site(**options), capture() as captured:
        buy("wsgi")

        (operation,) = captured.operations("checkout", segment="s1")
        assert names.CHANNEL not in operation.attributes


# --- the session -----------------------------------------------------------------------------------------------------


@BOTH
def test_a_campaign_is_kept_in_the_session_that_the_application_has(way: str) -> None:
    """
    Who came by a campaign and has a session buys by it in a later request.
    """
    with site(ROUTES={"quiet": "quiet"}), capture() as captured:
        browser = client(way)
        browser.get("/touch/?utm_campaign=summer&utm_source=news")
        browser.get("/quiet/")

        assert 1 == len(captured.operations("quiet", campaign="summer", campaign_source="news"))


@pytest.mark.parametrize(("campaign", "remembered"), [("first", "summer"), ("last", "autumn")])
def test_the_first_or_the_last_touch_counts(campaign: str, remembered: str) -> None:
    """
    As CAMPAIGN says.
    """
    with site(ROUTES={"quiet": "quiet"}, CAMPAIGN=campaign), capture() as captured:
        browser = Client()
        browser.get("/touch/?utm_campaign=summer")
        browser.get("/touch/?utm_campaign=autumn")
        browser.get("/quiet/")

        assert 1 == len(captured.operations("quiet", campaign=remembered))


@BOTH
def test_no_session_is_made_for_a_visitor(way: str) -> None:
    """
    A campaign counts for its own request; no session, no cookie and no `Vary` come of it.
    """
    before = Session.objects.count()
    with site(ROUTES={"quiet": "quiet"}), capture() as captured:
        response = client(way).get("/quiet/?utm_campaign=summer")

        assert 1 == len(captured.operations("quiet", campaign="summer"))
    assert (before, "", {}) == (Session.objects.count(), response.headers.get("Vary", ""), dict(response.cookies))


@BOTH
def test_reading_the_session_does_not_make_an_answer_vary(way: str) -> None:
    """
    A shared cache may keep a page that does not depend on who asks, also for visitors with a session.
    """
    with site(ROUTES={"quiet": "quiet"}, SESSION=True), capture() as captured:
        browser = client(way)
        browser.get("/touch/?utm_campaign=summer")
        response = browser.get("/quiet/", headers={"User-Agent": "Googlebot/2.1"})

        (operation,) = captured.operations("quiet", campaign="summer", traffic="bot")
        session = operation.attributes[names.SESSION]
    assert browser.cookies[settings.SESSION_COOKIE_NAME].value != session
    assert {"Vary"}.isdisjoint(dict(response.items()))
