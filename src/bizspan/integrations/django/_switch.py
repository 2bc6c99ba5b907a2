"""
Without a change to the project: the middleware joins those that its settings list, when a handler loads them.
"""

# pyright: basic
# Django ships no types.
from __future__ import annotations

from functools import wraps
from importlib import import_module
from typing import Any, Final

from bizspan import _guard
from bizspan.integrations import _django_commit

PATH: Final = "bizspan.integrations.django.Middleware"
BEHIND: Final = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
)
_OURS: Final = "_bizspan"


def switch_on() -> None:
    """
    Have every handler that is made from now on load the middleware, behind authentication, and let
    ``emit="on_commit"`` wait for Django's transactions. The second time, nothing happens.
    """
    _django_commit.install()
    handler: Any = import_module("django.core.handlers.base").BaseHandler
    load = handler.load_middleware
    if getattr(load, _OURS, False):
        return

    @wraps(load)
    def load_middleware(self: Any, *args: Any, **options: Any) -> Any:
        try:
            _join()
        except Exception as error:
            _guard.swallowed("joining the middleware", error)
        return load(self, *args, **options)

    setattr(load_middleware, _OURS, True)
    handler.load_middleware = load_middleware


def _join() -> None:
    settings: Any = import_module("django.conf").settings
    listed = list(settings.MIDDLEWARE)
    if PATH in listed:
        return
    behind = max((listed.index(path) for path in BEHIND if path in listed), default=len(listed) - 1)
    listed.insert(behind + 1, PATH)
    settings.MIDDLEWARE = listed
