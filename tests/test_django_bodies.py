"""Bodies of Django's answers, which are made after the view, and requests that are hostile."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

import asyncio
import gc
from collections.abc import Generator
from importlib.util import find_spec

import pytest

if find_spec("django") is None:
    pytest.skip("needs Django", allow_module_level=True)

from tests.django_site import started

# isort: split
# Models can be imported once a project has started.
import django
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished
from django.http import StreamingHttpResponse
from django.test import Client, RequestFactory

from bizspan import names
from bizspan.integrations.django import Middleware
from bizspan.testing import capture
from tests.django_site.visits import (
    BOTH,
    TELEMETRY,
    body_of,
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


# --- bodies -----------------------------------------------------------------------------------------------------------


@BOTH
def test_a_streaming_body_runs_in_the_scope_of_its_request(way: str) -> None:
    """
    What is told while the body is sent carries the request's facts; the operation ends with the last byte.
    """
    path = "/stream/async/" if way == "asgi" else "/stream/"
    with site(ROUTES={path: "export"}, RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured:
        response = client(way).get(path, headers={"X-Segment": "s1"})
        assert [] == captured.operations()

        assert b"0\n1\n2\n" == body_of(response)
        response.close()
        (operation,) = captured.operations("export", outcome="success", segment="s1")
        told = captured.events(segment="s1")
        assert ["row.made", "row.made", "row.made", "row.sent"] == [event.name for event in told]
        assert {operation.attributes[names.OPERATION_ID]} == {e.attributes[names.OPERATION_ID] for e in told}


def test_a_body_with_a_bug_has_failed() -> None:
    """
    The exception reaches the server, and the operation has failed.
    """
    with site(ROUTES={"stream-broken": "export"}), capture() as captured:
        response = Client().get("/stream/broken/")
        with pytest.raises(LookupError, match="no such row"):
            body_of(response)
        response.close()

        (operation,) = captured.operations("export", outcome="failed")
        assert "LookupError" == operation.attributes[names.ERROR_TYPE]


@pytest.mark.parametrize("parts", [0, 1])
def test_a_body_that_is_not_read_to_its_end_ends_with_the_response(parts: int) -> None:
    """
    A server closes the response of a client that left; what the body tells then is told in the request's scope.
    """
    with site(ROUTES={"stream": "export"}, RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured:
        response = Client().get("/stream/", headers={"X-Segment": "s1"})
        content = iter(response.streaming_content)
        for _ in range(parts):
            next(content)
        response.close()

        outcome = ("success", None) if parts == 0 else ("cancelled", "client_disconnected")
        assert [outcome] == [(told.outcome, told.reason) for told in captured.operations("export", segment="s1")]
        assert parts == len(captured.events("row.sent", segment="s1"))


def test_a_response_that_another_one_replaced_ends_its_request() -> None:
    """
    A middleware further out may answer 304 in place of a body, which nobody then closes.
    """
    with site(ROUTES={"/x": "export"}), capture() as captured:
        Middleware(lambda request: StreamingHttpResponse(iter([b"x"])))(RequestFactory().get("/x"))
        gc.collect()

        assert 1 == len(captured.operations("export"))


@pytest.mark.skipif(django.VERSION < (5, 0), reason="Django 4.2 sends on to a client that hung up")
def test_a_client_that_leaves_a_stream_under_asgi_ends_it() -> None:
    """
    Django closes the response of a client that hung up; the clean-up of its body still is in the request.
    """
    options = {"ROUTES": {"stream-async": "export"}, "RESOLVER": f"{TELEMETRY}.by_header"}
    with site(**options), capture() as captured:
        app = ASGIHandler()
        sent = asyncio.run(call(app, "/stream/async/", headers=[(b"x-segment", b"s1")], leave_after=2))

        assert b"0\n" == sent[1]["body"]
        (operation,) = captured.operations("export", segment="s1")
        assert ("cancelled", "client_disconnected") == (operation.outcome, operation.reason)
        assert 1 == len(captured.events("row.sent", segment="s1"))


def test_files_stay_the_servers_to_send() -> None:
    """
    A server with sendfile finds the file, closing the response closes it, and the operation is the view's.
    """
    with site(ROUTES={"download": "download"}), capture() as captured:
        with instrumented(captured):
            handler = WSGIHandler()
            # Not by a test client: it reads the body in its own way.
            response = handler.get_response(RequestFactory().get("/download/"))

        file = response.file_to_stream
        assert 1 == len(captured.operations("download", outcome="success"))
        assert b"a,b\n1,2\n" == b"".join(response.streaming_content)
        response.close()
        assert file.closed
        assert ["success"] == [span.attributes[names.OPERATION_OUTCOME] for span in served(captured)]


@BOTH
def test_a_page_that_is_rendered_late_is_part_of_its_request(way: str) -> None:
    """
    What a template tells is told in the request's scope and operation.
    """
    with site(ROUTES={"page": "page"}, RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured:
        assert b"hello" == client(way).get("/page/", headers={"X-Segment": "s1"}).content

        (operation,) = captured.operations("page")
        (event,) = captured.events("page.rendered", segment="s1")
        assert event.attributes[names.OPERATION_ID] == operation.attributes[names.OPERATION_ID]


@pytest.mark.parametrize("path", ["/quiet/", "/stream/", "/download/"])
def test_the_request_is_finished_once(path: str) -> None:
    """
    Django's signal comes once, when the response is closed.
    """
    times: list[object] = []

    def finished(**about: object) -> None:
        times.append(about["sender"])

    with site(), capture():
        response = Client().get(path)
        if response.streaming:
            b"".join(response.streaming_content)
        times.clear()
        request_finished.connect(finished)
        try:
            response.close()
        finally:
            request_finished.disconnect(finished)
        assert 1 == len(times)


# --- hostile requests -------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "query",
    [
        "utm_campaign=%ff%fe%00&utm_source=%0d%0a",
        "utm_campaign=" + "x" * 100_000,
        "&".join(f"utm_campaign={number}" for number in range(5_000)),
        "utm_campaign[]=1&=&&&%",
    ],
    ids=["bytes", "long", "many", "broken"],
)
def test_a_hostile_query_is_answered_and_bounded(way: str, query: str) -> None:
    """
    Whatever stands in the address, the answer is the view's, and what is recorded is short text without control.
    """
    with site(ROUTES={"quiet": "quiet"}, COUNTRY_HEADER="CF-IPCountry"), capture(check=False) as captured:
        headers = {"CF-IPCountry": "T1", "User-Agent": "bot" * 300_000, "X-Forwarded-For": "1" * 100_000}
        assert 200 == client(way).get(f"/quiet/?{query}", headers=headers).status_code

        (operation,) = captured.operations("quiet")
        assert names.COUNTRY not in operation.attributes
        campaign = operation.attributes.get(names.CAMPAIGN, "")
        assert len(campaign) <= 256
        assert campaign.isprintable()
