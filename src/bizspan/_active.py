"""
Which pipeline takes records now: the configured one, the application's providers, or none.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Final

from opentelemetry import trace

from bizspan import _guard, _inherited, _pipeline, _signals
from bizspan._accounts import idle
from bizspan._facts import Hasher
from bizspan._guard import Tallies
from bizspan.vocabulary import merged

if TYPE_CHECKING:
    from bizspan._pipeline import Pipeline

# Builds this process's pipeline; the argument counts pipelines, in this process and in those that it was forked from.
Recipe = Callable[[int], "Pipeline"]

current: Pipeline | None = None
_recipe: Recipe | None = None
_generations = count()
# Its one lock is made when it is first needed: gevent may patch threads after a fork, and a lock from before lets all
# greenlets of a thread in.
_starting: dict[str, threading.RLock] = {}
_is_starting = False
# The semantic conventions' key, and the one that it replaced.
_ENVIRONMENT_KEYS: Final = ("deployment.environment.name", "deployment.environment")
_HAND_OVER_S: Final = 1.0
# Called with each new process pipeline: gauges start here.
on_start: list[Callable[[], None]] = []
# Called when the process's pipeline is taken away: gauges stop here.
on_remove: list[Callable[[], None]] = []


def pipeline() -> Pipeline | None:
    """
    The pipeline that takes records now, or None while nothing is configured.
    """
    if current is not None:
        return current
    if _recipe is None and not _signals.any_provider_is_set():
        return None
    with _starting.get("") or _starting.setdefault("", threading.RLock()):
        if _is_starting:  # told by a signal handler or a finalizer in the middle of the start
            return None
        try:
            return current or _start()
        except Exception as error:
            _guard.swallowed("starting", error)
            return None


def install(recipe: Recipe) -> Pipeline:
    """
    Make this the process's pipeline, now and in forked children; one that took records before hands over what it has.
    """
    global _recipe
    _recipe = recipe
    before = current
    started = _start()
    if before is not None and before.pid == os.getpid():
        _hand_over(before)
    return started


def _hand_over(before: Pipeline) -> None:
    # On a thread, because its receivers are the application's, and may hang.
    def take() -> None:
        try:
            before.take(_HAND_OVER_S)
        except Exception as error:
            _guard.swallowed("handing over what was told before", error)

    try:
        thread = threading.Thread(target=take, name="bizspan-hand-over", daemon=True)
        thread.start()
        thread.join(_HAND_OVER_S)
    except RuntimeError:  # the interpreter shuts down: no new threads
        return


def restart() -> None:
    """
    A new pipeline by the recipe in force; the one before hands over what it has.
    """
    for stop in on_remove:
        stop()
    before = current
    _start()
    if before is not None:
        before.close()


def remove() -> None:
    """Back to the unconfigured state."""
    global _recipe, current
    _recipe = current = None
    for stop in on_remove:
        stop()


def swap(temporary: Pipeline | None) -> Pipeline | None:
    """
    Put another pipeline in place, for a test, and give back the one that was there.
    """
    global current
    previous, current = current, temporary
    return previous


def environment_name(
    explicit: str | None = None, resource_attributes: Mapping[str, str] | None = None, providers: Iterable[object] = ()
) -> str:
    """
    ``deployment.environment.name``: as given, else of the resource: as given, from ``OTEL_RESOURCE_ATTRIBUTES``, or of
    the first provider that knows it.
    """
    if explicit is not None:
        return explicit
    for key in _ENVIRONMENT_KEYS:
        if key in (resource_attributes or {}):
            return str((resource_attributes or {})[key])
    for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, _, value = pair.partition("=")
        if key.strip() in _ENVIRONMENT_KEYS:
            return value.strip()
    for provider in (*providers, trace.get_tracer_provider()):
        attributes: Mapping[str, object] = getattr(getattr(provider, "resource", None), "attributes", None) or {}
        for name in _ENVIRONMENT_KEYS:
            if name in attributes:
                return str(attributes[name])
    return ""


def hasher_for(key: bytes | None, key_id: str, environment: str) -> Hasher | None:
    """
    The hasher of personal facts: by this key; without one, generated in development, none in production.
    """
    if key is not None:
        return Hasher(key, key_id)
    return None if environment.strip().casefold() == "production" else Hasher()


def _start() -> Pipeline:
    global current, _is_starting
    _is_starting = True
    try:
        current = (_recipe or _join)(next(_generations))
    finally:
        _is_starting = False
    # Again for each pipeline: it has to run before the exit of providers that were set in the meantime.
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)
    for start in on_start:
        start()
    return current


def _join(generation: int) -> Pipeline:
    """The recipe of an application that set providers and never called `configure()`."""
    settings = _signals.Settings(declared=merged(()), hasher=hasher_for(None, "", environment_name()))
    return _signals.build(settings, _signals.Providers(), generation)


def _forget_in_child() -> None:
    # Starts nothing: the child builds its own at first use, with its own writer, totals, locks and thread.
    global current, _starting, _is_starting
    current = None
    _starting, _is_starting = {}, False
    idle.refused = Tallies()
    _inherited.drop_inherited()


def _forget_foreign() -> None:
    if current is not None and current.pid != os.getpid():
        _forget_in_child()


def _at_exit() -> None:
    # Providers of the application shut down after this: atexit goes backwards, and they were set before.
    if current is not None and current.pid == os.getpid() and not current.closed:
        current.waiting.give_up()
        current.take(_HAND_OVER_S)


_pipeline.on_foreign_process.append(_forget_foreign)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
