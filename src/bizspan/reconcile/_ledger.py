"""
The system of record: lines of a CSV file, or of a query on a SQLite database.

What it says is private: an error names row and column and what was expected there, and never repeats a value.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bizspan import _read_only
from bizspan.errors import AmountError, SetupError
from bizspan.money import EXPONENTS, INT64_MAX, INT64_MIN, minor_units
from bizspan.reconcile._times import EXPECTED as EXPECTED_TIME
from bizspan.reconcile._times import Clock

ROLES: Final = ("order", "amount", "currency", "time", "key", "kind")
_NEEDED: Final = frozenset({"order", "amount", "time"})
_SQLITE: Final = b"SQLite format 3\x00"
_DELIMITERS: Final = ",;\t|"
_REFUNDS: Final = {"refund": True, "sale": False}
_EXPECTED_AMOUNT: Final = {
    "precision": "no more decimals than {code} has ({digits})",
    "range": "an amount that fits 64 bits of minor units",
}

Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """
    One sale or refund.

    Args:
        row: Its line in the file, or its place in the query's answer, from 1.
        order: The order's id.
        is_refund: Money that went back.
        currency: ISO 4217.
        minor: Minor units, never negative.
        time_ns: When; at the start of the day where only that is known.
        day: In the zone of the comparison.
        is_exact: Whether the time of day is known.
        key: The idempotency key that the application used.
    """

    row: int
    order: str
    is_refund: bool
    currency: str
    minor: int
    time_ns: int
    day: str
    is_exact: bool
    key: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """
    Where the lines are, and how to read them.

    Args:
        path: A CSV file with a head, or a SQLite database.
        query: One SELECT, for SQLite.
        columns: Names of columns by role (`ROLES`); a role that is not given has the column of its own name.
        currency: Of all lines, where no column tells it.
        is_minor: Amounts are whole minor units.
    """

    path: str
    query: str = ""
    columns: Mapping[str, str] | None = None
    currency: str = ""
    is_minor: bool = False

    def lines(self, clock: Clock) -> Iterator[LedgerLine]:
        """
        Yield the lines.

        Raises:
            SetupError: Something cannot be read; row, column, and what was expected.
        """
        try:
            with Path(self.path).open("rb") as file:
                is_sqlite = file.read(len(_SQLITE)) == _SQLITE
        except OSError as error:
            raise SetupError(f"{self.path} cannot be read: {error.strerror or type(error).__name__}.") from None
        if is_sqlite and not self.query:
            raise SetupError(f"{self.path} is a SQLite database; pass --ledger-query with the SELECT of its lines.")
        if self.query and not is_sqlite:
            raise SetupError(f"--ledger-query is for SQLite, and {self.path} is no SQLite database; leave it out.")
        rows = self._from_sqlite() if is_sqlite else self._from_csv()
        _, head = next(rows)
        reader = _Reader(self, [str(name).strip() for name in head], clock)
        for number, row in rows:
            yield reader.line(number, row)

    def _from_csv(self) -> Iterator[tuple[int, Row]]:
        number = 0
        try:
            with Path(self.path).open(encoding="utf-8-sig", newline="") as file:
                first = file.readline()
                file.seek(0)
                # The csv module's own sniffer takes a letter for the delimiter of a narrow file.
                rows = csv.reader(file, delimiter=max(_DELIMITERS, key=first.count), strict=True)
                for row in rows:
                    number = rows.line_num
                    if row:
                        yield number, row
                if number == 0:
                    raise SetupError(f"{self.path} is empty; expected a first line with the names of the columns.")
        except UnicodeDecodeError:
            raise SetupError(f"{self.path}, after line {number}: expected text in UTF-8.") from None
        except csv.Error as error:
            raise SetupError(f"{self.path}, after line {number}: not CSV ({error}).") from None
        except OSError as error:
            raise SetupError(f"{self.path} cannot be read: {error.strerror or type(error).__name__}.") from None

    def _from_sqlite(self) -> Iterator[tuple[int, Row]]:
        try:
            with closing(_read_only.connect(Path(self.path))) as database:
                # Text that is not UTF-8 would be quoted in the error.
                database.text_factory = _text
                answer = database.execute(self.query)
                if answer.description is None:
                    raise SetupError("--ledger-query gives no rows; pass one SELECT.")
                yield 0, [column[0] for column in answer.description]
                yield from enumerate(answer, 1)
        except (sqlite3.Error, sqlite3.Warning) as error:  # a Warning, in 3.11, where there are two statements
            raise SetupError(f"--ledger-query on {self.path}: {error}.") from None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


class _Reader:
    """Makes lines of rows; knows which column has which role."""

    def __init__(self, ledger: Ledger, head: Sequence[str], clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._width = len(head)
        told = ledger.columns or {}
        self._names = {role: told.get(role, role) for role in ROLES}
        self._places: dict[str, int] = {}
        for role, name in self._names.items():
            if name in head:
                self._places[role] = head.index(name)
            elif role in _NEEDED or role in told:
                # Its names are not repeated: a file without a head has values there.
                raise SetupError(
                    f"{ledger.path} has no column {name} for the {role} among its {len(head)};"
                    f" pass --columns {role}=NAME."
                )
        if "currency" not in self._places and not ledger.currency:
            raise SetupError(
                f"{ledger.path} has no column currency; pass --columns currency=NAME, or --currency EUR for all."
            )

    def line(self, number: int, row: Row) -> LedgerLine:
        if len(row) != self._width:
            raise SetupError(f"{self._ledger.path}, row {number}: expected {self._width} columns, as in its head.")
        order = self._text(number, row, "order")
        currency, minor = self._amount(number, row)
        is_refund = minor < 0
        if "kind" in self._places:
            kind = self._text(number, row, "kind").lower()
            if kind not in _REFUNDS:
                raise self._wrong(number, "kind", "sale or refund")
            if is_refund and not _REFUNDS[kind]:
                raise self._wrong(number, "amount", "a sale's amount, not below zero; its kind is refund otherwise")
            is_refund = _REFUNDS[kind]
        try:
            time_ns, day, is_exact = self._clock.read(row[self._places["time"]])
        except (ValueError, OverflowError):
            raise self._wrong(number, "time", EXPECTED_TIME) from None
        key = self._text(number, row, "key") if "key" in self._places else order
        return LedgerLine(number, order, is_refund, currency, abs(minor), time_ns, day, is_exact, key)

    def _amount(self, number: int, row: Row) -> tuple[str, int]:
        amount = row[self._places["amount"]]
        amount = amount.strip() if isinstance(amount, str) else amount
        currency = self._ledger.currency
        if "currency" in self._places:
            currency = self._text(number, row, "currency")
        code = currency.upper()
        if code not in EXPONENTS:
            raise self._wrong(number, "currency", "an ISO 4217 code such as EUR")
        if self._ledger.is_minor:
            return code, self._minor(number, amount)
        try:
            return code, minor_units(amount, code)[0]
        except AmountError as error:
            expected = _EXPECTED_AMOUNT.get(error.reason, "a plain decimal number such as 1234.50")
            raise self._wrong(number, "amount", expected.format(code=code, digits=EXPONENTS[code])) from None

    def _minor(self, number: int, amount: object) -> int:
        digits = amount.removeprefix("-") if isinstance(amount, str) else ""
        if digits.isascii() and digits.isdigit() and len(digits) <= 19:
            amount = int(str(amount))
        if type(amount) is not int or not INT64_MIN < amount <= INT64_MAX:
            raise self._wrong(number, "amount", "whole minor units, such as 123450")
        return amount

    def _text(self, number: int, row: Row, role: str) -> str:
        value = row[self._places[role]]
        text = str(value) if type(value) is int else value
        text = text.strip() if isinstance(text, str) else ""
        if not text:
            raise self._wrong(number, role, "text or a whole number, not nothing")
        return text

    def _wrong(self, number: int, role: str, expected: str) -> SetupError:
        return SetupError(f"{self._ledger.path}, row {number}, column {self._names[role]}: expected {expected}.")
