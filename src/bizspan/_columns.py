"""
Which attributes have a column of their own in a store of events. All others stay together, as one JSON document.

KPIs are compiled to these columns, and a store has them; neither knows the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from bizspan import names

Kind = Literal["TEXT", "INTEGER", "REAL"]


@dataclass(frozen=True, slots=True)
class Column:
    """
    One column.

    Args:
        name: Of the column.
        kind: SQL's type.
        of: Whether the attribute is the record's own, or its resource's.
    """

    name: str
    kind: Kind = "TEXT"
    of: Literal["record", "resource"] = "record"


SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
ENVIRONMENT: Final = "deployment.environment.name"

# By attribute key.
COLUMNS: Final[dict[str, Column]] = {
    SERVICE_NAME: Column("service", of="resource"),
    SERVICE_VERSION: Column("version", of="resource"),
    ENVIRONMENT: Column("environment", of="resource"),
    names.OPERATION_NAME: Column("operation"),
    names.OPERATION_ID: Column("operation_id"),
    names.OPERATION_OUTCOME: Column("outcome"),
    names.OPERATION_REASON: Column("reason"),
    names.OPERATION_DURATION: Column("duration_s", "REAL"),
    names.ERROR_TYPE: Column("error_type"),
    names.CUSTOMER: Column("customer"),
    names.SEGMENT: Column("segment"),
    names.PLAN: Column("plan"),
    names.TENANT: Column("tenant"),
    names.COMMUNITY: Column("community"),
    names.COUNTRY: Column("country"),
    names.REGION: Column("region"),
    names.CONTINENT: Column("continent"),
    names.CHANNEL: Column("channel"),
    names.CAMPAIGN: Column("campaign"),
    names.CAMPAIGN_SOURCE: Column("campaign_source"),
    names.CAMPAIGN_MEDIUM: Column("campaign_medium"),
    names.ORDER: Column("order_id"),
    names.PRODUCT: Column("product"),
    names.CATEGORY: Column("category"),
    names.FEATURE: Column("feature"),
    names.TRAFFIC: Column("traffic"),
    names.SESSION: Column("session"),
    names.FLAG: Column("flag"),
    names.VARIANT: Column("variant"),
    names.FEEDBACK_NAME: Column("feedback"),
    names.FEEDBACK_SCORE: Column("score", "REAL"),
    **{
        names.MINOR_UNITS_KEYS[kind]: Column(f"{kind[len('business.') :]}_minor", "INTEGER")
        for kind in names.MONEY_KINDS
    },
    **{names.CURRENCY_KEYS[kind]: Column(f"{kind[len('business.') :]}_currency") for kind in names.MONEY_KINDS},
    **{names.AMOUNT_INVALID_KEYS[kind]: Column(f"{kind[len('business.') :]}_invalid") for kind in names.MONEY_KINDS},
}

# A store counts operations by how long they took as well: up to each of these, in seconds, and beyond the last.
TOOK_S: Final = (0.1, 0.3, 1.0, 3.0)

# Not what a hostile sender makes of it: as the minutes count them.
DURATION: Final = "CASE WHEN duration_s >= 0 AND duration_s < 1e9 THEN duration_s END"
# A store counts events per hour by these together, and by the currencies of these kinds of money.
HOUR_FACTS: Final = (
    "name", "operation", "outcome", "traffic", "reason", "segment", "country", "channel", "campaign", "version",
)  # fmt: skip
HOUR_MONEY: Final = tuple(kind.removeprefix("business.") for kind in (names.REVENUE, names.REFUND, names.VALUE))


def money_of_events(kind: str) -> str:
    """
    SQL for how many events have an amount, its sum in minor units, and of how many it is missing: refused, or told in
    part, as in the minutes, and as KPIs have it.

    Args:
        kind: One of `HOUR_MONEY`.
    """
    minor, currency, invalid = f"{kind}_minor", f"{kind}_currency", f"{kind}_invalid"
    return f"count({minor}), sum({minor}), sum({invalid} IS NOT NULL OR ({minor} IS NULL) <> ({currency} IS NULL))"


def money_of_hours(kind: str) -> str:
    """The same, from what was counted per hour."""
    return f"sum({kind}_count), sum({kind}_minor), sum({kind}_missing)"


def is_beyond_64_bits(error: Exception) -> bool:
    """Whether SQLite gave up a sum because it is beyond 64 bits, which only invented amounts reach."""
    return "integer overflow" in str(error)  # its code is SQLITE_ERROR, as of most others
