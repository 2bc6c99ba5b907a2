"""The generated tables against the packages that they were made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import iso4217
import pycountry
import pytest

import bizspan.money
from bizspan._regions import CONTINENTS, COUNTRIES, is_continent, is_country, is_region
from bizspan.money import EXPONENTS
from tests.tools import generate_tables

PACKAGE = Path(bizspan.money.__file__).parent


def test_the_tables_are_what_the_generator_writes() -> None:
    """Neither edited by hand nor older than the development packages."""
    assert generate_tables.currencies() == (PACKAGE / "_currencies.py").read_text(encoding="utf-8")
    assert generate_tables.regions() == (PACKAGE / "_regions.py").read_text(encoding="utf-8")


def test_every_exponent_is_the_one_of_iso_4217() -> None:
    """Read from the enumeration of iso4217, where the generator reads its XML."""
    currencies: Any = iso4217.Currency

    assert {code: currencies(code).exponent for code in EXPONENTS} == EXPONENTS


def test_every_active_currency_is_money_unless_the_table_says_why_not() -> None:
    """What is left out is exactly: no exponent, funds, and two units of account."""
    currencies: Any = iso4217.Currency
    no_exponent = {currency.code for currency in currencies if currency.exponent is None}
    funds = {"BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI"}
    units_of_account = {"UYW", "XAD"}

    left_out = {currency.code for currency in currencies} - set(EXPONENTS)

    assert no_exponent | funds | units_of_account == left_out
    documented = (PACKAGE / "_currencies.py").read_text(encoding="utf-8").split('"""')[1]
    assert {"XXX"} == {code for code in left_out if code not in documented}  # told in words


@pytest.mark.parametrize(
    ("code", "exponent"),
    [
        ("EUR", 2),
        ("JPY", 0),
        ("BHD", 3),
        ("ZWG", 2),
        ("XCG", 2),
        ("IQD", 3),
        ("MGA", 2),
        ("XOF", 0),
        ("VES", 2),
    ],
)
def test_exponents_are_those_of_minor_units_and_not_of_display(code: str, exponent: int) -> None:
    """Iraq's dinar has 3 decimals although prices show none; new codes are in."""
    assert exponent == EXPONENTS[code]


@pytest.mark.parametrize("code", ["HRK", "ZWL", "ANG", "BGN", "SLL", "CUC", "DEM", "XAU", "XDR", "XTS", "XXX", "CHE"])
def test_withdrawn_currencies_and_what_is_no_money_are_left_out(code: str) -> None:
    """A price in a withdrawn currency, a metal or a fund is a mistake."""
    assert code not in EXPONENTS


def test_countries_are_those_of_iso_3166_1() -> None:
    """All alpha-2 codes that are assigned, and no others."""
    countries: Any = pycountry.countries

    assert {country.alpha_2 for country in countries} == COUNTRIES
    assert (True, False, False) == (is_country("DE"), is_country("de"), is_country("XX"))


def test_every_subdivision_of_iso_3166_2_has_the_form_of_a_region() -> None:
    """The pattern refuses none of the 5,000 that exist."""
    subdivisions: Any = pycountry.subdivisions

    assert [] == [each.code for each in subdivisions if not is_region(each.code)]


@pytest.mark.parametrize(
    "code",
    ["", "DE", "DE-", "DE-ABCD", "de-by", "DE-by", "XX-AB", "DE_BY", "DE-B Y", "DE-BÄ", "DE-٣", "DE-BY\n"],
)
def test_what_has_not_the_form_of_a_region_is_refused(code: str) -> None:
    """Unknown country, wrong case, length or script."""
    assert not is_region(code)


def test_continents_are_the_seven_of_the_semantic_conventions() -> None:
    """As geo.continent.code lists them."""
    assert {"AF", "AN", "AS", "EU", "NA", "OC", "SA"} == CONTINENTS
    assert (True, False) == (is_continent("EU"), is_continent("XX"))
