"""
A KPI as one statement for a panel of Grafana over ClickHouse: of the dashboard's time, in major units.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from bizspan._currencies import EXPONENTS
from bizspan.errors import SetupError
from bizspan.kpi._calendar import Period
from bizspan.kpi._definition import AverageOrderValue, Conversion, Ratio, Recurring, Retention, Sum
from bizspan.kpi._dialect import CLICKHOUSE, ClickHouse, Dialect
from bizspan.kpi._emit import Statement
from bizspan.kpi._evaluate import statements
from bizspan.kpi._facts import Fact
from bizspan.kpi._kpi import KPI, is_converted
from bizspan.kpi._promql import NotExpressible

# Moments that no dashboard shows, far from each other: where they come out, Grafana's variables go in.
_SINCE, _UNTIL, _NOW = 3_000_000_000_000_000_000, 5_000_000_000_000_000_000, 8_000_000_000_000_000_000
_BUCKET: Final = "bizspan.bucket"
_NEAR: Final = 900_000_000_000_000_000
_DASHBOARD: Final[Mapping[int, str]] = {
    _SINCE: "toInt64(${__from}) * 1000000",
    _UNTIL: "toInt64(${__to}) * 1000000",
    _NOW: "toUnixTimestamp64Nano(now64(9))",
}
_NAMED: Final[Mapping[int, str]] = {_SINCE: "{since:Int64}", _UNTIL: "{until:Int64}", _NOW: "{now:Int64}"}


@dataclass(frozen=True, slots=True)
class _Nowhere:
    """A source of which only the dialect is used."""

    dialect: Dialect = CLICKHOUSE

    def rows(self, statements: object) -> list[Any]:
        """It has none."""
        raise SetupError("there is no source to ask.")


@dataclass(frozen=True, slots=True)
class _Bucketed(ClickHouse):
    """
    ClickHouse with one more fact: the hour or day that an event lies in.

    Args:
        unit: ``Hour`` or ``Day``.
        zone: Whose.
    """

    unit: str = "Day"
    zone: str = "UTC"

    def fact(self, fact: Fact) -> str:
        """A fact of an event."""
        if fact.key == _BUCKET:
            return f"toString(toUnixTimestamp(toStartOf{self.unit}(Timestamp, {self.literal(self.zone)})))"
        return ClickHouse.fact(self, fact)


def panel_sql(kpi: KPI, by: tuple[str, ...] = (), tables: ClickHouse = CLICKHOUSE) -> str:
    """
    One statement with the columns ``currency`` (of money), the facts, ``value``, ``n`` where records are counted, and
    the target where there is one and no breakdown.

    Groups below the KPI's minimum are left out.

    Args:
        kpi: Which one.
        by: Facts that it is broken down by.
        tables: How the tables are called.

    Raises:
        NotExpressible: When it takes more than one statement.
    """
    of = _asked(kpi, _Nowhere(tables), by)
    keys = [f"g{index}" for index in range(len(by))]
    shown = [f'{key} AS "{name}"' for key, name in zip(keys, by, strict=True)]
    inner, has_currency, has_n = _inner(kpi, of, keys)
    columns = [*(["currency"] if has_currency else []), *shown, "value", *(["n"] if has_n else [])]
    target = [] if by else _target(kpi, has_currency)
    least = f"\nWHERE n >= {kpi.minimum_group}" if by and has_n else ""
    order = "value DESC" if by else columns[0]
    return f"SELECT {', '.join((*columns, *target))}\nFROM (\n{inner}\n){least}\nORDER BY {order}"


def trend_sql(kpi: KPI, time_zone: str, tables: ClickHouse = CLICKHOUSE) -> str:
    """
    One statement with the columns ``time``, ``currency`` (of money) and ``value``: of each day, or of each hour where
    the target is for an hour.

    Args:
        kpi: Which one.
        time_zone: Whose days.
        tables: As for `panel_sql`.

    Raises:
        NotExpressible: When a day's value is not that of its records.
    """
    match kpi.of:
        case Recurring():
            raise NotExpressible("a gauge has its trend in Prometheus.")
        case Conversion(reentry="first"):
            raise NotExpressible("the first entry of each period is another question for each day.")
        case Sum(dated="order") | Ratio(of=Sum(dated="order")) | Ratio(to=Sum(dated="order")):
            raise NotExpressible("refunds by the order's date are not of the day they were told.")
        case _:
            told = {each.name: getattr(tables, each.name) for each in fields(tables)}
            dialect = _Bucketed(**told, unit="Hour" if kpi.per == "hour" else "Day", zone=time_zone)
    inner, has_currency, _ = _inner(kpi, _asked(kpi, _Nowhere(dialect), (_BUCKET,)), ["g0"])
    columns = ["toDateTime(toUInt32(g0)) AS time", *(["currency"] if has_currency else []), "value"]
    return f"SELECT {', '.join(columns)}\nFROM (\n{inner}\n)\nORDER BY time"


def _asked(kpi: KPI, where: _Nowhere, by: tuple[str, ...]) -> Mapping[str, Statement]:
    """The statements that a panel is made from, by what they give."""
    if isinstance(kpi.of, Retention):
        raise NotExpressible("its cohorts need a calendar: `bizspan kpi show` has them.")
    if is_converted(kpi.of):
        raise NotExpressible("it is converted by rates of yours: `bizspan kpi show` does that.")
    told = statements(kpi, where, Period(_SINCE, _UNTIL), by=by, as_of_ns=_NOW)
    return {each.what: each for each in told}


def _target(kpi: KPI, has_currency: bool) -> list[str]:
    if not kpi.targets:
        return []
    name = f'"target per {kpi.per}"' if kpi.per else '"target"'
    if not has_currency or "" in kpi.targets:
        return [f"{next(iter(kpi.targets.values())):f} AS {name}"]
    told = ", ".join(f"currency = '{code}', {amount:f}" for code, amount in kpi.targets.items())
    return [f"multiIf({told}, NULL) AS {name}"]


def _inner(kpi: KPI, of: Mapping[str, Statement], keys: list[str]) -> tuple[str, bool, bool]:
    """The statement below; whether it has a currency, and whether a number of records."""
    groups = "".join(f"{key}, " for key in keys)
    match kpi.of:
        case Ratio():
            return _ratio(kpi.of, of, keys), isinstance(kpi.of.of, Sum), True
        case Sum():
            return f"SELECT currency, {groups}value / {_SCALE} AS value, n\nFROM (\n{_text(of['value'])}\n)", True, True
        case AverageOrderValue():
            value = f"value / n / {_SCALE}"
            return f"SELECT currency, {groups}{value} AS value, n\nFROM (\n{_text(of['value'])}\n)", True, True
        case Conversion(steps=steps):
            value = f"n{len(steps)} / nullIf(n1, 0)"
            return f"SELECT {groups}{value} AS value, n1 AS n\nFROM (\n{_text(of['value'])}\n)", False, True
        case Recurring():
            select = f"SELECT currency, {groups}sum(value) AS value\nFROM (\n{_text(of['value'])}\n)"
            return f"{select}\nGROUP BY {groups}currency", True, False
        case _:
            return _text(of["value"]), False, True


def _ratio(ratio: Ratio, of: Mapping[str, Statement], keys: list[str]) -> str:
    upper, lower = _text(of["of"]), _text(of["to"])
    is_money, is_money_below = isinstance(ratio.of, Sum), isinstance(ratio.to, Sum)
    # What nobody told is no value, and NULL joins nothing.
    on = [f"ifNull(upper.{key}, '') = ifNull(lower.{key}, '')" for key in keys]
    on += ["upper.currency = lower.currency"] if is_money_below else []
    join = f"LEFT JOIN (\n{upper}\n) AS upper ON {' AND '.join(on)}" if on else f"CROSS JOIN (\n{upper}\n) AS upper"
    side = "lower" if is_money_below else "upper"
    columns = [f"{side}.currency AS currency"] if is_money else []
    columns += [f"lower.{key} AS {key}" for key in keys]
    scale = f" / {_SCALE.replace('currency', 'upper.currency')}" if is_money and not is_money_below else ""
    columns += [f"ifNull(upper.value, 0){scale} / nullIf(lower.value, 0) AS value", "lower.n AS n"]
    missing = "\nWHERE upper.currency <> ''" if is_money and not is_money_below and keys else ""
    return f"SELECT {', '.join(columns)}\nFROM (\n{lower}\n) AS lower {join}{missing}"


def _listed(codes: Iterable[str]) -> str:
    return ", ".join(f"'{code}'" for code in sorted(codes))


def _scale() -> str:
    """What minor units are divided by, by currency."""
    by_exponent: dict[int, list[str]] = {}
    for code, exponent in EXPONENTS.items():
        by_exponent.setdefault(exponent, []).append(code)
    del by_exponent[2]
    told = [f"currency IN ({_listed(codes)}), {10**exponent}" for exponent, codes in sorted(by_exponent.items())]
    return f"multiIf({', '.join(told)}, 100)"


_SCALE: Final = _scale()


def named_sql(kpi: KPI) -> tuple[tuple[str, str], ...]:
    """
    What gives a KPI's value in ClickHouse, with the parameters ``since``, ``until`` and ``now`` in nanoseconds; nothing
    for a retention, whose statement is of certain cohorts.

    Args:
        kpi: Which one.
    """
    if isinstance(kpi.of, Retention):
        return ()
    told = statements(kpi, _Nowhere(), Period(_SINCE, _UNTIL), as_of_ns=_NOW)
    return tuple((each.what, _text(each, _NAMED)) for each in told if each.what in ("value", "of", "to"))


def _text(statement: Statement, moments: Mapping[int, str] = _DASHBOARD) -> str:
    """A statement with its values in it, and these words for its times."""
    dialect = statement.dialect
    written = {
        dialect.placeholder(name, value): _value(dialect, value, moments)
        for name, value in statement.parameters.items()
    }  # fmt: skip
    if not written:
        return statement.sql
    pattern = "|".join(re.escape(each) for each in sorted(written, key=len, reverse=True))
    return re.sub(pattern, lambda found: written[found[0]], statement.sql)


def _value(dialect: Dialect, value: str | int | float, moments: Mapping[int, str]) -> str:
    if isinstance(value, str):
        # Grafana puts variables where it finds $ or [[, in a text too.
        return dialect.literal(value).replace("$", "\\x24").replace("[", "\\x5b")
    if isinstance(value, int):
        for moment, text in moments.items():
            if abs(value - moment) < _NEAR:
                distance = value - moment
                return f"({text} {'+' if distance > 0 else '-'} {abs(distance)})" if distance else f"({text})"
    return dialect.literal(value)
