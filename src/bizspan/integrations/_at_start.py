"""
What starting without code says, and what it waits for: before the application is there, or has set logging up.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

from bizspan import _guard
from bizspan.errors import SetupError

logger: Final = logging.getLogger("bizspan")


def say(text: str) -> None:
    """
    Write one line to the log, and to the standard error stream where the log does not go to a stream: it may not be
    set up yet, or have OpenTelemetry's handler alone.
    """
    line = " ".join(f"bizspan: {text}".split())
    try:
        is_seen = not logger.hasHandlers() or _has_stream()
        logger.error("%s", line)
        if not is_seen and sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)
    except Exception as error:  # a handler of the application may raise, or the stream be closed
        _guard.swallowed("saying what is wrong", error)


def _has_stream() -> bool:
    # No handler of ours is added: logging.basicConfig() would then do nothing.
    found: logging.Logger | None = logger
    while found is not None:
        if any(isinstance(handler, logging.StreamHandler) for handler in found.handlers):
            return True
        found = found.parent if found.propagate else None
    return False


def said(error: Exception) -> str:
    """What may be written of an error: the text of ours, the kind of every other, whose text may hold a value."""
    return str(error) if isinstance(error, SetupError) else f"{type(error).__name__}."


def when_imported(module: str, step: Callable[[Any], None], failed: Callable[[Exception], None]) -> None:
    """
    Call this with a module once it is imported; now, if it is. Nothing is imported for it.

    Args:
        module: Its full name.
        step: What to do with it.
        failed: What to do where that raised: an application starts, whatever versions it brings.
    """
    import wrapt  # 55 ms, for those alone who start without code

    def imported(loaded: Any) -> None:
        try:
            step(loaded)
        except Exception as error:
            failed(error)

    wrapt.register_post_import_hook(imported, module)


def when_missing(module: str, missing: Callable[[str], None]) -> None:
    """
    Call this with the name of the part that is not there, once the package around it is imported. Whether the first
    package exists can't be known: the program may still add to its path.

    Args:
        module: ``"shop.orders.placing"``.
        missing: What to do.
    """
    package, _, name = module.rpartition(".")
    if not package:
        return

    def imported(loaded: Any) -> None:
        if module not in sys.modules and not hasattr(loaded, name) and not _exists(module):
            missing(module)

    when_imported(package, imported, lambda error: None)  # a loader of somebody's that can't say
    when_missing(package, missing)


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # what is around it is no package
        return False
