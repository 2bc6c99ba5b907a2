"""
``bizspan lens``: listens until it is told to end, and says what came of it.
"""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

from bizspan.lens._interpreter import serving
from bizspan.lens._lens import PORT, Lens
from bizspan.lens._retention import Retention

_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,3})?) *([kmgt]?)b?", re.IGNORECASE)
_SIZE_LEAST: Final = 10**6


@dataclass(frozen=True, slots=True)
class Options:
    """
    How to listen.

    Args:
        host: See `Lens`.
        port: 0 is any free one.
        store: See `Lens`.
        token: See `Lens`.
        allow_hosts: See `Lens`.
        retention: See `Lens`.
        as_json: Print lines of JSON.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    store: str | None = None
    token: str = ""
    allow_hosts: Sequence[str] = ()
    retention: Retention = field(default_factory=Retention)
    as_json: bool = False


def size_of(text: str) -> int:
    """
    Bytes, from text as ``500MB`` or ``2G``.

    Raises:
        ValueError: It is no size, or less than a megabyte.
    """
    found = _SIZE.fullmatch(text.strip())
    size = 0 if found is None else round(float(found[1]) * _UNITS[found[2].lower()])
    if size < _SIZE_LEAST:
        raise ValueError(text)
    return size


def serve(
    options: Options,
    show: Callable[[str], None],
    *,
    ended: threading.Event | None = None,
    furnish: Callable[[Lens], None] | None = None,
) -> int:
    """
    Listen until Ctrl-C, SIGTERM, or the event.

    Args:
        options: How.
        show: Prints a line.
        ended: Ends it.
        furnish: Adds what the lens answers beside OTLP: its page.

    Raises:
        MissingExtra: ``bizspan[lens]`` is not installed.
        SetupError: The port, the host or the store can't be used.
    """
    over = ended or threading.Event()
    lens = Lens(
        options.store, host=options.host, token=options.token, allow_hosts=options.allow_hosts,
        retention=options.retention, apart=True,
    )  # fmt: skip
    before = _listened_for(over)
    try:
        if furnish is not None:
            furnish(lens)
        lens.start(options.port)
        _say_start(lens, options.as_json, show)
        with serving():
            # In pieces: a wait without an end would not let Ctrl-C through on every system.
            while not over.wait(1.0):
                pass
    except KeyboardInterrupt:
        pass  # the usual end
    finally:
        lens.stop()
        for number, handler in before:
            signal.signal(number, handler)
    _say_end(lens, options.as_json, show)
    return 0


def _listened_for(over: threading.Event) -> list[tuple[int, Any]]:
    """Have SIGTERM and SIGINT end it; what they did before."""
    if threading.current_thread() is not threading.main_thread():
        return []

    def end(number: int, frame: FrameType | None) -> None:
        over.set()

    return [(number, signal.signal(number, end)) for number in (signal.SIGTERM, signal.SIGINT)]


def _say_start(lens: Lens, as_json: bool, show: Callable[[str], None]) -> None:
    with lens.store.reading() as connection:
        (events,) = connection.execute("SELECT count(*) FROM events").fetchone()
    if as_json:
        page = {"page": lens.url + lens.page_path} if lens.page_path else {}
        show(json.dumps({"url": lens.url, **page, "store": str(lens.store.path), "events": events}))
        return
    show(
        f"lens     {lens.url}\n"
        + (f"page     {lens.url}{lens.page_path}\n" if lens.page_path else "")
        + f"store    {lens.store.path}, {events:,} events\n"
        f"send to  OTEL_EXPORTER_OTLP_ENDPOINT={lens.url}\n"
        "Ctrl-C ends it."
    )


def _say_end(lens: Lens, as_json: bool, show: Callable[[str], None]) -> None:
    total = lens.intake.total
    account = {"stored": total.stored, "already": total.already, "refused": total.refused}
    if as_json:
        show(json.dumps(account))
    else:
        show(f"stored {total.stored:,}, already there {total.already:,}, refused {total.refused:,}")
