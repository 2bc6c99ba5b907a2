"""
Receipts: one line per record, for people who try bizspan out.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, TextIO

from bizspan import names
from bizspan.money import Money

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bizspan._record import Record
    from bizspan._types import Value
    from bizspan.vocabulary import Attribute

_MARKS: Final = {names.SUCCESS: "✓", names.REJECTED: "✗", names.FAILED: "✗", names.CANCELLED: "∅", None: "·"}
_NS_PER_MS: Final = 1_000_000


class Receipts:
    """
    Prints ``checkout ✓ 42.00 EUR  segment=enterprise country=DE order=o-1  31 ms``.

    Args:
        declared: The facts by keyword: a receipt speaks in keywords, not in keys.
        stream: Where to; by default the standard error stream, so that a program's own output stays as it is.
    """

    def __init__(self, declared: Mapping[str, Attribute], stream: TextIO | None = None) -> None:
        self._keywords = {attribute.key: name for name, attribute in declared.items()}
        self._stream = stream

    def __call__(self, record: Record, sequence: int) -> None:
        stream = self._stream or sys.stderr
        if stream is None:  # a windowed program has no streams
            return
        line = self.line(record)
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
        stream.flush()

    def line(self, record: Record) -> str:
        """The receipt of one record."""
        attributes = record.attributes
        mark = _MARKS[record.outcome]
        head = [record.name, mark]
        if record.outcome not in (None, names.SUCCESS):
            head.append(_outcome(record.outcome, attributes))
        head += [_amount(kind, units, code) for kind, units, code in record.amounts]
        head += [
            f"{kind.removeprefix('business.')} refused ({attributes[key]})"
            for kind, key in names.AMOUNT_INVALID_KEYS.items()
            if key in attributes
        ]
        if record.score is not None:
            head.append(f"{attributes.get(names.FEEDBACK_NAME, '')}={record.score:g}")
        parts = [" ".join(head), " ".join(self._facts(attributes))]
        if record.duration_ns is not None:
            parts.append(_duration(record.duration_ns))
        notes = attributes.get(names.NOTES)
        if isinstance(notes, tuple):
            parts.append("! " + ", ".join(str(note) for note in notes))
        return "  ".join(part for part in parts if part)

    def _facts(self, attributes: Mapping[str, Value]) -> list[str]:
        facts: list[str] = []
        for key, value in attributes.items():
            if key in self._keywords:
                name = self._keywords[key]
            elif key.startswith(names.CUSTOM_PREFIX):
                name = key.removeprefix(names.CUSTOM_PREFIX)
            else:
                continue
            text = str(value)
            facts.append(f"{name}={text if len(text) <= 24 else text[:23] + '…'}")
        return facts


def _outcome(outcome: str | None, attributes: Mapping[str, Value]) -> str:
    reason = attributes.get(names.OPERATION_REASON) or attributes.get(names.ERROR_TYPE)
    return f"{outcome} ({reason})" if reason else str(outcome)


def _amount(kind: str, units: int, code: str) -> str:
    money = str(Money.from_minor(units, code))
    return money if kind == names.REVENUE else f"{kind.removeprefix('business.')} {money}"


def _duration(duration_ns: int) -> str:
    milliseconds = duration_ns / _NS_PER_MS
    return f"{milliseconds:.0f} ms" if milliseconds >= 1 else f"{milliseconds:.1f} ms"
