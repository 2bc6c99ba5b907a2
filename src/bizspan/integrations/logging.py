"""
Business context on the records of the standard `logging`.

`instrument()` puts the facts in force onto every record as it is made. `BusinessContext` is the same as a filter, for
a handler of yours. Each fact is a field of its own under its attribute key, such as ``geo.country.iso_code``: what JSON
formatters print and what OpenTelemetry's handler exports has the names that spans and events have.
``%(business_context)s`` is the text for people.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from bizspan import _guard, _log_context
from bizspan._log_context import NO_TEXT, NONE, TEXT_FIELD, Loggers, attributes_for, text_of

__all__ = ["BusinessContext", "Instrumentation", "instrument", "uninstrument"]

_MakeRecord = Callable[..., logging.LogRecord]
# Of other types, `str()` would run the application's code.
_PLAIN = frozenset({str, int, float, bool})
_changing = threading.RLock()


class Instrumentation:
    """
    What `instrument()` switched on. Usable in ``with``: leaving the block takes it back.
    """

    def __init__(self, excluded: Loggers, text: bool, before: Instrumentation | None) -> None:
        self.excluded = excluded
        self.text = text
        self._before = before
        self._active = True

    def uninstrument(self) -> None:
        """
        Take it back: what was in force before it is in force again. The second time, nothing happens.
        """
        with _changing:
            self._active = False
            innermost = _current
            while innermost is not None and not innermost._active:
                innermost = innermost._before
            _put_in_force(innermost)

    @property
    def is_active(self) -> bool:
        """Whether this was not taken back."""
        return self._active

    def __enter__(self) -> Instrumentation:
        return self

    def __exit__(self, *exception: object) -> None:
        self.uninstrument()


_current: Instrumentation | None = None
_ours: _MakeRecord | None = None
_wrapped: _MakeRecord | None = None


def instrument(*, exclude: Iterable[str] = (), text: bool = True) -> Instrumentation:
    """
    Put the business context onto every record of the standard `logging` that is made inside a scope.

    Each fact is a field under its attribute key. A field that the record has by itself, from ``extra=``, is kept.

    Args:
        exclude: Names of loggers that carry nothing, each with those below it: no fields here, nothing from structlog,
            and no attributes on what OpenTelemetry exports of them.
        text: Whether records also have ``%(business_context)s``: all facts as ``segment=gold country=DE``, and empty
            where there are none. JSON formatters do better without.

    Returns:
        Its handle, usable in ``with``. A further call is in force until it is taken back, then the one before it again.

    Raises:
        SetupError: When ``exclude`` is no collection of names.
    """
    with _changing:
        made = Instrumentation(Loggers(exclude), bool(text), _current)
        _put_in_force(made)
        return made


def uninstrument() -> None:
    """
    Take back every `instrument()`. Records are made as before.
    """
    with _changing:
        while _current is not None:
            _current.uninstrument()


class BusinessContext(logging.Filter):
    """
    A filter that lets every record pass, with the business context on it: for handlers set up by hand, or by
    ``dictConfig``.

    Put it on the handler that the logging thread calls, for example on a ``QueueHandler`` and not on what its listener
    calls.

    Args:
        exclude: Names of loggers that get nothing here, each with those below it.
        text: As for `instrument`.

    Raises:
        SetupError: When ``exclude`` is no collection of names.
    """

    def __init__(self, exclude: Iterable[str] = (), text: bool = True) -> None:
        super().__init__()
        self._excluded = Loggers(exclude)
        self._text = bool(text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is missing, and let it pass."""
        _add_missing(record, self._excluded, self._text)
        return True


def _add_missing(record: logging.LogRecord, excluded: Loggers, text: bool) -> None:
    fields = record.__dict__
    if text and TEXT_FIELD not in fields:
        fields[TEXT_FIELD] = NO_TEXT  # whatever happens, a formatter that names it must find it
    try:
        if record.name in excluded:
            return
        attributes: dict[str, Any] = attributes_for(record.name)
        if not attributes:
            return
        for key, value in attributes.items():
            own = fields.setdefault(key, value)
            if own is not value and type(own) in _PLAIN:
                attributes[key] = own
        if text and fields[TEXT_FIELD] is NO_TEXT:
            fields[TEXT_FIELD] = text_of(attributes)
    except Exception as error:
        _guard.swallowed("putting facts onto a log record", error)


def _put_in_force(instrumentation: Instrumentation | None) -> None:
    global _current
    _current = instrumentation
    _log_context.excluded = NONE if instrumentation is None else instrumentation.excluded
    if instrumentation is not None:
        _wrap()
    else:
        _unwrap()


def _wrap() -> None:
    # Not by the record factory: where `extra=` has a field that the factory set, `makeRecord` raises KeyError.
    global _ours, _wrapped
    there = logging.Logger.makeRecord
    if there is _ours:
        return

    @wraps(there)
    def make_record(self: logging.Logger, *args: Any, **options: Any) -> logging.LogRecord:
        record = there(self, *args, **options)
        current = _current
        if current is not None:
            _add_missing(record, NONE, current.text)
        return record

    _ours, _wrapped = make_record, there
    _set_make_record(make_record)


def _unwrap() -> None:
    global _ours, _wrapped
    # Where someone wrapped ours in turn it stays, and does nothing.
    if _wrapped is not None and logging.Logger.makeRecord is _ours:
        _set_make_record(_wrapped)
        _ours = _wrapped = None


def _set_make_record(function: _MakeRecord) -> None:
    setattr(logging.Logger, "makeRecord", function)  # noqa: B010 - mypy refuses the assignment
