"""
What a log record that is made now should carry: one answer for `logging`, structlog and OpenTelemetry's log records.

A record carries what an event told at the same place carries: the facts of the scopes around it, and the name and id
of the operation that is open. Records of opted-out loggers, and those of bizspan's own, carry nothing.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from bizspan import _active, names
from bizspan.context import frame
from bizspan.errors import SetupError

if TYPE_CHECKING:
    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes
    from bizspan.context import Scope

# Not `business`: keys begin with it, and a store that reads dots as nesting takes no text where it has an object.
TEXT_FIELD: Final = "business_context"
_VALUE_LIMIT: Final = 100
_OPERATION: Final = "operation"
_SEPARATORS: Final = frozenset(' ="')


class Loggers:
    """
    Loggers by name, each with all that are below it in logging's hierarchy.

    Args:
        named: Their names: ``"urllib3"`` is also ``"urllib3.connectionpool"``, but not ``"urllib3x"``.

    Raises:
        SetupError: When this is no collection of texts.
    """

    __slots__ = ("_names", "_prefixes")

    def __init__(self, named: Iterable[str]) -> None:
        if isinstance(named, str):
            raise SetupError(f"exclude= takes several loggers; write exclude=({named!r},).")
        try:
            found = frozenset(named)
        except TypeError as error:
            raise SetupError('exclude= takes names of loggers; write exclude=("urllib3",).') from error
        if not all(isinstance(name, str) and name for name in found):
            raise SetupError('exclude= takes names of loggers, not loggers; write exclude=("urllib3",).')
        self._names = found
        self._prefixes = tuple(f"{name}." for name in found)

    def __contains__(self, name: str) -> bool:
        return name in self._names or name.startswith(self._prefixes)


# bizspan's own warnings are made while facts are cleaned: to stamp them would clean those facts again.
_OWN: Final = Loggers((names.SCOPE,))
NONE: Final = Loggers(())
# What the process opted out, for every way in which a record leaves.
excluded = NONE

_resolving = threading.local()
_inherited: Pipeline | None = None


class Text(str):
    """
    The text of a record's facts, told from a field of the same name that the application put there itself. It leaves
    the process as a plain str.
    """

    __slots__ = ()

    def __getitem__(self, index: object) -> Text:  # the SDK cuts long values by slicing
        return Text(super().__getitem__(index))  # type: ignore[index]  # pyright: ignore[reportArgumentType]

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str.__str__(self),)


NO_TEXT: Final = Text()


def attributes_for(logger: object, *, may_ask: bool = True) -> Attributes:
    """
    What a record of this logger carries, by attribute key; the dictionary is the caller's own.

    Args:
        logger: Its name; anything else is a logger that nobody opted out.
        may_ask: Whether a request's functions may be called for its facts. Not inside a handler: it holds its lock.
    """
    innermost = frame.get()
    if innermost is None:
        return {}
    if type(logger) is str and (logger in _OWN or logger in excluded):
        return {}
    pipeline = _pipeline()
    if pipeline is None or getattr(_resolving, "now", False):
        return {}
    attributes: Attributes = {}
    run = innermost.run
    if run is not None and run.is_open:
        name = getattr(run, "name", None)
        if type(name) is str:
            attributes[names.OPERATION_NAME] = name
        attributes[names.OPERATION_ID] = run.id
    scope = innermost.ambient
    if scope is not None:
        attributes.update(_facts_of(scope, pipeline, may_ask))
    return attributes


def _facts_of(scope: Scope, pipeline: Pipeline, may_ask: bool) -> Attributes:
    request = scope.entry
    if not may_ask and request is not None and request.would_ask:
        return scope.attributes
    # A value's own code (the time zone of a datetime) may log, and must not be asked for itself.
    _resolving.now = True
    try:
        return scope.resolve(pipeline).attributes
    finally:
        _resolving.now = False


def text_of(attributes: Mapping[str, object]) -> Text:
    """
    ``operation=checkout segment=gold country=DE``: facts by keyword, as receipts have them, on one line.

    A value that could be read as more than one is quoted as in JSON; one of more than 100 characters is cut.
    """
    pipeline = _pipeline()
    if pipeline is None:
        return NO_TEXT
    slots = pipeline.facts.slots_by_key
    parts: list[str] = []
    for key, value in attributes.items():
        slot = slots.get(key)
        if slot is not None:
            keyword = slot.attribute.name  # declared, so it is one word
        elif key == names.OPERATION_NAME:
            keyword = _OPERATION
        elif key.startswith(names.CUSTOM_PREFIX):
            keyword = _one_word(key.removeprefix(names.CUSTOM_PREFIX))
        else:
            continue
        parts.append(f"{keyword}={_one_word(value if type(value) is str else str(value))}")
    return Text(" ".join(parts))


def _one_word(text: str) -> str:
    if len(text) > _VALUE_LIMIT:
        text = text[: _VALUE_LIMIT - 1] + "…"
    if text and text.isprintable() and _SEPARATORS.isdisjoint(text):
        return text
    return json.dumps(text, ensure_ascii=not text.replace(" ", "").isprintable())


def _pipeline() -> Pipeline | None:
    current = _active.current
    if current is not None:
        return current
    # Not `_active.pipeline()`, which may wait for another thread that logs: a handler's lock may be held here.
    before = _inherited
    return before if before is not None and before.pid != os.getpid() else None


def _remember() -> None:
    """Before a fork: until the child starts a pipeline of its own, this one's vocabulary reads the facts there."""
    global _inherited
    _inherited = _active.current or _inherited


def _forget() -> None:
    global _inherited
    _inherited = None


_active.on_start.append(_forget)
_active.on_remove.append(_forget)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_remember)
