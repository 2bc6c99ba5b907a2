"""
Numbers, money and moments as people read them.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from bizspan._currencies import EXPONENTS

if TYPE_CHECKING:
    from bizspan.kpi import Calendar


def amount(minor: int | float, currency: str) -> Decimal:
    """Minor units in major ones."""
    return Decimal(minor).scaleb(-EXPONENTS[currency])


def money(minor: int | float, currency: str, *, short: bool = False) -> str:
    """``1,204.50``; short, ``1.20 M``. The currency stands in the heading."""
    value = amount(minor, currency)
    if short and abs(value) >= 1_000_000:
        return f"{value / 1_000_000:,.2f} M"
    if short and abs(value) >= 100_000:
        return f"{value:,.0f}"
    return f"{value:,f}"


def worth(minor: int | None, currency: str | None) -> str | None:
    """``1,204.50 EUR``; what is in no currency is no money."""
    if minor is None or currency is None:
        return None
    return f"{money(minor, currency)} {currency}" if currency in EXPONENTS else "no currency"


def rate(hits: int, of: int) -> str:
    """``61.3 %``; nothing where there is nothing to divide by."""
    return f"{100 * hits / of:.1f} %" if of else "–"


def rate_said(hits: int, of: int) -> str:
    """From how many a rate is, and its 95 % interval."""
    from bizspan.kpi._small import wilson

    found = wilson(hits, of)
    beside = f"; 95 %: {100 * found[0]:.1f} to {100 * found[1]:.1f} % (Wilson)" if found else ""
    return f"{hits:,} of {of:,}{beside}"


def seconds(value: float | None) -> str:
    """``31 ms``, ``1.20 s``."""
    if value is None:
        return "–"
    return f"{value * 1000:,.0f} ms" if value < 1 else f"{value:,.2f} s"


def moment(second: float, calendar: Calendar) -> str:
    """``2026-11-27 14:05``, in the calendar's zone."""
    return datetime.fromtimestamp(second, calendar.zone).strftime("%Y-%m-%d %H:%M")


def exact_moment(time_ns: int, calendar: Calendar) -> str:
    """With seconds and milliseconds."""
    whole, rest = divmod(time_ns, 10**9)
    return datetime.fromtimestamp(whole, calendar.zone).strftime("%Y-%m-%d %H:%M:%S") + f".{rest // 10**6:03d}"


def cut(text: str, most: int = 80) -> str:
    """A long text with its end left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
