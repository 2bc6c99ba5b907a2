"""
A report for a terminal, and as Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from bizspan.report._fit import folded, laid_out, needed, shortened
from bizspan.report._model import Report
from bizspan.report._tables import Table, page_of

_BARS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = "_.-=+*%#"
_GAP: Final = " "
_MOST_POINTS, _LEAST_POINTS = 30, 6  # of a course
_COURSE: Final = "course"
_GREEN, _RED, _BOLD, _OFF = "\x1b[32m", "\x1b[31m", "\x1b[1m", "\x1b[0m"
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|~$])")
# What renderers make links and mentions of by themselves.
_LINKING: Final = (("://", ":&#47;/"), ("www.", "www&#46;"), ("@", "&#64;"))


def as_text(report: Report, *, colour: bool = False, encoding: str = "utf-8", width: int = 0) -> str:
    """
    For a terminal.

    Args:
        report: Which one.
        colour: With the terminal's colours.
        encoding: Of the stream; what it can't write is replaced.
        width: Of the terminal, which no line exceeds; 0 is any width.
    """
    page = page_of(report)
    bars = _BARS if _can_write(_BARS, encoding) else _PLAIN_BARS
    lines = [_bold(page.title, colour), *(line for each in page.head for line in folded(each, width))]
    for table in page.tables:
        lines += ["", _bold(table.title, colour), *_lines(table, bars, colour, width)]
    text = "\n".join([*lines, "", *(line for each in page.notes for line in folded(each, width))])
    return text if _can_write(text, encoding) else text.encode(encoding, "backslashreplace").decode(encoding)


def as_markdown(report: Report) -> str:
    """As Markdown, with tables; what applications told stands in it escaped."""
    page = page_of(report)
    parts = [f"# {_escaped(page.title)}", *(f"{_escaped(each)}  " for each in page.head)]
    for table in page.tables:
        parts += ["", f"## {_escaped(table.title)}", "", *_markdown(table)]
    return "\n".join([*parts, "", *map(_escaped, page.notes)])


def spark(series: Sequence[float | None], bars: str = _BARS) -> str:
    """
    A course in one line: from the least to the most; a gap where there is no value.

    Args:
        series: The values.
        bars: From low to high.
    """
    known = [each for each in series if each is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    if low == high:
        return "".join(_GAP if each is None else bars[len(bars) // 2] for each in series)
    top = len(bars) - 1
    return "".join(_GAP if each is None else bars[round((each - low) / (high - low) * top)] for each in series)


# --- the terminal ---------------------------------------------------------------------------------------------------


def _lines(table: Table, bars: str, colour: bool, width: int) -> list[str]:
    notes = [line for each in table.notes for line in folded(each, width, "  ")]
    if not table.rows:
        return [*folded(table.empty, width, "  "), *notes]
    rows = [[each.removeprefix(">") for each in table.columns], *table.rows]
    to_right = [each.startswith(">") for each in table.columns]
    sparks = _sparks(table, bars, width - needed(rows) - len("  ") if width else _MOST_POINTS)
    if any(sparks):
        rows = [[*row, each] for row, each in zip(rows, [_COURSE, *sparks], strict=True)]
        to_right.append(False)
    head, *body = laid_out(rows, to_right, width)
    lines = head
    for row, is_good in zip(body, table.good or (None,) * len(body), strict=True):
        on, off = (_GREEN if is_good else _RED, _OFF) if colour and is_good is not None else ("", "")
        lines += [f"{on}{line}{off}" for line in row]
    return [*lines, *notes]


def _sparks(table: Table, bars: str, room: int) -> list[str]:
    """A course by row, in the room that the cells leave; a short one where they leave too little."""
    most = max(_LEAST_POINTS, min(_MOST_POINTS, room))
    return [spark(shortened(each, most), bars) for each in table.series]


def _bold(text: str, colour: bool) -> str:
    return f"{_BOLD}{text}{_OFF}" if colour else text


def _can_write(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


# --- Markdown -------------------------------------------------------------------------------------------------------


def _markdown(table: Table) -> list[str]:
    notes = ["", *(f"{_escaped(each)}  " for each in table.notes)] if table.notes else []
    if not table.rows:
        return [_escaped(table.empty), *notes]
    sparks = [spark(shortened(each, _MOST_POINTS)) for each in table.series]
    has_sparks = any(sparks)
    head = [*(each.removeprefix(">") for each in table.columns), *([_COURSE] if has_sparks else [])]
    rule = ["---:" if each.startswith(">") else "---" for each in table.columns] + (["---"] if has_sparks else [])
    lines = [_row(map(_escaped, head)), f"|{'|'.join(rule)}|"]
    for number, row in enumerate(table.rows):
        lines.append(_row([*map(_escaped, row), *([sparks[number]] if has_sparks else [])]))
    return [*lines, *notes]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    text = _SPECIAL.sub(r"\\\1", text.replace("&", "&amp;"))
    for made, plain in _LINKING:
        text = text.replace(made, plain)
    return text
