"""Which operation a request is: methods, templates, names of views, wildcards, and entries that cannot work."""

from __future__ import annotations

import string
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bizspan import names
from bizspan.errors import SetupError
from bizspan.integrations import _exchange
from bizspan.integrations._http import Arrived
from bizspan.integrations._routes import Route, RouteMap
from bizspan.integrations._rules import rules_of
from bizspan.testing import Capture


def found(routes: dict[str, Any], method: str, path: str, *views: str | None) -> str | None:
    """The operation that a request is."""
    route = RouteMap(routes).find(method, path, views)
    return None if route is None else route.operation


# --- methods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "methods"),
    [
        ("POST /checkout", {"POST"}),
        ("post /checkout", {"POST"}),
        ("PUT,PATCH /checkout", {"PUT", "PATCH"}),
        ("OPTIONS /checkout", {"OPTIONS"}),
        ("  POST   /checkout  ", {"POST"}),
        ("/checkout", {"GET", "POST", "PUT", "PATCH", "DELETE"}),
        ("POST /check{what}", {"POST"}),
        ("/check*", {"GET", "POST", "PUT", "PATCH", "DELETE"}),
        ("POST shop.checkout", {"POST"}),
        ("shop.checkout", {"GET", "POST", "PUT", "PATCH", "DELETE"}),
    ],
)
def test_a_route_is_for_its_methods(key: str, methods: set[str]) -> None:
    """
    Without any it is for those that do something: a preflight and a probe are no business.
    """
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")

    assert methods == {m for m in known if found({key: "checkout"}, m, "/checkout", "shop.checkout")}


def test_the_methods_of_one_path_may_be_different_operations() -> None:
    """
    Reading a cart is not changing it; what is exact comes before what is not.
    """
    routes = {"GET /cart": "cart.view", "POST /cart": "cart.change", "/cart": "cart.other", "/{page}": "page"}

    assert ["cart.view", "cart.change", "cart.other", "page"] == [
        found(routes, "GET", "/cart"),
        found(routes, "POST", "/cart"),
        found(routes, "DELETE", "/cart"),
        found(routes, "GET", "/about"),
    ]


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "paths", "others"),
    [
        ("/checkout/", ["/checkout/"], ["/checkout", "/checkout/x", "/Checkout/", "checkout/"]),
        ("/orders/{id}", ["/orders/1", "/orders/a-b"], ["/orders/", "/orders/1/", "/orders/1/2", "/x/orders/1"]),
        ("/orders/<int:id>", ["/orders/1"], ["/orders/", "/orders/1/2", "/orders/new", "/orders/1a", "/orders/-1"]),
        ("/orders/{id:int}/pay", ["/orders/12/pay"], ["/orders/new/pay", "/orders/\u0661/pay"]),
        ("/o/<uuid:id>", ["/o/0188b3a4-0000-7000-8000-00000000ABCD"], ["/o/new", "/o/0188/b3a4"]),
        ("/o/{id:uuid}/{n:int}", ["/o/0188b3a4-0000-7000-8000-00000000abcd/1"], ["/o/new/1", "/o/1/new"]),
        ("/o/<int(signed=True):id>", ["/o/-1", "/o/1"], ["/o/1/2"]),
        ("/orders/<id>/pay", ["/orders/1/pay"], ["/orders//pay", "/orders/1/2/pay"]),
        ("/{a}-{b}-{c}", ["/1-2-3", "/1-2-3-4", "/a--b-c"], ["/1-2", "/1-2-", "/-1-2", "/1/2-3-4"]),
        ("/{a}/x/{b}.json", ["/1/x/2.json", "/1/x/2.json.json"], ["/1/x/.json", "/1/x/2.jsonl"]),
        ("/files/{rest:path}", ["/files/a", "/files/a/b"], ["/files/", "/file/a"]),
        ("/files/<path:rest>/edit", ["/files/a/edit", "/files/a/b/edit"], ["/files/edit", "/files/a/b"]),
        ("/static/*", ["/static/", "/static/a/b.css"], ["/static", "/statics/a"]),
        ("/v{n}/*", ["/v1/", "/v1/a/b"], ["/v/a", "/v1"]),
        ("*", [], ["*"]),
        ("/*", ["/", "/a/b"], []),
        ("/a.b(c)", ["/a.b(c)"], ["/aXb(c)", "/a.bc"]),
        ("/caf\xe9/{id}", ["/caf\xe9/1", "/caf\xe9/\udcff"], ["/cafe/1"]),
        ("/lines/{id}", ["/lines/a\nb"], []),
    ],
)
def test_a_template_matches_whole_paths(template: str, paths: list[str], others: list[str]) -> None:
    """
    A parameter is one segment, `:path` and a last star are more, everything else is itself.
    """
    routes = {template: "it"}

    assert [(path, "it") for path in paths] == [(path, found(routes, "GET", path)) for path in paths]
    assert [(path, None) for path in others] == [(path, found(routes, "GET", path)) for path in others]


SEGMENT = st.text(st.sampled_from(string.ascii_letters + "-._~"), min_size=1, max_size=8)


@given(st.lists(SEGMENT, min_size=1, max_size=5), SEGMENT)
def test_every_path_made_from_a_template_is_found(values: list[str], literal: str) -> None:
    """
    Whatever stands in the parameters, and between them.
    """
    template = "/" + f"/{literal}/".join(f"{{p{at}}}" for at in range(len(values)))

    assert "it" == found({template: "it"}, "GET", "/" + f"/{literal}/".join(values))


