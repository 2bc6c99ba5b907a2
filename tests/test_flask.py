"""Flask: who, where from and which operation each request is, on everything that it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("flask")

from flask import Blueprint, Flask, Request, g
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import bizspan
from bizspan import _guard, names
from bizspan.integrations.flask import Bizspan, Route
from bizspan.testing import capture
from tests.flask_shops import COUNTRY, GOLD, ORDERS, PLAN, TRACE, exported, nothing_left, shop, told, with_opentelemetry
from tests.providers import Application, joined, points, reader, take


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """See `nothing_left`."""
    with nothing_left():
        yield


@pytest.fixture
def memory() -> InMemoryMetricReader:
    """The application's metric reader."""
    return reader()


@pytest.fixture
def application(memory: InMemoryMetricReader) -> Iterator[Application]:
    """An application's providers, joined."""
    with joined(memory, export="otlp") as running:
        yield running


# --- on what it all is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_a_request_has_its_facts_on_everything(
    application: Application, memory: InMemoryMetricReader, order: str
) -> None:
    """
    On its own span, spans of others, events and points, whichever of the two instrumentations came first.
    """
    app = with_opentelemetry(application, order)

    @app.post("/checkout")
    def checkout() -> str:
        with application.tracer_provider.get_tracer("db").start_as_current_span("db"):
            bizspan.event("reserved")
        return "sold"

    answer = app.test_client().post("/checkout", headers=GOLD)
    take()
    span = exported(application, "checkout" if order == "alone" else "POST /checkout")
    [point] = points(memory.get_metrics_data(), names.METRIC_DURATION)

    assert (200, "sold") == (answer.status_code, answer.text)
    for attributes in (span.attributes, exported(application, "db").attributes, told(application, "reserved")):
        assert ("gold", "DE") == (attributes[names.SEGMENT], attributes[COUNTRY])
    assert ("gold", "DE", "success") == tuple(
        point.attributes[key] for key in (names.SEGMENT, COUNTRY, names.OPERATION_OUTCOME)
    )
    operation = told(application, names.EVENT_OPERATION)
    assert operation[names.OPERATION_ID] == span.attributes[names.OPERATION_ID]
    assert operation[names.OPERATION_ID] == told(application, "reserved")[names.OPERATION_ID]
    assert "success" == span.attributes[names.OPERATION_OUTCOME]


@pytest.mark.parametrize("order", ORDERS)
def test_the_request_stays_in_its_callers_trace(application: Application, order: str) -> None:
    """
    Its span is the caller's child and a server's, and what the view does is below it.
    """
    app = with_opentelemetry(application, order)

    @app.post("/checkout")
    def checkout() -> str:
        with application.tracer_provider.get_tracer("db").start_as_current_span("db"):
            return "sold"

    app.test_client().post("/checkout", headers=GOLD)
    span = exported(application, "checkout" if order == "alone" else "POST /checkout")

    assert TRACE == format(span.context.trace_id, "032x")
    assert "00f067aa0ba902b7" == format(span.parent.span_id, "016x")
    assert span.context.span_id == exported(application, "db").parent.span_id
    assert order == "alone" or span.kind is trace.SpanKind.SERVER


@pytest.mark.parametrize("order", ORDERS)
def test_what_is_learned_late_reaches_the_span_the_points_and_what_comes_later(
    application: Application, memory: InMemoryMetricReader, order: str
) -> None:
    """
    `annotate` deep inside, and an inner context that adds what the request does not say.
    """
    app = with_opentelemetry(application, order)

    @app.post("/checkout")
    def checkout() -> str:
        bizspan.event("early")
        with bizspan.operation("reserve"), bizspan.context(channel="web", segment="other"):
            bizspan.event("inside")
        bizspan.annotate(plan="pro", segment="platinum")
        bizspan.event("late")
        return "sold"

    app.test_client().post("/checkout", headers=GOLD)
    take()
    span = exported(application, "checkout" if order == "alone" else "POST /checkout")
    [point] = [
        point
        for point in points(memory.get_metrics_data(), names.METRIC_DURATION)
        if point.attributes[names.OPERATION_NAME] == "checkout"
    ]

    for attributes in (span.attributes, told(application, "late"), point.attributes):
        assert ("pro", "platinum", "web") == tuple(attributes[key] for key in (PLAN, names.SEGMENT, "business.channel"))
    assert (None, "gold") == tuple(told(application, "early").get(key) for key in (PLAN, names.SEGMENT))
    assert "other" == told(application, "inside")[names.SEGMENT]


def test_facts_need_no_span(memory: InMemoryMetricReader) -> None:
    """
    Of a request that is sampled out, events and points say the same.
    """
    with capture(sampled=False) as captured:
        app = shop()

        @app.post("/checkout")
        def checkout() -> str:
            bizspan.annotate(plan="pro")
            bizspan.event("reserved")
            return "sold"

        app.test_client().post("/checkout", headers=GOLD)

        assert [] == captured.spans()
        assert 1 == len(captured.operations("checkout", segment="gold", plan="pro"))
        assert 1 == len(captured.events("reserved", segment="gold", plan="pro"))
        assert 1 == captured.metric(names.METRIC_DURATION, segment="gold", plan="pro")


