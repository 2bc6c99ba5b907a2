"""The purchases of a real shop, from data/cdnow_sample.csv, and the rules by which they are replayed."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

FILE = Path(__file__).parent / "data" / "cdnow_sample.csv"

DECLINED_EVERY = 20
REFUNDED_EVERY = 50


@dataclass(frozen=True, slots=True)
class Purchase:
    """
    One line of the file, and what the replay makes of it.

    Args:
        order: The order's number, in order of date: "cdnow-00001".
        customer: The customer's number in the file.
        segment: "one_time", "repeat" or "loyal", from how often the customer bought over the whole file.
        total: US dollars.
        declined_first: Whether the card is declined once before it is accepted.
        refunded: "no", "whole" or "half".
    """

    order: str
    customer: str
    segment: str
    total: Decimal
    declined_first: bool
    refunded: str


def read_purchases(limit: int | None = None) -> list[Purchase]:
    """
    Return the purchases in order of date.

    Args:
        limit: Only the first so many; segments always come from the whole file. Default: all 6,919.
    """
    with FILE.open(newline="", encoding="utf-8") as file:
        lines = sorted(csv.DictReader(file), key=lambda line: line["date"])
    bought = Counter(line["customer"] for line in lines)
    return [
        Purchase(
            order=f"cdnow-{number:05}",
            customer=line["customer"],
            segment=_segment(bought[line["customer"]]),
            total=Decimal(line["usd"]),
            declined_first=number % DECLINED_EVERY == 0,
            refunded=_refunded(number),
        )
        for number, line in enumerate(lines[:limit], 1)
    ]


def _segment(purchases: int) -> str:
    if purchases == 1:
        return "one_time"
    return "repeat" if purchases < 5 else "loyal"


def _refunded(number: int) -> str:
    if number % REFUNDED_EVERY != 0:
        return "no"
    return "half" if number % (2 * REFUNDED_EVERY) == 0 else "whole"
