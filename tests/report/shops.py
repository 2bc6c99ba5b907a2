"""A store of the lens with given events, and a random shop whose numbers plain Python knows."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from bizspan import names
from bizspan._columns import COLUMNS, SERVICE_NAME, SERVICE_VERSION
from bizspan.kpi import Calendar
from bizspan.lens import Store
from tests.kpi.stores import SECOND, Told

HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR
BERLIN: Final = Calendar("Europe/Berlin")
WEEK: Final = BERLIN.read("2026-03-02..2026-03-09", 0)
HOSTILE: Final = ("<script>alert(1)</script>", "=HYPERLINK(1)", "\x1b[31mred", "a|b`c*", "x'); DROP TABLE events; --")
_SEGMENTS: Final = ("smb", "consumer", None, *HOSTILE[:2])
_COUNTRIES: Final = ("DE", "FR", "AT", "LI")
_REASONS: Final = ("card_declined", "out_of_stock", None, *HOSTILE)
_REVENUE, _VALUE = names.REVENUE, names.VALUE


def lens_store(path: Path, events: Iterable[Told]) -> Path:
    """A store as the lens makes it, with these events."""
    Store(path).close()
    columns = ["uid", "time_ns", "received_ns", "name", "resource_id", "scope_id", "attributes",
               *(column.name for column in COLUMNS.values())]  # fmt: skip
    marks = ", ".join("?" * len(columns))
    with closing(sqlite3.connect(path)) as database:
        database.executemany(
            f"INSERT INTO events ({', '.join(columns)}) VALUES ({marks})",
            (
                (
                    each.uid, each.time_ns, each.received_ns, each.name, 0, 0,
                    json.dumps({key: value for key, value in each.attributes.items() if key not in COLUMNS}),
                    *(each[key] for key in COLUMNS),
                )
                for each in events
            ),
        )  # fmt: skip
        database.commit()
    return path


def operation(
    uid: str, time_ns: int, name: str = "checkout", outcome: str = "success", *,
    money: str = "", minor: int | None = None, currency: str = "EUR", received_ns: int | None = None, **more: Any,
) -> Told:  # fmt: skip
    """One operation; `more` are facts by their keyword of `names`: ``COUNTRY="DE"``."""
    told: dict[str, Any] = {names.OPERATION_NAME: name, names.OPERATION_OUTCOME: outcome, SERVICE_NAME: "shop"}
    told |= {getattr(names, key) if hasattr(names, key) else key: value for key, value in more.items()}
    if minor is not None:
        told |= {names.MINOR_UNITS_KEYS[money or _REVENUE]: minor, names.CURRENCY_KEYS[money or _REVENUE]: currency}
    return Told(uid, time_ns, names.EVENT_OPERATION, told, time_ns if received_ns is None else received_ns)


def random_shop(seed: int, count: int = 1_500) -> list[Told]:
    """Two weeks and a bit around them; few groups are small, and nothing that data can be is left out."""
    chance = random.Random(seed)
    since, until = WEEK.since_ns - 9 * DAY, WEEK.until_ns + DAY
    found: list[Told] = []
    for number in range(count):
        time_ns = chance.randrange(since, until) if number > 4 else (WEEK.since_ns, WEEK.until_ns, since)[number % 3]
        kind = chance.choices(("operation", "further", "refund", "nps"), (80, 5, 8, 7))[0]
        outcome = chance.choices((names.SUCCESS, names.REJECTED, names.FAILED, "cancelled"), (70, 15, 10, 5))[0]
        told: dict[str, Any] = {
            SERVICE_NAME: "shop",
            SERVICE_VERSION: "1.4" if time_ns < WEEK.since_ns + 3 * DAY else "1.5",
            names.SEGMENT: chance.choice(_SEGMENTS),
            names.COUNTRY: chance.choices(_COUNTRIES, (50, 30, 19, 1))[0],
            names.TRAFFIC: chance.choice((None, None, "customer", "bot", "staff")),
            names.CUSTOMER: f"c-{chance.randrange(40)}",
        }
        name = {"operation": names.EVENT_OPERATION, "further": names.EVENT_REVENUE, "refund": names.EVENT_REFUND}.get(
            kind, names.EVENT_FEEDBACK
        )
        money = {"refund": names.REFUND, "further": _REVENUE}.get(kind, chance.choice((_REVENUE, _VALUE, "", "none")))
        if kind in ("operation", "further"):
            told[names.OPERATION_NAME] = chance.choice(("checkout", "signup", HOSTILE[3]))
            told[names.OPERATION_OUTCOME] = outcome
            if outcome != names.SUCCESS:
                told[names.OPERATION_REASON] = chance.choice(_REASONS)
        if kind == "nps":
            told |= {names.FEEDBACK_NAME: "nps", names.FEEDBACK_SCORE: float(chance.randrange(11))}
        elif money == "none":
            what, why = chance.choice(((names.AMOUNT_INVALID_KEYS, "precision"), (names.CURRENCY_KEYS, "EUR")))
            told[what[_REVENUE]] = why
        elif money:
            told[names.MINOR_UNITS_KEYS[money]] = chance.randrange(1, 50_000)
            told[names.CURRENCY_KEYS[money]] = chance.choices(("EUR", "JPY", "XXQ"), (60, 38, 2))[0]
        told = {key: value for key, value in told.items() if value is not None}
        found.append(Told(f"u-{number}", time_ns, name, told, time_ns + chance.choice((0, HOUR, 20 * DAY))))
    return found


def is_customers(event: Told) -> bool:
    """Whether it counts."""
    return event[names.TRAFFIC] in (None, "customer")
