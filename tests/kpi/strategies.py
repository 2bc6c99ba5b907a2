"""
Random events: few customers, orders and moments, so that they meet; and what bad data looks like.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from bizspan import names
from bizspan._columns import SERVICE_NAME
from bizspan.kpi import Calendar
from tests.kpi.stores import SECOND, Point, Told

BERLIN: Final = Calendar("Europe/Berlin")
HOUR: Final = 3600 * SECOND
# The night in which the clock is set back: 25 hours.
DAY: Final = BERLIN.read("2026-10-25", 0)
BONUS: Final = "shop.bonus"
POINTS: Final = "shop.points"
GIFT: Final = "shop.gift"
HOSTILE: Final = "x'); DROP TABLE events; --\\ \t{p1:String} :p1"

_maybe = st.none()
_times = st.integers(-60, 60).map(lambda hours: DAY.since_ns + hours * HOUR) | st.sampled_from(
    [DAY.since_ns, DAY.since_ns - 1, DAY.until_ns, DAY.until_ns - 1]
)
_currencies = st.sampled_from(["EUR", "USD", "JPY", "BHD"])
_minors = st.integers(-5_000, 5_000) | st.sampled_from([2**53 + 1, 10**15 + 7])


@st.composite
def _attributes(draw: Any) -> tuple[str, dict[str, Any]]:
    kind: str = draw(st.sampled_from(["checkout", "checkout", "basket", "signup", "refund", "nps", "cost", "further"]))
    told: dict[str, Any] = {
        names.CUSTOMER: draw(_maybe | st.sampled_from(["a", "b", "c", "d"])),
        names.ORDER: draw(_maybe | st.sampled_from(["o-1", "o-2", "o-3", ""]).map(lambda order: order or None)),
        names.COUNTRY: draw(_maybe | st.sampled_from(["DE", "AT"])),
        names.SEGMENT: draw(_maybe | st.sampled_from(["smb", HOSTILE])),
        names.TRAFFIC: draw(_maybe | st.sampled_from(["customer", "bot"])),
        BONUS: draw(_maybe | st.sampled_from(["x", HOSTILE])),
        POINTS: draw(_maybe | st.integers(-3, 3)),
        GIFT: draw(_maybe | st.booleans()),
        SERVICE_NAME: draw(st.sampled_from(["shop", "pay"])),
    }
    outcome = draw(st.sampled_from(["success", "success", "rejected", "failed"]))
    if kind in ("checkout", "basket"):
        told |= {names.OPERATION_NAME: kind, names.OPERATION_OUTCOME: outcome, names.OPERATION_ID: "r"}
        told[names.OPERATION_DURATION] = draw(st.sampled_from([0.5, 1.25, 0.1, 3.0, 1e-7]))
        name = names.EVENT_OPERATION
        money = draw(st.sampled_from(["revenue", "value", "cost", ""]))
    elif kind == "further":
        told |= {names.OPERATION_NAME: "checkout", names.OPERATION_OUTCOME: outcome}
        name, money = names.EVENT_REVENUE, "revenue"
    else:
        ours = {"refund": names.EVENT_REFUND, "nps": names.EVENT_FEEDBACK, "cost": names.EVENT_COST}
        name = ours.get(kind, kind)
        money = {"refund": "refund", "cost": "cost", "signup": "revenue"}.get(kind, "")
        told[names.OPERATION_OUTCOME] = draw(st.sampled_from([None, None, None, "failed"]))
        if kind == "nps":
            told |= {names.FEEDBACK_NAME: "nps", names.FEEDBACK_SCORE: draw(st.integers(0, 10).map(float))}
    if money:
        if draw(st.integers(0, 5)):
            told[f"business.{money}.minor_units"] = draw(_minors)
            told[f"business.{money}.currency"] = draw(_currencies)
        else:
            told |= draw(
                st.sampled_from([{f"business.{money}.invalid": "precision"}, {f"business.{money}.currency": "EUR"}])
            )
    return name, {key: value for key, value in told.items() if value is not None}


@st.composite
def told(draw: Any) -> list[Told]:
    """Events in any order, some delivered twice, some late."""
    drawn = draw(st.lists(st.tuples(_attributes(), _times, st.integers(0, 40), st.integers(1, 2)), max_size=30))
    return [
        Told(f"u-{number:03}", time_ns, name, attributes, time_ns + delay * HOUR, copies)
        for number, ((name, attributes), time_ns, delay, copies) in enumerate(drawn)
    ]


@st.composite
def points(draw: Any) -> list[Point]:
    """Points of a gauge, of several sets, processes and moments; some stale."""
    plans = st.sampled_from(["free", "pro"])
    drawn = draw(
        st.lists(
            st.tuples(
                st.integers(1, 180), st.sampled_from(["mrr", "other"]), st.sampled_from([41.9, 0.1, 0.2, 1042.0]),
                st.sampled_from(["shop", "pay"]), plans, _maybe | _currencies, st.booleans(),
            ),
            max_size=20,
        )
    )  # fmt: skip
    found: list[Point] = []
    for minutes, name, value, service, plan, currency, is_turned in drawn:
        facts = [(names.PLAN, plan), *([(names.CURRENCY_KEYS[names.VALUE], currency)] if currency else [])]
        time_ns = DAY.until_ns - minutes * 60 * SECOND
        found.append(Point(time_ns, name, value, service, dict(reversed(facts) if is_turned else facts)))
    return found
