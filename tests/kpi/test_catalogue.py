"""The catalogue: what is in it, and that nothing in it is markup, in Markdown or HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bizspan import Attribute, Vocabulary, names
from bizspan.errors import SetupError
from bizspan.kpi import (
    KPI,
    AverageOrderValue,
    Conversion,
    Count,
    Definition,
    Distinct,
    Quantile,
    Rates,
    Ratio,
    Recurring,
    Retention,
    Sum,
    events,
    feedback,
    load,
    operations,
    refunds,
)
from bizspan.kpi._catalogue import Declared, Entry, Section, catalogue
from bizspan.kpi._catalogue_text import anchor, as_html, as_markdown
from bizspan.kpi._described import Described
from bizspan.kpi._words import in_words
from bizspan.vocabulary import STANDARD

SHOP = Vocabulary(
    "shop",
    [
        Attribute(name="delivery", allowed=["standard", "express"], dimension=True, owner="logistics", meaning="How."),
        Attribute(name="email", personal=True, owner="crm", meaning="Where the receipt goes."),
    ],
    version="3",
    propagate=["segment"],
)


def kpi(name: str, of: Any, **options: Any) -> KPI:
    told: dict[str, Any] = {"owner": "sales", "meaning": f"What {name} means.", "vocabulary": SHOP, **options}
    return KPI(name, of, **told)


KPIS = (
    kpi("revenue", Sum("revenue", operations("checkout", delivery="express")), target={"EUR": 10}, per="day",
        playbook="https://wiki.example/revenue?a=1&b=2", by=("country",)),
    kpi("bought", Conversion((operations("browse"), operations("checkout", feature=["one-click", "cart"])))),
    kpi("signups", Count(events("signup"))),
    kpi("answers", Count(feedback("nps"))),
    kpi("retained", Retention(operations("checkout"))),
    kpi("mrr", Recurring("subscriptions.mrr")),
)  # fmt: skip
DECLARED = Declared(
    operations={"checkout": ("POST /orders",), "refund": ("shop.money:refund",)},
    features={"wishlist": ("GET /wishlist",)},
    metrics={"http.server.request.duration": ("segment", "country")},
)


def sections() -> dict[str, Section]:
    return {each.key: each for each in catalogue(KPIS, [SHOP], DECLARED)}


def rows(section: str, name: str) -> dict[str, list[str]]:
    (entry,) = [each for each in sections()[section].entries if each.name == name]
    return {label: [each if isinstance(each, str) else each.name for each in values] for label, values in entry.rows}


def test_everything_that_is_declared_or_named_is_in_it() -> None:
    """
    Facts of the vocabularies, operations and features of the file, whatever a KPI names, and what bizspan emits.
    """
    found = {key: [each.name for each in section.entries] for key, section in sections().items()}

    assert ["answers", "bought", "mrr", "retained", "revenue", "signups"] == found["kpis"]
    assert ["browse", "checkout", "refund"] == found["operations"]
    assert ["cart", "one-click", "wishlist"] == found["features"]
    assert {"signup", names.EVENT_OPERATION, names.EVENT_FEEDBACK} <= {*found["events"]}
    assert sorted([*(fact.name for fact in STANDARD), "delivery", "email"]) == found["facts"]
    assert {"subscriptions.mrr", "http.server.request.duration", names.REVENUE} <= {*found["metrics"]}


def test_an_entry_says_what_is_known() -> None:
    """
    Owner, meaning, traits, where it is declared, and which KPIs read it.
    """
    assert {
        "attribute": ["shop.delivery"],
        "vocabulary": ["shop, version 3"],
        "type": ["str"],
        "allowed": ["express", "standard"],
        "on metrics": ["yes, 50 values in one process"],
        "read by": ["revenue"],
    } == rows("facts", "delivery")
    assert ["yes, kept as a keyed hash"] == rows("facts", "email")["personal"]
    assert ["yes"] == rows("facts", "segment")["travels to other services"]
    assert ["bought", "retained"] == rows("facts", "customer")["read by"]
    assert {"declared at": ["POST /orders"], "read by": ["bought", "retained", "revenue"]} == rows(
        "operations", "checkout"
    )
    assert {"declared at": ["GET /wishlist"]} == rows("features", "wishlist")
    assert ["answers"] == rows("events", names.EVENT_FEEDBACK)["read by"]
    assert ["10.00 EUR per day"] == rows("kpis", "revenue")["target"]
    assert ["which customer took which step" in reason for reason in rows("kpis", "bought")["not in Prometheus"]] == [
        True
    ]


def test_operations_features_and_events_have_owner_and_meaning() -> None:
    """
    Where the file says so; one that nothing else names is in it as well, and an event of ours may get another owner.
    """
    described = {
        "operations": {"checkout": Described("sales", "Pays."), "in code": Described("web", "Told in code alone.")},
        "features": {"wishlist": Described("web", "Keeps for later.")},
        "events": {"signup": Described("crm", "Came."), names.EVENT_REFUND: Described("finance", "Got it back.")},
    }
    found = {each.key: each for each in catalogue(KPIS, [SHOP], replace(DECLARED, described=described))}
    said = {
        key: {each.name: (each.owner, each.meaning) for each in found[key].entries if each.owner != "bizspan"}
        for key in described
    }

    assert {
        "operations": {"browse": ("", ""), "checkout": ("sales", "Pays."), "in code": ("web", "Told in code alone."),
                       "refund": ("", "")},
        "features": {"cart": ("", ""), "one-click": ("", ""), "wishlist": ("web", "Keeps for later.")},
        "events": {"signup": ("crm", "Came."), names.EVENT_REFUND: ("finance", "Got it back.")},
    } == said  # fmt: skip
    (checkout,) = [each for each in found["operations"].entries if each.name == "checkout"]
    assert ["declared at", "read by"] == [label for label, _ in checkout.rows]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            "[catalogue.operation.checkout]\nowner = 'a'\nmeaning = ''",
            "3: catalogue.operation.checkout.meaning: expected a text",
        ),
        ("[catalogue.operation.checkout]\nowner = 'a'", "1: catalogue.operation.checkout.meaning: it is missing."),
        (
            "[catalogue.event.x]\nmeaning = 'a'\nowned = 'b'",
            "3: catalogue.event.x.owned: expected one of owner, meaning; did",
        ),
        (
            "[catalogue.operations.x]\nowner = 'a'",
            "1: catalogue.operations: expected one of operation, feature, event; did",
        ),
        ("catalogue = 3", "1: catalogue: expected a table, got 3."),
        ("[catalogue.feature]\none-click = 'web'", "2: catalogue.feature.one-click: expected a table, got 'web'."),
    ],
)
def test_what_is_wrong_has_file_line_and_key(told: str, said: str, tmp_path: Path) -> None:
    """
    As for KPIs.
    """
    path = tmp_path / "shop.toml"
    path.write_text(told, encoding="utf-8")

    with pytest.raises(SetupError) as raised:
        load(path)

    assert str(raised.value).startswith(f"{path}:{said}")


WORDS: tuple[tuple[Definition, str], ...] = (
    (Count(operations("checkout", "basket", country=["DE", "AT"], unless={"plan": "pro"})),
     'how many operations "checkout" or "basket" where country is DE or AT and plan is not pro'),
    (Count(events("signup", gift=True)), 'how many events "signup" where gift is true'),
    (Sum(), "revenue of all that is told, by currency"),
    (Sum("refund", refunds(), dated="order"), "refund of refunds, by the date of the order, by currency"),
    (Sum(rates=Rates("EUR", "2026-03-01", {})), "revenue of all that is told, in EUR by the rates of 2026-03-01"),
    (AverageOrderValue(of=operations("checkout")), 'revenue for each order of operations "checkout", by currency'),
    (Ratio(Count(feedback("nps", score=[9, 10])), Count(feedback("nps"))),
     'how many answers to "nps" where score is 9 or 10, divided by how many answers to "nps"'),
    (Distinct("session"), "how many different sessions in all that is told"),
    (Quantile(0.95, of=operations("checkout")), 'the duration that 95 % of operations "checkout" stay at or below'),
    (Conversion((events("a"), events("b"), events("c")), "session", "30min", "each"),
     'the part of the sessions with event "a" that go on to event "b", then event "c" within 30min; each entry counts'),
    (Retention(operations("checkout"), every="week", at=2),
     'the part of the customers whose first operation "checkout" is in one week that have that again 2 weeks later'),
    (Recurring("mrr", across="services"), 'what the gauge "mrr" told last, added up over services'),
)  # fmt: skip


@pytest.mark.parametrize(("of", "said"), WORDS, ids=[of.kind for of, _ in WORDS])
def test_a_definition_is_a_sentence(of: Definition, said: str) -> None:
    """
    Who reads no code reads what is measured.
    """
    assert said == in_words(of)


def test_a_kpi_shows_what_it_compiles_to() -> None:
    """
    SQL with the period as parameters, and PromQL where metrics can tell.
    """
    (entry,) = [each for each in sections()["kpis"].entries if each.name == "revenue"]
    code = dict(entry.code)

    assert ["SQL for ClickHouse: value", "PromQL, of an hour"] == [*code]
    assert "{since:Int64}" in code["SQL for ClickHouse: value"]
    assert "business_revenue_total" in code["PromQL, of an hour"]
    (retained,) = [each for each in sections()["kpis"].entries if each.name == "retained"]
    assert () == retained.code


NASTY = "<script>alert(1)</script> | [x](javascript:1) `` ``` *b* & \"q\" 'a' </pre> \u2028 \x00 \ud800 {{x}} # h"


class _Page(HTMLParser):
    """What a browser would see: tags, ids, links, and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        told = dict(attrs)
        self.ids += [told["id"] or ""] if "id" in told else []
        self.links += [told["href"] or ""] if "href" in told else []
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "style")], attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def hostile() -> tuple[Section, ...]:
    told = kpi(
        "hostile",
        Count(operations(NASTY, segment=NASTY)),
        owner=NASTY,
        meaning=NASTY,
        unit="</dd>",
        playbook="https://x.example/&amp;{{a}}|`",
    )
    facts = Vocabulary("own", [Attribute(name="it", allowed=[NASTY], owner=NASTY, meaning=NASTY)])
    return catalogue([*KPIS, told], [SHOP, facts], Declared(features={NASTY: (NASTY,)}))


