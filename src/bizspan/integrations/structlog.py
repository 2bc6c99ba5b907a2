"""
Business context on the events of structlog. A processor is a plain callable: structlog itself is not imported here.

::

    structlog.configure(processors=[add_business_context, structlog.processors.JSONRenderer()])
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

from bizspan import _guard
from bizspan._log_context import Loggers, attributes_for

__all__ = ["BusinessContext", "add_business_context"]


class BusinessContext:
    """
    A processor that adds the facts in force, each under its attribute key; what the event has by itself is kept.

    Put it before the renderer. It knows a logger by its ``name``, or by ``logger`` in the event where
    ``add_logger_name`` comes before it.

    Args:
        exclude: Names of loggers that get nothing, each with those below it, beside those that
            `bizspan.integrations.logging.instrument` excludes.

    Raises:
        SetupError: When ``exclude`` is no collection of names.
    """

    def __init__(self, *, exclude: Iterable[str] = ()) -> None:
        self._excluded = Loggers(exclude)

    def __call__(self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The event, with what was missing."""
        try:
            name = _name_of(logger, event_dict)
            if name is None or name not in self._excluded:
                for key, value in attributes_for(name).items():
                    event_dict.setdefault(key, value)
        except Exception as error:
            _guard.swallowed("putting facts onto a structlog event", error)
        return event_dict


def _name_of(logger: Any, event_dict: MutableMapping[str, Any]) -> str | None:
    # ProcessorFormatter has the record of a logger that is not structlog's under `_record`.
    for name in (getattr(event_dict.get("_record"), "name", None), getattr(logger, "name", None)):
        if type(name) is str:
            return name
    name = event_dict.get("logger")
    return name if type(name) is str else None


add_business_context = BusinessContext()
