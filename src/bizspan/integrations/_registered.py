"""
Who else holds a function when its module was imported: a decorator may have given it to a registry, which calls the
original whatever its name stands for later.
"""

from __future__ import annotations

import gc
import weakref
from types import FrameType, ModuleType
from typing import Any, Final, cast

from bizspan import _guard

_MOST_NAMED: Final = 3
_CELERY: Final = frozenset({"celery.local", "celery.app.task"})


def is_celery_task(value: object) -> bool:
    """
    Whether this is a Celery task. By its type alone: asking the proxy that Celery puts there would make the task before
    its application is set up.
    """
    return any(base.__module__ in _CELERY for base in type(value).__mro__)


def holders(function: object, owner: object) -> list[str]:
    """
    What holds the function beside the class or module that defines it, in a few words each; the first few.

    Args:
        function: As it stands in its owner.
        owner: A class or a module.
    """
    try:
        found = _held_by(function, owner)
        if found:
            # The class that a decorator replaced, as dataclass(slots=True) does, is garbage that holds it still.
            found.clear()
            gc.collect()
            found = _held_by(function, owner)
        named = [*map(_named, found)]
        named += ["a weak reference, as signals keep"] if weakref.getweakrefcount(function) else []
        return list(dict.fromkeys(named))[:_MOST_NAMED]
    except Exception as error:  # an interpreter without such a look at its objects, an object that can't be asked
        _guard.swallowed("looking for registries", error)
        return []


def _held_by(function: object, owner: object) -> list[Any]:
    # No comprehension that names the function: its cell would be one more holder. A frame is that of whoever asks.
    referrers = gc.get_referrers(function)
    own = {id(each) for each in (owner, *gc.get_referents(owner))}
    return [each for each in referrers if id(each) not in own and not isinstance(each, FrameType)]


def _named(holder: Any) -> str:
    if isinstance(holder, dict):
        module = next((each for each in gc.get_referrers(holder) if isinstance(each, ModuleType)), None)
        return "a dict" if module is None else f"the module {module.__name__}"
    kind = type(cast("object", holder))
    return f"a {kind.__name__}" if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
