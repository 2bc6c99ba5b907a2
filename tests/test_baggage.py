"""Facts that arrive with a request: declared ones, where its route is trusted, below everything that is known here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import pytest
from opentelemetry.baggage import get_all
from opentelemetry.baggage.propagation import W3CBaggagePropagator

import bizspan
from bizspan import _active, _baggage, names
from bizspan._baggage import carried, received
from bizspan._hosts import Hosts
from bizspan.errors import SetupError
from bizspan.integrations.asgi import Bizspan
from bizspan.testing import Capture, capture
from bizspan.vocabulary import Attribute, Vocabulary
from tests.arrivals import arrived, facts_of, refused, rules, send
from tests.asgi_app import BODY, START, Receive, Scope, Send, http, run

SHOP: Final = Vocabulary(
    "shop",
    [
        Attribute(name="tier", allowed=["gold", "basic"], propagate=True),
        Attribute(name="seats", type=int, propagate=True),
        Attribute(name="rating", type=float, propagate=True),
        Attribute(name="trial", type=bool, propagate=True),
        Attribute(name="note", propagate=True),
        Attribute(name="contact", personal=True, propagate=True),
        Attribute(name="margin"),
    ],
    propagate=["segment", "plan", "country", "customer", "feature"],
)
TRUSTING: Final[dict[str, Any]] = {"trust_baggage": True}


@pytest.fixture
def told() -> Iterator[Capture]:
    """The capture, without its own check: refusals are counted by each test."""
    with capture(vocabulary=SHOP, check=False) as captured:
        yield captured


@pytest.fixture
def egress(monkeypatch: pytest.MonkeyPatch) -> None:
    """One host is allowed."""
    monkeypatch.setattr(_baggage, "hosts", Hosts(["stock.internal"]))


def taken(header: str | None) -> dict[str, Any]:
    """What is taken of a header."""
    pipeline = _active.current
    assert pipeline is not None
    return dict(received(pipeline, header))


# --- there and back ---------------------------------------------------------------------------------------------------


def test_what_is_in_force_leaves_and_arrives_the_same(told: Capture, egress: None) -> None:
    """
    Each type, other scripts, and signs that a header gives a meaning; nothing that is not declared to travel.
    """
    with bizspan.context(
        tier="gold",
        seats=-3,
        rating=0.25,
        trial=True,
        note='ü+1 100% a,b;c="d"',
        segment="big",
        margin="0.4",
        order="o-1",
    ):
        header = carried([], ["stock.internal"])

    assert header is not None
    assert header.isascii()
    assert {
        "shop.tier": "gold",
        "shop.seats": -3,
        "shop.rating": 0.25,
        "shop.trial": True,
        "shop.note": 'ü+1 100% a,b;c="d"',
        names.SEGMENT: "big",
    } == taken(header)
    assert {} == refused(told)


def test_a_service_between_that_knows_nothing_of_bizspan_hands_them_on(told: Capture, egress: None) -> None:
    """
    OpenTelemetry's own propagator reads them and writes them again, its own way.
    """
    propagator = W3CBaggagePropagator()
    with bizspan.context(note="a b+c, ü=1", segment="big"):
        header = carried([], ["stock.internal"])
    carrier: dict[str, str] = {}
    propagator.inject(carrier, propagator.extract({"baggage": header}))

    assert {"shop.note": "a b+c, ü=1", names.SEGMENT: "big"} == taken(carrier["baggage"])


def test_they_do_not_become_opentelemetrys_baggage(told: Capture, egress: None) -> None:
    """
    That goes to every host, whoever reads it.
    """
    with bizspan.context(segment="big"):
        header = carried([], ["stock.internal"])
        send(rules(TRUSTING), arrived({"baggage": str(header)}), view=lambda: None)

        assert {} == get_all()


@pytest.mark.parametrize("destinations", [[], ["stock.internal", "evil.example"], [None], ["evil.example"]])
def test_to_an_unknown_host_nothing_leaves(told: Capture, egress: None, destinations: list[object]) -> None:
    """
    Nor where one of several is not allowed.
    """
    with bizspan.context(segment="big"):
        assert carried(["a=1"], destinations) is None


def test_what_does_not_fit_stays_here_and_is_counted(told: Capture, egress: None) -> None:
    """
    8 KiB with all that is in the header, which stays whole.
    """
    others = ["a=" + "x" * 8_000]
    with bizspan.context(tier="gold", note="n" * 1_000):
        header = carried(others, ["stock.internal"])

    assert f"{others[0]},shop.tier=gold" == header
    assert {"size": 1} == refused(told)


def test_outside_of_a_context_nothing_leaves(told: Capture, egress: None) -> None:
    """
    What an operation was told is its own; with a context around it, that travels.
    """
    with bizspan.operation("sell", segment="big"):
        alone = carried([], ["stock.internal"])
    with bizspan.context(segment="small"), bizspan.operation("sell", segment="big"):
        inside = carried([], ["stock.internal"])

    assert (None, "business.customer.segment=small") == (alone, inside)


# --- which requests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trust", "taken_in"),
    [
        (None, False),
        (False, False),
        ([], False),
        (True, True),
        (["/checkout"], True),
        (["POST /checkout"], True),
        (["POST /{any}"], True),
        (["/check*"], True),
        (["GET /checkout"], False),
        (["/internal/*", "/checkout/"], False),
    ],
)
def test_facts_are_taken_where_the_route_is_trusted(told: Capture, trust: Any, taken_in: bool) -> None:
    """
    Of none by default; of all, or of the listed ones.
    """
    options = {} if trust is None else {"trust_baggage": trust}
    request = arrived({"baggage": "shop.tier=gold"})

    assert ("shop.tier" in facts_of(told, rules(options), request)) is taken_in


@pytest.mark.parametrize("trust", ["/internal/*", ["checkout"], ["POST checkout"], [""], [7], 1, None])
def test_what_no_path_is_is_refused(trust: Any) -> None:
    """
    The name of a view too: it is not known yet when the request arrives.
    """
    with pytest.raises(SetupError, match=r"trust_baggage= must be True, False, or a list of paths"):
        rules({"trust_baggage": trust})


def test_everything_else_wins_over_them(told: Capture) -> None:
    """
    The scope around, the request's own facts, the route's constants, a context inside; in the request and on its event.
    """
    routes = {"POST /checkout": {"operation": "checkout", "feature": "here"}}
    ruled = rules(
        {**TRUSTING, "routes": routes}, country_header="CF-IPCountry", resolver=lambda request: {"plan": "here"}
    )
    header = ",".join(f"{key}=basic" for key in ("shop.tier", "shop.note", names.PLAN, names.SEGMENT, names.FEATURE))
    request = arrived({"baggage": f"{header},{names.COUNTRY}=FR", "CF-IPCountry": "DE"})

    def view() -> None:
        with bizspan.context(segment="here"):
            bizspan.event("seen")

    with bizspan.context(tier="gold"):
        send(ruled, request, view)

    expected = {
        "shop.tier": "gold", "shop.note": "basic", names.PLAN: "here", names.FEATURE: "here", names.COUNTRY: "DE",
        names.SEGMENT: "here",
    }  # fmt: skip
    for event in (*told.events("seen"), *told.operations("checkout")):
        assert expected == {key: value for key, value in event.attributes.items() if key in expected}


# --- frameworks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusts", [True, False])
def test_asgi(told: Capture, trusts: bool) -> None:
    """
    Several headers are one.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bizspan.event("seen")
        await send(START)
        await send(BODY)

    headers = [(b"baggage", b"shop.tier=gold"), (b"baggage", b"shop.seats=3")]
    run(Bizspan(app, trust_baggage=["POST /checkout"] if trusts else False), http(headers=headers))

    (seen,) = told.events("seen")
    expected = {"shop.tier": "gold", "shop.seats": 3} if trusts else {}
    assert expected == {key: value for key, value in seen.attributes.items() if key.startswith("shop.")}


