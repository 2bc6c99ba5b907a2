"""What may be told: declarations, the standard vocabulary, types and lists, and undeclared names."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

import bizspan
from bizspan import Attribute, SetupError, Vocabulary, names
from bizspan.testing import Capture, capture
from bizspan.vocabulary import STANDARD

SHOP = Vocabulary(
    "shop",
    [
        Attribute(
            name="stage",
            allowed=["won", "lost"],
            dimension=True,
            budget=2,
            owner="sales",
            meaning="The deal's stage.",
        ),
        Attribute(name="seats", type=int),
        Attribute(name="rating", type=float),
        Attribute(name="trial", type=bool, dimension=True),
        Attribute(name="email", personal=True),
        Attribute(name="shelf", dimension=True, budget=2),
        Attribute(name="pool", key="acme.pool.name", propagate=True),
    ],
)
shop = pytest.mark.bizspan(vocabulary=SHOP)


class Stage(Enum):
    WON = "won"


# --- declarations -------------------------------------------------------------------------------------------


def test_a_declaration_holds_what_was_said() -> None:
    """
    Prefix, type, allowed values, dimension with budget, personal, propagated, owner and meaning.
    """
    stage, pool, email = SHOP.by_name["stage"], SHOP.by_name["pool"], SHOP.by_name["email"]

    assert ("shop.stage", str, {"won", "lost"}, True, 2) == (
        stage.key, stage.type, stage.allowed, stage.dimension, stage.budget,
    )  # fmt: skip
    assert ("sales", "The deal's stage.") == (stage.owner, stage.meaning)
    assert ("acme.pool.name", True, True) == (pool.key, pool.propagate, email.personal)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"name": "deal stage"}, "is not a keyword; use an identifier such as"),
        ({"name": 3}, "is not a keyword"),
        ({"name": "x" * 65}, "is not a keyword"),
        ({"name": "revenue"}, "is an option of operation"),
        ({"name": "result"}, "is an option of operation"),
        ({"name": "a", "type": list}, "type must be str, int, float or bool"),
        ({"name": "a", "personal": True, "dimension": True}, "can't be a dimension; drop one of the two"),
        ({"name": "a", "personal": True, "type": int}, "its type must be str"),
        ({"name": "a", "dimension": True, "type": float}, "group it into a str"),
        ({"name": "a", "budget": 0}, "budget must be a whole number from 1 to 1900"),
        ({"name": "a", "budget": True}, "budget must be a whole number"),
        ({"name": "a", "budget": 1901}, "budget must be a whole number"),
        ({"name": "a", "format": "country", "type": int}, "needs type str"),
        ({"name": "a", "allowed": "won"}, "pass a list of values"),
        ({"name": "a", "allowed": []}, "allowed must be values of type str"),
        ({"name": "a", "allowed": ["won", 3]}, "allowed must be values of type str, got"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_a_set_up_error(wrong: dict[str, Any], text: str) -> None:
    """
    Told where it is written, with what to change.
    """
    with pytest.raises(SetupError, match=text):
        Attribute(**wrong)


@pytest.mark.parametrize(
    ("prefix", "attributes", "text"),
    [
        ("business", [Attribute(name="a")], "reserved"),
        ("app", [Attribute(name="a")], "reserved"),
        ("otel", [Attribute(name="a")], "reserved"),
        ("bizspan", [Attribute(name="a")], "reserved"),
        ("", [Attribute(name="a")], "prefix"),
        ("my shop", [Attribute(name="a")], "prefix"),
        ("shop", [Attribute(name="a"), Attribute(name="a")], "declared twice; rename one"),
        (
            "shop",
            [Attribute(name="a", key="k.a"), Attribute(name="b", key="k.a")],
            "share the key 'k.a'; change one",
        ),
        (
            "shop",
            [Attribute(name="a", key="shop.b"), Attribute(name="c", key="shop.b.c")],
            "also the namespace of",
        ),
        ("shop", [Attribute(name="a", key="otel.a")], "reserved or malformed"),
        ("shop", [Attribute(name="a", key="shop a")], "reserved or malformed"),
    ],
)
def test_a_vocabulary_that_contradicts_itself_is_a_set_up_error(
    prefix: str, attributes: list[Attribute], text: str
) -> None:
    """
    A key is never also a namespace; `app.*` is reserved for client apps.
    """
    with pytest.raises(SetupError, match=text):
        Vocabulary(prefix, attributes)


def test_a_vocabulary_that_clashes_with_the_standard_one_is_a_set_up_error() -> None:
    """
    The standard keywords mean the same everywhere.
    """
    with (
        pytest.raises(SetupError, match="'segment' is declared twice"),
        capture(vocabulary=Vocabulary("shop", [Attribute(name="segment")])),
    ):
        pass


# --- the standard vocabulary --------------------------------------------------------------------------------

STANDARD_KEYS = {
    "customer": "enduser.pseudo.id", "segment": "business.customer.segment", "plan": "business.plan",
    "tenant": "business.tenant.id", "community": "business.community", "country": "geo.country.iso_code",
    "region": "geo.region.iso_code", "continent": "geo.continent.code", "locality": "geo.locality.name",
    "channel": "business.channel", "campaign": "business.campaign.name",
    "campaign_source": "business.campaign.source",
    "campaign_medium": "business.campaign.medium", "campaign_content": "business.campaign.content",
    "campaign_term": "business.campaign.term", "order": "business.order.id", "product": "business.product.id",
    "category": "business.product.category", "feature": "business.feature", "traffic": "business.traffic",
    "session": "session.id", "flag": "feature_flag.key", "variant": "feature_flag.result.variant",
}  # fmt: skip


def test_the_standard_keywords_have_the_keys_of_product_md() -> None:
    """
    The keyword -> key table, with OpenTelemetry's conventions where they exist.
    """
    assert STANDARD_KEYS == {attribute.name: attribute.key for attribute in STANDARD}


def test_customer_and_order_are_never_dimensions() -> None:
    """
    Nor is anything else that has a value per customer, order or session.
    """
    unbounded = {"customer", "order", "product", "session", "locality", "campaign_content", "campaign_term"}

    assert unbounded == {attribute.name for attribute in STANDARD if not attribute.dimension}


def test_customer_and_session_are_the_personal_facts() -> None:
    """
    The standard vocabulary hashes them: who knows a session's id could take it over.
    """
    assert ["customer", "session"] == [attribute.name for attribute in STANDARD if attribute.personal]


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("country", "DE", "DE"), ("country", "de", "DE"), ("region", "de-by", "DE-BY"),
        ("continent", "eu", "EU"),
        ("traffic", "bot", "bot"), ("order", 17, "17"), ("segment", Stage.WON, "won"), ("plan", "prö", "prö"),
        ("order", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("order", Decimal("1.50"), "1.50"),
        ("order", datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_a_standard_fact_takes_what_says_it(capbiz: Capture, keyword: str, value: Any, expected: str) -> None:
    """
    ISO codes in any case, enums by value, ids as whole numbers.
    """
    told: dict[str, Any] = {keyword: value}

    bizspan.event("told", **told)

    assert expected == capbiz.events("told")[0].attributes[STANDARD_KEYS[keyword]]


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("country", "Germany", "iso_3166_1"), ("country", "ZZ", "iso_3166_1"), ("country", "", "iso_3166_1"),
        ("region", "ZZ-BY", "iso_3166_2"), ("region", "BY", "iso_3166_2"), ("continent", "ZZ", "continent"),
        ("traffic", "robot", "not_allowed"), ("segment", 1.5, "type"), ("segment", True, "type"),
        ("segment", object(), "type"), ("segment", ["a"], "type"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_dropped_noted_and_said_once(
    capbiz: Capture, caplog: pytest.LogCaptureFixture, keyword: str, value: Any, reason: str
) -> None:
    """
    The event is kept and says what is missing; the text never repeats the value.
    """
    capbiz.allow(reason)
    told: dict[str, Any] = {keyword: value}

    for _ in range(2):
        bizspan.event("told", **told)

    attributes = capbiz.events("told")[0].attributes
    assert STANDARD_KEYS[keyword] not in attributes
    assert (f"{keyword}:{reason}",) == attributes["bizspan.notes"]
    assert {reason: 2} == bizspan.diagnostics().values_refused
    (text,) = [record.message for record in caplog.records]
    assert text.startswith(f"bizspan: {keyword} was refused ({reason}). Tell ")


# --- facts of your own --------------------------------------------------------------------------------------


@shop
def test_own_facts_have_the_prefix_and_dimensions_reach_metrics(capbiz: Capture) -> None:
    """
    Typed values as they are; only dimensions on metric points.
    """
    bizspan.event("deal", stage="won", seats=5, rating=4, trial=True, pool="p-1")

    (deal,) = capbiz.events("deal", stage="won")
    (point,) = capbiz.points("business.events")
    own = {
        "shop.stage": "won",
        "shop.seats": 5,
        "shop.rating": 4.0,
        "shop.trial": True,
        "acme.pool.name": "p-1",
    }
    assert own == {key: deal.attributes[key] for key in own}
    assert {"business.event.name": "deal", "shop.stage": "won", "shop.trial": True} == dict(point.attributes)
    capbiz.assert_consistent()


@shop
@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"stage": "open"}, "not_allowed"), ({"seats": "5"}, "type"), ({"seats": 5.5}, "type"),
        ({"seats": True}, "type"), ({"seats": 2**64}, "int64"), ({"rating": float("nan")}, "nonfinite"),
        ({"trial": 1}, "type"),
    ],
)  # fmt: skip
def test_own_facts_are_checked(capbiz: Capture, told: dict[str, Any], reason: str) -> None:
    """
    What does not fit the declared type or list is dropped and counted by reason.
    """
    capbiz.allow(reason)

    bizspan.event("deal", **told)

    assert {reason: 1} == bizspan.diagnostics().values_refused
    assert not any(key.startswith("shop.") for key in capbiz.events("deal")[0].attributes)


@shop
def test_the_tail_of_one_dimension_becomes_other_for_it_alone(capbiz: Capture) -> None:
    """
    Beyond a budget of 2 shelves, the shelf is folded on metrics; plan stays, and events keep all.
    """
    for shelf in ("a", "b", "c", "d"):
        bizspan.event("moved", shelf=shelf, plan=shelf)

    assert {("a", "a"), ("b", "b"), ("__other__", "c"), ("__other__", "d")} == {
        (point.attributes["shop.shelf"], point.attributes["business.plan"])
        for point in capbiz.points("business.events")
    }
    assert 1 == len(capbiz.events(shelf="d"))
    capbiz.assert_consistent()


# --- undeclared ---------------------------------------------------------------------------------------------


def test_the_first_undeclared_name_is_said_once_with_did_you_mean(
    capbiz: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    """
    It goes to spans and events under `business.custom.`, never to metrics.
    """
    for _ in range(3):
        with bizspan.operation("checkout", segmnet="gold"):
            pass

    (text,) = [record.message for record in caplog.records]
    assert "'segmnet' is not declared" in text
    assert "Did you mean 'segment'?" in text
    assert "gold" == capbiz.operations("checkout")[0].attributes["business.custom.segmnet"]
    assert "gold" == capbiz.spans("checkout")[0].attributes["business.custom.segmnet"]
    (point,) = capbiz.points("business.operation.duration")
    assert {"business.operation.name", "business.operation.outcome"} == set(point.attributes)
    assert ("segmnet",) == bizspan.diagnostics().undeclared
    capbiz.assert_consistent()


def test_a_name_that_is_far_from_all_gets_no_suggestion(capbiz: Capture, caplog: pytest.LogCaptureFixture) -> None:
    """
    It is told how to declare it instead.
    """
    bizspan.event("told", xylophone=1)

    (text,) = [record.message for record in caplog.records]
    assert "Did you mean" not in text
    assert "Declare it in a Vocabulary to silence this." in text


@pytest.mark.parametrize("name", ["otel.x", "bizspan.seq", "business.x", "app.x", "", " ", "x" * 65])
def test_a_reserved_name_is_dropped_and_counted(capbiz: Capture, name: str) -> None:
    """
    Row 28: empty, too long, or another's namespace.
    """
    capbiz.allow("reserved")

    bizspan.event("told", attributes={name: "x"})

    (told,) = capbiz.events("told")
    assert {"reserved": 1} == bizspan.diagnostics().values_refused
    assert "x" not in told.attributes.values()


def test_a_fact_may_be_told_by_its_key(capbiz: Capture) -> None:
    """
    `attributes={...}` takes the OpenTelemetry key of a declared fact, and checks it the same.
    """
    bizspan.event("told", attributes={"geo.country.iso_code": "de"})

    assert "DE" == capbiz.events("told")[0].attributes[names.COUNTRY]


@pytest.mark.bizspan(strict=True)
def test_strict_makes_an_undeclared_fact_a_problem(capbiz: Capture) -> None:
    """
    The problem names the keyword.
    """
    bizspan.event("told", segmnet="gold")

    assert ["segmnet: undeclared"] == capbiz.problems()
    capbiz.allow("undeclared")