def test_nothing_happens_while_nothing_is_configured() -> None:
    """
    The application answers as without it, and its functions are not asked.
    """
    asked = list[str]()

    def resolver(request: Request) -> dict[str, str]:
        asked.append(request.path)
        return {}

    app = shop(resolver=resolver)
    app.add_url_rule("/checkout", "checkout", lambda: "sold", methods=["POST"])

    assert "sold" == app.test_client().post("/checkout").text
    assert [] == asked


# --- who ------------------------------------------------------------------------------------------------------------


def test_who_acts_is_asked_once_after_the_functions_that_load_the_user() -> None:
    """
    Those of the application and of the blueprint, also where they were registered later; events there wait for nobody.
    """
    asked = list[str]()

    def resolver(request: Request) -> dict[str, str]:
        asked.append(g.user)
        return {"segment": g.segment}

    app = shop(resolver=resolver)
    accounts = Blueprint("accounts", __name__)

    @app.before_request
    def load() -> None:
        bizspan.event("loading")
        g.user = "u-1"

    @accounts.before_request
    def load_segment() -> None:
        g.segment = "gold"

    @accounts.post("/checkout")
    def checkout() -> str:
        bizspan.event("one")
        bizspan.event("two")
        return "sold"

    app.register_blueprint(accounts)
    with capture() as captured:
        app.test_client().post("/checkout")

        assert ["u-1"] == asked
        assert [None, "gold", "gold", "gold"] == [
            event.attributes.get(names.SEGMENT) for event in (*captured.events(), *captured.operations())
        ]
        assert 1 == len({event.attributes[names.OPERATION_ID] for event in captured.events()})


def test_a_request_that_a_function_refuses_before_its_view_is_rejected() -> None:
    """
    What `before_request` answers counts, whether that function came before or after ours.
    """
    app = shop()

    @app.before_request
    def refuse() -> tuple[str, int]:
        return "no", 401

    with capture() as captured:
        assert 401 == app.test_client().post("/checkout", headers=GOLD).status_code
        assert 1 == len(captured.operations("checkout", outcome="rejected", reason="http_401", segment="gold"))


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_refusal_before_opentelemetrys_own_function_is_rejected_too(application: Application, order: str) -> None:
    """
    There is no span of the request then, and its operation has one of its own.
    """
    telemetry: Any = pytest.importorskip("opentelemetry.instrumentation.flask")
    app = Flask(__name__)
    app.before_request(lambda: ("no", 401))
    if order == "after":
        Bizspan(app, routes={"/checkout": "checkout"})
    telemetry.FlaskInstrumentor().instrument_app(app, tracer_provider=application.tracer_provider)
    if order == "before":
        Bizspan(app, routes={"/checkout": "checkout"})

    app.test_client().post("/checkout")

    assert "http_401" == told(application, names.EVENT_OPERATION)[names.OPERATION_REASON]
    assert ["checkout"] == [span.name for span in application.spans()]


def test_a_resolver_that_raises_costs_its_facts_alone() -> None:
    """
    The answer is right, the request's other facts stay, and it is counted.
    """

    def broken(request: Request) -> dict[str, str]:
        raise LookupError

    app = shop(resolver=broken, country_header="CF-IPCountry")
    app.add_url_rule("/checkout", "checkout", lambda: "sold", methods=["POST"])
    with capture() as captured:
        captured.allow("extractor_failed")

        assert "sold" == app.test_client().post("/checkout", headers=GOLD).text
        [operation] = captured.operations("checkout", outcome="success", country="DE")
        assert ("resolver:extractor_failed",) == operation.attributes[names.NOTES]
        assert {"extractor_failed": 1} == bizspan.diagnostics().values_refused


@pytest.mark.usefixtures("production_guard")
def test_a_request_that_can_not_be_read_is_served_as_ever() -> None:
    """
    What fails in our own steps is swallowed and counted.
    """

    class Hostile(Request):
        def __getattribute__(self, name: str) -> Any:
            if name == "remote_addr":
                raise OSError
            return super().__getattribute__(name)

    app = shop()
    app.request_class = Hostile
    app.add_url_rule("/checkout", "checkout", lambda: "sold", methods=["POST"])
    before = _guard.swallowed_errors.values().get("a Flask request: begin", 0)
    with capture(check=False):
        assert "sold" == app.test_client().post("/checkout").text

    assert before < _guard.swallowed_errors.values()["a Flask request: begin"]


@pytest.mark.parametrize("way", ["the route's revenue", "a decorated view"])
def test_an_amount_that_no_line_of_the_application_told_names_its_operation(
    caplog: pytest.LogCaptureFixture, way: str
) -> None:
    """
    Flask called us there, and a line of Flask's would send its reader the wrong way.
    """

    def checkout() -> str:
        return "0.001"

    revenue = Route(operation="checkout", revenue=lambda request, response: (response.get_data(as_text=True), "EUR"))
    app = shop(routes={"/checkout": revenue} if way == "the route's revenue" else {})
    view: Any = checkout
    if way == "a decorated view":
        view = bizspan.operation("checkout", revenue=lambda result: (result, "EUR"))(checkout)
    app.add_url_rule("/checkout", view_func=view)
    with capture() as captured:
        captured.allow("precision")
        app.test_client().get("/checkout")

        assert 1 == len(captured.operations("checkout", outcome="success"))
    assert ["bizspan: revenue (of 'checkout') was refused (precision)."] == [
        record.message.partition(" It has")[0] for record in caplog.records
    ]
