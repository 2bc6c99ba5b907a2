"""
A report as one page of HTML: nothing is loaded, nothing runs, and what applications told is text.
"""

from __future__ import annotations

import base64
import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from html import escape
from typing import Final

from bizspan.report._model import Factor, Report, Row
from bizspan.report._tables import Table, clean, page_of

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--line:#d8dee4;--paper:#fff;--good:#1a7f37;--bad:#b42318;
--chart:#0b62c4}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa6b2;--line:#30363d;--paper:#0d1117;--good:#4ac26b;
--bad:#ff7b72;--chart:#6cb6ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1.5rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
p{margin:.25rem 0;color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:middle;
overflow-wrap:break-word;max-width:24rem}
th{color:var(--soft);font-weight:600}
.n{text-align:right;white-space:nowrap}
.good td:first-child{border-left:4px solid var(--good)}
.bad td:first-child{border-left:4px solid var(--bad)}
svg{display:block}
polyline{fill:none;stroke:var(--chart);stroke-width:1.5}
circle,rect{fill:var(--chart)}
rect.mark{fill:var(--soft);opacity:.3}line.mark{stroke:var(--soft);stroke-dasharray:3 2}
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--good:#1a7f37;--bad:#b42318;
--chart:#000}body{max-width:none;padding:0;font-size:11pt}h2{break-after:avoid}tr{break-inside:avoid}
.wide{overflow:visible}}
"""
_WIDTH, _HEIGHT, _EDGE = 160, 36, 3
_BAR: Final = 120
_NARROWEST: Final = 1.5


def as_html(report: Report) -> str:
    """One page that stands alone: styles and charts inside, no script; for a screen, dark or light, and for paper."""
    page = page_of(report)
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    body = [f"<h1>{escape(page.title)}</h1>", *(f"<p>{escape(each)}</p>" for each in page.head)]
    for table in page.tables:
        body += ["<section>", f"<h2>{escape(table.title)}</h2>", *_table(table, report), "</section>"]
    body += ["<footer>", *(f"<p>{escape(each)}</p>" for each in page.notes), "</footer>"]
    inside = "\n".join(body)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(page.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{inside}\n"
        "</main>\n</body>\n</html>"
    )


def _table(table: Table, report: Report) -> list[str]:
    notes = [f"<p>{escape(each)}</p>" for each in table.notes]
    if not table.rows:
        return [f"<p>{escape(table.empty)}</p>", *notes]
    charts = _charts(table, report)
    heads = [f'<th scope="col"{_to_right(each)}>{escape(each.removeprefix(">"))}</th>' for each in table.columns]
    if charts:
        heads.append('<th scope="col">chart</th>')
    lines = ['<div class="wide"><table>', f"<thead><tr>{''.join(heads)}</tr></thead>", "<tbody>"]
    good = table.good or (None,) * len(table.rows)
    for number, (row, is_good) in enumerate(zip(table.rows, good, strict=True)):
        name = {True: ' class="good"', False: ' class="bad"', None: ""}[is_good]
        cells = [f"<td{_to_right(column)}>{escape(cell)}</td>" for column, cell in zip(table.columns, row, strict=True)]
        if charts:
            cells.append(f"<td>{charts[number]}</td>")
        lines.append(f"<tr{name}>{''.join(cells)}</tr>")
    return [*lines, "</tbody></table></div>", *notes]


def _to_right(column: str) -> str:
    return ' class="n"' if column.startswith(">") else ""


def _charts(table: Table, report: Report) -> list[str]:
    if any(len([each for each in series if each is not None]) > 1 for series in table.series):
        return [_course(row, report.factors) for row in report.rows]
    if table.title == "Revenue at risk":
        most = {
            each.currency: max(float(risk.amount or 0) for risk in report.risks if risk.currency == each.currency)
            for each in report.risks
        }
        return [_bar(float(each.amount or 0), most[each.currency]) for each in report.risks]
    return []


def _course(row: Row, factors: Sequence[Factor]) -> str:
    """A line through the known values, over marks; it is broken where one is missing, and a value alone is a dot."""
    series = row.series
    known = [each for each in series if each is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    step = (_WIDTH - 2 * _EDGE) / (len(series) - 1)

    def point(number: int, value: float) -> tuple[float, float]:
        part = 0.5 if low == high else (value - low) / (high - low)
        return _EDGE + number * step, _HEIGHT - _EDGE - part * (_HEIGHT - 2 * _EDGE)

    runs: list[list[tuple[float, float]]] = [[]]
    for number, value in enumerate(series):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(point(number, value))
    shapes = [
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in run)}"/>'
        if len(run) > 1
        else f'<circle cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="1.5"/>'
        for run in runs
        if run
    ]
    seen = [each for each in factors if _is_in(each, row.bounds)]
    said = f"by {row.unit}: from {known[0]:g} to {known[-1]:g}, least {low:g}, most {high:g}"
    marked = f"; marked: {', '.join(clean(each.label) for each in seen)}" if seen else ""
    shapes = [_mark(each, row.bounds) for each in seen] + shapes
    label = escape(said + marked, quote=True)
    return f'<svg role="img" aria-label="{label}" width="{_WIDTH}" height="{_HEIGHT}">{"".join(shapes)}</svg>'


def _is_in(factor: Factor, bounds: Sequence[int]) -> bool:
    return len(bounds) > 1 and factor.span.since_ns < bounds[-1] and factor.span.until_ns > bounds[0]


def _mark(factor: Factor, bounds: Sequence[int]) -> str:
    """A shaded stretch, and a line for a moment; whose it is shows where one points at it."""
    left, right = (_place(at, bounds) for at in (factor.span.since_ns, factor.span.until_ns))
    title = f"<title>{escape(clean(factor.label))}</title>"
    if factor.span.until_ns - factor.span.since_ns <= 1:
        return f'<line class="mark" x1="{left:.1f}" y1="0" x2="{left:.1f}" y2="{_HEIGHT}">{title}</line>'
    width = max(_NARROWEST, right - left)
    return f'<rect class="mark" x="{left:.1f}" y="0" width="{width:.1f}" height="{_HEIGHT}">{title}</rect>'


def _place(at_ns: int, bounds: Sequence[int]) -> float:
    """Where a moment is: a value stands at the middle of its part."""
    count = len(bounds) - 1
    number = min(max(bisect_right(bounds, at_ns) - 1, 0), count - 1)
    part = (at_ns - bounds[number]) / (bounds[number + 1] - bounds[number])
    middle = min(max(number + part - 0.5, 0.0), count - 1.0)
    return _EDGE + middle * (_WIDTH - 2 * _EDGE) / (count - 1)


def _bar(amount: float, most: float) -> str:
    width = _BAR * amount / most if most > 0 else 0.0
    return (
        f'<svg aria-hidden="true" width="{_BAR}" height="14"><rect x="0" y="2" width="{max(0.0, width):.1f}"'
        ' height="10"/></svg>'
    )
