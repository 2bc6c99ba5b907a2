"""What the demo says, from a store whose figures are known."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from importlib import util
from importlib.machinery import ModuleSpec
from pathlib import Path
from threading import Event

import pytest

from bizspan import demo
from bizspan.cli import main
from bizspan.demo._figures import Rate, hurt, rates, sentence, table
from bizspan.demo._goods import visit
from bizspan.demo._ledger import Orders
from bizspan.demo._shop import Shop
from bizspan.demo._story import Story
from bizspan.demo._web import form_takes
from tests.kpi.releases import HOUR, NOW, checkout
from tests.kpi.stores import Told, sqlite_store

SPAN = (NOW - HOUR, NOW)


def checkouts(country: str, version: str, paid: int, of: int, currency: str = "EUR") -> list[Told]:
    """Checkouts of one minute, of which these many were paid, 40.00 each."""
    at = NOW - HOUR // 2
    return [
        checkout(
            f"{country}-{version}-{number}", at, version, paid=number < paid, minor=40_00, currency=currency,
            country=country,
        )
        for number in range(of)
    ]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A release that hurts in Germany, and a little in Switzerland, where there are few."""
    told = [
        *checkouts("DE", "1.4", 61, 100), *checkouts("DE", "1.5", 48, 100),
        *checkouts("AT", "1.4", 60, 100), *checkouts("AT", "1.5", 62, 100),
        *checkouts("CH", "1.4", 8, 12, "CHF"), *checkouts("CH", "1.5", 6, 12, "CHF"),
    ]  # fmt: skip
    path = tmp_path / "store.db"
    sqlite_store(path, told)
    return path


def test_the_sentence_names_country_and_money(store: Path) -> None:
    """
    It is the country furthest from chance, with the difference for each checkout, times the new one's in an hour.
    """
    found = hurt(store, "1.4", "1.5", SPAN)

    assert "release 1.5: checkout conversion in Germany 61 -> 48 % (n=200), about 520 EUR/h lost" == sentence(
        "1.5", found
    )


def test_money_is_said_to_three_digits(store: Path) -> None:
    """
    In a tenth of the hour it is ten times as much for an hour, said to three digits, by currency.
    """
    found = hurt(store, "1.4", "1.5", (NOW - HOUR // 2 - HOUR // 20, NOW - HOUR // 2 + HOUR // 20))
    assert found is not None

    assert "about 5,200 EUR/h lost" in sentence("1.5", found)
    assert sentence("1.5", replace(found, lost={"EUR": 1_391_499.0, "CHF": -0.4})).endswith(
        ", about 0 CHF/h gained, about 1,390,000 EUR/h lost"
    )


def test_nothing_that_fell_is_said_as_such(tmp_path: Path) -> None:
    """
    Where the new release is as good everywhere, or nobody met it, no country is named.
    """
    path = tmp_path / "store.db"
    sqlite_store(path, [*checkouts("DE", "1.4", 30, 50), *checkouts("DE", "1.5", 31, 50)])
    alone = tmp_path / "alone.db"
    sqlite_store(alone, checkouts("DE", "1.4", 30, 50))

    assert hurt(path, "1.4", "1.5", SPAN) is None
    assert hurt(alone, "1.4", "1.5", SPAN) is None
    assert "release 1.5: no country's checkout conversion has fallen so far" == sentence("1.5", None)


def test_the_table_is_what_the_store_says(store: Path) -> None:
    """
    Revenue is by currency, the conversion by country and version with its number of checkouts.
    """
    found = table(store, SPAN)

    assert {"EUR": 9240, "CHF": 560} == dict(found.revenue)
    assert Rate(48, 100) == found.rates["DE", "1.5"]
    assert "48 % (100)" == str(found.rates["DE", "1.5"])
    assert {("DE",): Rate(109, 200), ("AT",): Rate(122, 200), ("CH",): Rate(14, 24)} == rates(store, SPAN, ("country",))


def test_customers_are_the_same_for_the_same_seed() -> None:
    """
    A visit depends on the seed and its number alone; German customers type an IBAN, most as it is printed.
    """
    visits = [visit(5, number) for number in range(500)]
    german = [each.account for each in visits if each.country == "DE"]

    assert visits == [visit(5, number) for number in range(500)]
    assert visits != [visit(6, number) for number in range(500)]
    assert len(german) > 150
    assert all(form_takes(account, "1.4") for account in german)
    assert {True, False} == {form_takes(account, "1.5") for account in german}
    assert all(form_takes(each.account, "1.5") for each in visits if each.country != "DE")


def test_an_order_is_decided_once(tmp_path: Path) -> None:
    """
    What was written about an order first stays, whatever is decided later.
    """
    orders = Orders(tmp_path / "ledger.db")

    assert orders.became("o-1") is None
    assert "no_funds" == orders.settle("o-1", "no_funds", 500, "EUR")
    assert "no_funds" == orders.settle("o-1", "paid", 500, "EUR")
    orders.close()


def test_a_missing_extra_is_said_with_the_pip_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Without the packages of both extras nothing starts; the answer is the line that installs them.
    """

    def without_sdk(name: str) -> ModuleSpec | None:
        return None if name == "opentelemetry.sdk" else util.find_spec(name)

    monkeypatch.setattr(demo, "find_spec", without_sdk)

    assert 2 == main(["demo"])
    assert 'pip install "bizspan[otlp,lens]"' in capsys.readouterr().err


class Meddling:
    """A screen that has no keys; when the release was rolled back, somebody writes an order that never was."""

    has_keys = False

    def __init__(self, directory: Path) -> None:
        self.said: list[str] = []
        self._directory = directory

    def say(self, line: str) -> None:
        self.said.append(line)
        if "rolled back" in line:
            with closing(sqlite3.connect(self._directory / "ledger.db", timeout=10)) as ledger:
                ledger.execute("INSERT INTO orders VALUES ('o-x', 'paid', 199, 'EUR', '2026-01-01T00:00:00Z')")
                ledger.commit()

    def draw(self, lines: Sequence[str]) -> None:
        pass

    def key(self, timeout_s: float) -> str:
        Event().wait(timeout_s)
        return ""


@pytest.mark.server
def test_a_book_that_differs_is_an_error(tmp_path: Path) -> None:
    """
    An order without an event is said in money and by its exit code.
    """
    screen = Meddling(tmp_path)

    assert 1 == Story(5, 2.0, tmp_path, screen, Event()).run()
    assert "different: 1 difference" == screen.said[-1]
    assert any(" = 1.99 EUR " in line for line in screen.said)


@pytest.mark.server
def test_an_error_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When something breaks half-way, the shop's processes have ended before the error gets out.
    """
    from tests.demo.running import left

    def broken(self: Shop) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Shop, "release", broken)
    with pytest.raises(RuntimeError, match="broken"):
        Story(5, 2.0, tmp_path, Meddling(tmp_path), Event()).run()

    assert [] == left(tmp_path)