def test_paths_made_to_be_slow_are_not() -> None:
    """
    Thousands of dashes are matched against many dashes in one pass, and overlong paths match no pattern.
    """
    routes = {"/{a}-{b}-{c}-{d}-{e}-{f}x": "many", "/{p:path}/{a}-{b}-{c}/x": "path", "/long/*": "long"}
    began = time.perf_counter()

    for path in ("/" + "-" * 2000, "/" + "-/" * 1000, "/" + "a-" * 1000 + "/", "/long/" + "a" * 2**20):
        assert found(routes, "GET", path) is None
    assert time.perf_counter() - began < 5.0  # trying all cuts would take longer than the universe has


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_view_is_found_by_any_of_its_names() -> None:
    """
    By what the framework calls it, or by the framework's own template.
    """
    routes = {"shop.views.checkout": "checkout", "orders/<int:id>/": "order", "POST checkout-page": "page"}

    assert "checkout" == found(routes, "POST", "/x", None, "", "shop.views.checkout")
    assert "order" == found(routes, "GET", "/x", "orders/<int:id>/")
    assert "page" == found(routes, "POST", "/x", "checkout-page")
    assert None is found(routes, "GET", "/x", "checkout-page")


def test_the_path_comes_before_the_names() -> None:
    """
    One view may serve several operations.
    """
    assert "express" == found({"shop.checkout": "checkout", "/express": "express"}, "POST", "/express", "shop.checkout")


@pytest.mark.parametrize("path", ["shop.checkout", " shop.checkout", "POST shop.checkout", "", "*"])
def test_a_path_cannot_pretend_to_be_a_view(path: str) -> None:
    """
    Some servers hand over what a client writes without a slash.
    """
    assert found({"shop.checkout": "checkout", "POST shop.checkout": "paid"}, "POST", path) is None


def test_an_empty_map_finds_nothing() -> None:
    """
    And is false.
    """
    assert not RouteMap({})
    assert found({}, "POST", "/checkout", "checkout") is None


# --- what a route says ------------------------------------------------------------------------------------------------


def test_a_route_may_be_written_in_three_ways() -> None:
    """
    As a name, as a dict, and as a `Route`.
    """
    whole = Route("checkout", feature="express", facts={"channel": "app"})
    routes = RouteMap({"/a": "checkout", "/b": {"operation": "checkout", "feature": "express"}, "/c": whole, "/d": {}})

    assert Route("checkout") == routes.find("GET", "/a")
    assert Route("checkout", feature="express") == routes.find("GET", "/b")
    assert whole == routes.find("GET", "/c")
    assert Route() == routes.find("GET", "/d")


def test_a_routes_facts_are_on_its_operation(capbiz: Capture) -> None:
    """
    Feature and constants, and what a successful response earned.
    """

    def earned(request: object, response: object) -> object:
        return response, "EUR"

    routes = {
        "POST /orders/{id}": {
            "operation": "checkout",
            "feature": "express",
            "facts": {"channel": "app"},
            "revenue": earned,
        }
    }
    request = Arrived("POST", "/orders/7", "", None, None)

    exchange = _exchange.begin(_exchange.Exchange(rules_of({"routes": routes}), request))
    assert exchange is not None
    exchange.routed(["orders"])
    exchange.responded(200, "42.00")
    exchange.leave()
    exchange.end()

    [event] = capbiz.operations("checkout", outcome="success")
    assert ("express", "app") == (event.attributes[names.FEATURE], event.attributes[names.CHANNEL])
    assert "42.00 EUR" == str(capbiz.revenue("EUR"))


# --- entries that cannot work -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "told", "said"),
    [
        (5, "a", "The route 5 must be a text such as 'POST /checkout/'."),
        ("", "a", "The route '' must be a text"),
        ("  ", "a", "The route '  ' must be a text"),
        ("PSOT /x", "a", "The route 'PSOT /x' can't be read; write it as 'POST /checkout/' or as the name of a view."),
        ("GET POST /x", "a", "The route 'GET POST /x' can't be read"),
        ("GET;POST /x", "a", "can't be read"),
        ("/x", None, "The route '/x' needs the name of an operation, or a dict of operation, feature, facts, revenue."),
        ("/x", 5, "needs the name of an operation"),
        ("/x", ["checkout"], "needs the name of an operation"),
        ("/x", "", "The route '/x': operation must be a text."),
        ("/x", {"operaton": "a"}, "The route '/x' has no field 'operaton'; it has operation, feature, facts, revenue."),
        ("/x", {"operation": 5}, "operation must be a text"),
        ("/x", {"feature": ["a"]}, "feature must be a text"),
        ("/x", {"facts": "segment"}, "facts must be a dict of values by keyword"),
        ("/x", {"facts": {"segment": len}}, "facts are constants; let resolver= tell"),
        ("/x", {"revenue": "total"}, "revenue must be a function of the request and the response"),
        ("/x", Route(operation=5), "operation must be a text"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        ("/x", Route(facts=None), "facts must be a dict"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        ("/a/*/b", "a", "The route '/a/*/b': * stands at the end alone; write {name} for one segment"),
        ("/a/**", "a", "* stands at the end alone"),
        ("/{a}{b}", "a", "The route '/{a}{b}' is ambiguous; put a text between its parameters"),
        ("/{a:path}/{b:path}", "a", "is ambiguous"),
    ],
)
def test_an_entry_that_cannot_work_is_refused_at_set_up(key: Any, told: Any, said: str) -> None:
    """
    The text names the entry, and what to write instead.
    """
    with pytest.raises(SetupError) as refusal:
        rules_of({"routes": {key: told}})

    assert said in str(refusal.value)


@pytest.mark.parametrize("routes", [None, "POST /checkout", [("POST /checkout", "checkout")], 5])
def test_routes_are_a_dict(routes: object) -> None:
    """
    Anything else is refused with an example.
    """
    with pytest.raises(SetupError, match="routes= must be a dict such as"):
        rules_of({"routes": routes})