@pytest.mark.parametrize("trusts", [True, False])
def test_flask(told: Capture, trusts: bool) -> None:
    """
    By the option or by the application's settings.
    """
    flask = pytest.importorskip("flask")
    from bizspan.integrations import flask as ours

    app = flask.Flask(__name__)
    app.config["BIZSPAN"] = {"trust_baggage": True}
    ours.Bizspan(app, trust_baggage=None if trusts else False)

    @app.get("/")  # type: ignore[untyped-decorator, unused-ignore]
    def index() -> str:
        bizspan.event("seen")
        return ""

    app.test_client().get("/", headers=[("baggage", "shop.tier=gold"), ("baggage", "shop.seats=3")])

    (seen,) = told.events("seen")
    expected = {"shop.tier": "gold", "shop.seats": 3} if trusts else {}
    assert expected == {key: value for key, value in seen.attributes.items() if key.startswith("shop.")}
    told.allow("http_404")


def test_two_services(told: Capture, egress: None) -> None:
    """
    What one knows, the other's records carry, and its callees' in turn.
    """

    async def stock(scope: Scope, receive: Receive, send: Send) -> None:
        bizspan.event("reserved")
        onwards.append(carried([], ["stock.internal"]))
        await send(START)
        await send(BODY)

    onwards: list[str | None] = []
    with bizspan.context(tier="gold", margin="0.4"):
        header = str(carried([], ["stock.internal"]))

    def serve() -> None:
        run(Bizspan(stock, trust_baggage=True), http(headers=[(b"baggage", header.encode())]))

    asyncio.run(asyncio.to_thread(serve))

    (reserved,) = told.events("reserved")
    assert ("gold", None) == (reserved.attributes.get("shop.tier"), reserved.attributes.get("shop.margin"))
    assert [header] == onwards
