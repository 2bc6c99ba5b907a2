"""
Which page answers which path.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from bizspan.errors import SetupError
from bizspan.page import _charts, _frame, _funnel, _kpis, _logins, _reading, _sections, _tables, _technical, _traces
from bizspan.page._actions import REFERRER, Action, Actions
from bizspan.page._blocks import Blocks
from bizspan.page._counted import Counted
from bizspan.page._few import Guard
from bizspan.page._filter import Asked, Wrong, read, tidied
from bizspan.page._html import Html, tag
from bizspan.page._seen import Seen

if TYPE_CHECKING:
    from bizspan.kpi import KPI, Calendar
    from bizspan.lens import Lens, Request, Response

_HTML: Final = "text/html; charset=utf-8"
_ASSETS: Final = {
    "uPlot.iife.min.js": "text/javascript; charset=utf-8",
    "uPlot.min.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# Reads of the file go past SQLite's own small cache, to that of the operating system.
_FASTER: Final = f"PRAGMA mmap_size = {256 << 20}"
_LIVE_MOST: Final = 16
_BETWEEN_S: Final = 0.5
_WAITED_S: Final = 0.5
_SELECT_MOST: Final = 200
_LATEST, _EVENTS = 10, 200
_OVERVIEW: Final = ("reason", "segment", "country", "channel", "campaign")
_TABLES: Final = frozenset(
    {"events", "cost", "outcomes", "conversion", "series", "features", "funnel", *_sections.TITLES}
)
_TRACE: Final = re.compile(r"[0-9a-f]{32}")


class Site:
    """
    The pages of one lens.

    Args:
        lens: Whose store is shown.
        kpis: What the page of KPIs shows.
        calendar: Whose days.
        actions: What the overview offers to do.
        minimum_group: Smaller ones are not shown.
    """

    def __init__(
        self, lens: Lens, kpis: Iterable[KPI], calendar: Calendar, actions: Iterable[Action], minimum_group: int
    ) -> None:
        self._lens = lens
        self._store = lens.store
        self._kpis = tuple(kpis)
        self._calendar = calendar
        self._actions = Actions(lens, actions, calendar, HEADERS)
        self._live = threading.BoundedSemaphore(_LIVE_MOST)
        self._blocks = Blocks()
        self._guard = Guard(minimum_group, self._blocks)
        self._seen = Seen()

    def add_to_routes(self) -> None:
        """Have the lens answer under the paths of the pages."""
        add = self._lens.routes.add
        pages: Mapping[str, Callable[[sqlite3.Connection, Asked], Sequence[Html]]] = {
            "/": self._overview, "/features": self._features, "/funnel": self._funnel, "/technical": self._technical,
            "/kpis": self._kpi_cards, "/events": self._events,
        }  # fmt: skip
        for path, made in pages.items():
            add("GET", path, partial(self._page, made))
        add("GET", "/trace/*", self._trace)
        add("GET", "/csv/*", self._csv)
        add("GET", "/live", self._stream)
        add("GET", "/assets/*", _asset)
        add("GET", _logins.PATH, lambda request: _logins.shown(self._lens, request, dict(HEADERS)))
        add("POST", _logins.PATH, lambda request: _logins.taken(self._lens, request, dict(HEADERS)))

    # --- answers ------------------------------------------------------------------------------------------------------

    def _page(self, made: Callable[[sqlite3.Connection, Asked], Sequence[Html]], request: Request) -> Response:
        try:
            if (moved := self._tidied(request)) is not None:
                return moved
            asked = read(request.path, request.parameters, self._calendar)
            with self._reading() as connection:
                newest = _newest(connection)
                # Spans may be there before any event is.
                is_there = newest is not None or request.path == "/technical"
                body = made(connection, asked) if is_there else [self._nothing(connection, asked)]
                values = self._values(connection)
            if self._actions and request.path == "/":
                body = [self._actions.section(request), *body]
                return _response(_frame.page(asked, body, values), more=REFERRER)
            return _response(_frame.page(asked, body, values))
        except Wrong as why:
            return _wrong(why)
        except (sqlite3.Error, SetupError) as error:
            return _unreadable(error)

    def _tidied(self, request: Request) -> Response | None:
        from urllib.parse import urlencode

        from bizspan.lens import Response

        parameters = tidied(request.parameters)
        if parameters is None:
            return None
        query = urlencode(parameters, errors="replace")
        return Response(b"", _HTML, 303, {**HEADERS, "Location": request.path + (f"?{query}" if query else "")})

    def _csv(self, request: Request) -> Response:
        from bizspan.lens import Response

        name = request.path.rpartition("/")[2]
        try:
            asked = read(request.path, request.parameters, self._calendar)
            with self._reading() as connection:
                table = self._table(connection, asked, name)
        except Wrong as why:
            return _wrong(why)
        except (sqlite3.Error, SetupError) as error:
            return _unreadable(error)
        if table is None:
            return _response(_frame.message(404, "There is no such table."), 404)
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}.csv"'}
        return Response(_tables.as_csv(table, asked), "text/csv; charset=utf-8", 200, headers)

    def _trace(self, request: Request) -> Response:
        trace_id = request.path.rpartition("/")[2]
        try:
            asked = read(request.path, request.parameters, self._calendar)
            if not _TRACE.fullmatch(trace_id):
                raise Wrong("A trace id has 32 characters, 0 to 9 and a to f.")
            with self._reading() as connection:
                body = _traces.trace(connection, asked, trace_id)
                values = self._values(connection)
        except Wrong as why:
            return _wrong(why)
        except (sqlite3.Error, SetupError) as error:
            return _unreadable(error)
        if body is None:
            text = "The lens knows nothing of this trace: retention may have dropped it, or it was never sent here."
            return _response(_frame.message(404, text), 404)
        return _response(_frame.page(asked, body, values, title="Trace"))

    def _stream(self, request: Request) -> Response:
        from bizspan.lens import Refusal, Response

        if not self._live.acquire(blocking=False):
            raise Refusal(503, "Too many pages are open; this one shows new figures when it is loaded again.")
        return Response(_Told(self._changes(), self._live.release), "text/event-stream", 200, dict(HEADERS))

    def _changes(self) -> Generator[bytes]:
        """
        A message for each change, at most two in a second; and something every second, to see who has gone.

        Other programs may write into the store as well: SQLite knows of them.
        """
        version = self._store.version
        yield b"retry: 2000\n\n"
        with self._store.reading() as connection:
            written = _written(connection)
            while True:
                began = time.monotonic()
                before, version = (version, written), self._store.wait_for_change(version, 1.0)
                written = _written(connection)
                if (version, written) != before:
                    yield f"event: change\ndata: {version}\n\n".encode()
                    time.sleep(_BETWEEN_S)
                elif time.monotonic() - began < _WAITED_S:
                    return  # the store is closed: it waits for nothing
                else:
                    yield b": still here\n\n"

    @contextlib.contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        with self._store.reading() as connection:
            connection.execute(_FASTER)
            connection.execute("BEGIN")  # one state of the store for all that a page shows
            yield connection

    # --- pages --------------------------------------------------------------------------------------------------------

    def _overview(self, connection: sqlite3.Connection, asked: Asked) -> Sequence[Html]:
        if self._guard.is_few(connection, asked):
            return [self._guard.note(asked)]
        counted = _reading.count(connection, asked, _OVERVIEW, self._blocks)
        if not counted.all.events:
            return [self._nothing(connection, asked)]
        marks = self._seen.marks(connection, asked)
        shown = [
            _sections.breakdown(counted, name, self._guard.minimum)
            for name in ("segment", "country", "campaign", "channel")
        ]
        tables = [_tables.as_html(table, asked) for table in shown]
        return [
            _charts.tiles(asked, counted),
            _charts.series(asked, counted, marks),
            *tables,
            _tables.as_html(_sections.conversion(counted), asked),
            _tables.as_html(_sections.outcomes(counted), asked),
            _tables.as_html(_traces.latest(connection, asked, _LATEST), asked, class_="wide"),
        ]

    def _features(self, connection: sqlite3.Connection, asked: Asked) -> Sequence[Html]:
        if self._guard.is_few(connection, asked):
            return [self._guard.note(asked)]
        counted = _reading.count(connection, asked, ("feature",), self._blocks)
        seen = self._seen.of(connection, "feature")
        if not counted.all.events and not seen:
            return [self._nothing(connection, asked)]
        return [_tables.as_html(_sections.features(counted, seen, asked), asked, class_="wide")]

    def _technical(self, connection: sqlite3.Connection, asked: Asked) -> Sequence[Html]:
        counted = _reading.count(connection, asked, (), self._blocks)
        sql, sql_of_cost = list[str](), list[str]()
        found = _technical.latencies(connection, asked, counted.step, sql)
        if self._guard.is_few(connection, asked):
            nothing = Counted(counted.step, counted.basis, counted.statements)
            return [
                self._guard.note(asked),
                _technical.beside(asked, nothing, found, sql, self._seen.marks(connection, asked)),
            ]
        if not counted.all.events and not found:
            return [self._nothing(connection, asked)]
        bands = _technical.bands(connection, asked, sql_of_cost, self._blocks)
        return [
            _technical.beside(asked, counted, found, sql, self._seen.marks(connection, asked)),
            _tables.as_html(_technical.cost(bands, asked, counted, sql_of_cost), asked, class_="wide"),
        ]

    def _kpi_cards(self, connection: sqlite3.Connection, asked: Asked) -> Sequence[Html]:
        return _kpis.cards(self._kpis, self._store.path, asked)

    def _funnel(self, connection: sqlite3.Connection, asked: Asked) -> Sequence[Html]:
        known = [list(self._known(connection, name)) for name in ("operation", "name")]
        few = self._guard.note(asked) if self._guard.is_few(connection, asked) else None
        return _funnel.funnel(asked, self._store.path, known[0], known[1], few)

    def _events(self, connection: sqlite3.Connection, asked: Asked) -> Sequence[Html]:
        if self._guard.is_few(connection, asked):
            return [self._guard.note(asked)]
        table = _traces.latest(connection, asked, _EVENTS)
        if not table.rows:
            return [self._nothing(connection, asked)]
        return [_tables.as_html(table, asked, class_="wide")]

    def _table(self, connection: sqlite3.Connection, asked: Asked, name: str) -> _tables.Table | None:
        if (kpi := next((each for each in self._kpis if name == f"kpi-{each.name}"), None)) is not None:
            return _kpis.group_table(kpi, self._store.path, asked)
        if name in _TABLES and self._guard.is_few(connection, asked):
            said = self._guard.said()
            return _tables.Table(name, name, [_tables.Column("Note", "text")], [[said]], _tables.About(said, 0, ""))
        if name == "events":
            return _traces.latest(connection, asked, 10_000)
        if name == "cost":
            sql: list[str] = []
            counted = _reading.count(connection, asked, (), self._blocks)
            return _technical.cost(_technical.bands(connection, asked, sql, self._blocks), asked, counted, sql)
        if name == "features":
            counted = _reading.count(connection, asked, ("feature",), self._blocks)
            return _sections.features(counted, self._seen.of(connection, "feature"), asked)
        made = {"outcomes": _sections.outcomes, "conversion": _sections.conversion}
        if name in made:
            return made[name](_reading.count(connection, asked, ("reason",), self._blocks))
        if name == "series":
            return _charts.series_table(asked, _reading.count(connection, asked, (), self._blocks))
        if name == "funnel":
            return _funnel.table(asked, self._store.path, self._known(connection, "operation"))
        if name in _sections.TITLES:
            counted = _reading.count(connection, asked, (name,), self._blocks)
            return _sections.breakdown(counted, name, self._guard.minimum)
        return None

    # --- what is around them ------------------------------------------------------------------------------------------

    def _nothing(self, connection: sqlite3.Connection, asked: Asked) -> Html:
        has_token = self._lens.page_path != "/"
        return _frame.empty(asked, self._lens.url, _newest(connection), has_token=has_token)

    def _values(self, connection: sqlite3.Connection) -> dict[str, Sequence[str]]:
        return {name: self._known(connection, name) for name in _frame.SELECTS}

    @staticmethod
    def _known(connection: sqlite3.Connection, dimension: str) -> Sequence[str]:
        return [
            value
            for (value,) in connection.execute(
                f"SELECT value FROM dimension_values WHERE dimension = ? ORDER BY value LIMIT {_SELECT_MOST}",
                (dimension,),
            )
        ]


class _Told:
    """A stream, and what is to be done when nobody reads it any more; also where nobody ever began."""

    def __init__(self, parts: Generator[bytes], ended: Callable[[], None]) -> None:
        self._parts = parts
        self._ended = ended

    def __iter__(self) -> Generator[bytes]:
        return self._parts

    def close(self) -> None:
        """It is over."""
        self._parts.close()
        with contextlib.suppress(ValueError):
            self._ended()


def _written(connection: sqlite3.Connection) -> int:
    """Another number after anyone else has written."""
    found: int
    (found,) = connection.execute("PRAGMA data_version").fetchone()
    return found


def _newest(connection: sqlite3.Connection) -> int | None:
    found: int | None
    (found,) = connection.execute("SELECT max(time_ns) FROM events").fetchone()
    if found is None:  # retention may have dropped the events alone
        (minute,) = connection.execute("SELECT max(minute) FROM minute_counts").fetchone()
        found = None if minute is None else minute * 10**9
    return found


def _response(body: bytes, status: int = 200, more: Mapping[str, str] | None = None) -> Response:
    from bizspan.lens import Response

    return Response(body, _HTML, status, {**HEADERS, **(more or {})})


def _wrong(why: Wrong) -> Response:
    return _response(
        _frame.message(400, str(why), tag("p", tag("a", "Show the overview without filters", href="/"))), 400
    )


def _unreadable(error: Exception) -> Response:
    text = f"The store can't be read ({error})."
    hint = tag("p", "Look at its disk and at the terminal of the lens; then load this page again.")
    return _response(_frame.message(503, text, hint), 503)


def _asset(request: Request) -> Response:
    from bizspan.lens import Refusal, Response

    name = request.path.rpartition("/")[2]
    if name not in _ASSETS or request.path != f"/assets/{name}":
        raise Refusal(404, "There is no such file.")
    content = files("bizspan.page").joinpath("assets", name).read_bytes()
    return Response(content, _ASSETS[name], 200, {**HEADERS, "Cache-Control": "no-cache"})