def test_html_is_one_file_without_scripts() -> None:
    """
    Nothing told becomes a tag; every link leads to a place of the page, or is a playbook's.
    """
    page = _Page(as_html(hostile()))

    assert [] == page.open
    assert set() == {"script", "img", "link", "iframe", "object", "form"} & {*page.tags}
    assert len(page.ids) == len({*page.ids})
    outside = [link for link in page.links if not link.startswith("#")]
    assert ["https://x.example/&amp;{{a}}|`", "https://wiki.example/revenue?a=1&b=2"] == outside
    assert set() == {link[1:] for link in page.links if link.startswith("#")} - {*page.ids}
    shown = NASTY.replace("\u2028", "\ufffd").replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert shown in page.words


def test_html_fits_a_phone_in_the_dark_and_loads_nothing() -> None:
    """
    It has a viewport, both colour schemes, a policy that forbids what it does not need, and no address in its style.
    """
    text = as_html(catalogue(KPIS))

    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'\"" in text
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "prefers-color-scheme:dark" in style
    assert "color-scheme:light dark" in style
    assert not re.search(r"url\(|@import|https?:", style)
    assert '<html lang="en">' in text


def test_markdown_has_no_markup_but_ours() -> None:
    """
    What was told is escaped, tables keep their cells, fences end where they began, and links lead somewhere.
    """
    text = as_markdown(hostile())
    outside: list[str] = []
    fence = ""
    for line in text.splitlines():
        marks = re.match(r"(`{3,})(text)?$", line)
        if marks and (not fence or line == fence):
            fence = "" if fence else marks[1]
        elif not fence:
            outside.append(line)

    assert "" == fence
    tags = {tag for line in outside for tag in re.findall(r"(?<!\\)<[^>]*>", line)}
    assert {tag for tag in tags if not tag.startswith(("<a id=", "</a>", "<https://"))} == set()
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in outside if line.startswith("|") and "<https" not in line}
    assert {3} == cells
    ids = set(re.findall(r'<a id="([^"]+)">', text))
    assert set() == set(re.findall(r"(?<!\\)\]\(#([^)]+)\)", "\n".join(outside))) - ids
    assert [] == [line for line in outside if "](javascript" in line]


def test_places_are_distinct_and_plain() -> None:
    """
    Two names never share a place, and a place needs no escape.
    """
    told = ["a.b", "a-b", "a b", "a_b", "A.b", "é", "\ud800", "a_2e_b", ""]
    places = [anchor("facts", name) for name in told]

    assert len(told) == len({*places})
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", place) for place in places)


@pytest.mark.parametrize("render", [as_markdown, as_html])
def test_twice_is_the_same_and_nothing_is_said(render: Any) -> None:
    """
    The order of declarations changes nothing; a section without entries says so.
    """
    assert render(catalogue(KPIS, [SHOP])) == render(catalogue(reversed(KPIS), [SHOP]))
    assert "None is declared" in render((Section("kpis", "KPIs", "Numbers.", ()),))
    assert "nobody is declared" in render((Section("events", "Events", "-", (Entry("signup"),)),))
