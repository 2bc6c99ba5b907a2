"""
What is known of the demo's shop on all sides: who comes, and where the money is from.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

COUNTRIES: Final = {"DE": "Germany", "AT": "Austria", "FR": "France", "CH": "Switzerland"}
CURRENCIES: Final = {"DE": "EUR", "AT": "EUR", "FR": "EUR", "CH": "CHF"}
OLD, NEW = "1.4", "1.5"
_SHARES: Final = (40, 20, 22, 18)
_SEGMENTS: Final = ("consumer", "consumer", "business", "enterprise")
_CAMPAIGNS: Final = ("", "", "spring-sale", "newsletter")
_TO_CHECKOUT: Final = 0.8
_WITH_SPACES: Final = 0.6


@dataclass(frozen=True, slots=True)
class Visit:
    """
    One visit: a basket, and perhaps a checkout.

    Args:
        number: From 0.
        country: Where from.
        segment: Of the customer.
        campaign: What led here; empty for none.
        customer: Who.
        minor: What is in the basket, in minor units of the country's currency.
        account: How the customer pays, as typed: an IBAN in Germany, elsewhere a card.
        checks_out: Whether the customer goes on to the checkout.
        draw: Between 0 and 1; a visit with less than the new release's share meets that one.
    """

    number: int
    country: str
    segment: str
    campaign: str
    customer: str
    minor: int
    account: str
    checks_out: bool
    draw: float

    @property
    def order(self) -> str:
        """The order's id."""
        return f"o-{self.number}"

    @property
    def currency(self) -> str:
        """Of the country."""
        return CURRENCIES[self.country]


def visit(seed: int, number: int) -> Visit:
    """
    A visit: the same for the same seed and number.

    Args:
        seed: Of the demo.
        number: From 0.
    """
    chance = random.Random(f"{seed}:{number}")
    (country,) = chance.choices([*COUNTRIES], _SHARES)
    segment = chance.choice(_SEGMENTS)
    return Visit(
        number=number,
        country=country,
        segment=segment,
        campaign=chance.choice(_CAMPAIGNS),
        customer=f"c-{chance.randrange(100_000)}",
        minor=chance.randint(12_00, 90_00) * (3 if segment == "enterprise" else 1),
        account=_account(country, chance),
        checks_out=chance.random() < _TO_CHECKOUT,
        draw=chance.random(),
    )


def _account(country: str, chance: random.Random) -> str:
    digits = f"{chance.randrange(10**20):020}"
    if country != "DE":
        return f"4{digits[:15]}"
    # People copy an IBAN as it is printed, in groups of four.
    iban = f"DE{digits}"
    return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4)) if chance.random() < _WITH_SPACES else iban
