"""
System checks: what ``manage.py check`` says about bizspan. Each id stands in docs/reference/django.md with its fix.
"""

# pyright: basic
# Django ships no types.
from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.urls import Resolver404, get_resolver
from django.utils.module_loading import import_string

from bizspan import _signals
from bizspan.integrations._rules import OPTIONS
from bizspan.integrations.django._middleware import Middleware
from bizspan.integrations.django._options import MISSING, SETTING, Options, current_options, is_configured
from bizspan.integrations.django._request import view_path
from bizspan.integrations.django._switch import BEHIND, PATH

TAG: Final = "bizspan"
_PARAMETER: Final = re.compile(r"<[^/<>]*>|\{[^/{}]*\}")
_EXPORTERS: Final = ("opentelemetry.exporter.otlp.proto.http", "opentelemetry.exporter.otlp.proto.grpc")
Messages = list[checks.CheckMessage]


def check_settings(app_configs: object = None, **kwargs: object) -> Messages:
    """E001 to E005 and E009: keys and values of ``BIZSPAN``; W004: options that nothing reads."""
    options = current_options()
    found: Messages = [checks.Error(each.text, hint=each.hint, id=each.id) for each in options.problems]
    exports = options.configure.get("export", "otlp")
    wants_otlp = options.wants_configure and not is_configured() and "otlp" in exports
    can_export = _signals.any_provider_is_set() or any(map(_is_installed, _EXPORTERS))
    if wants_otlp and not (can_export and _is_installed("opentelemetry.sdk")):
        found.append(
            checks.Error(
                "bizspan exports over OTLP, and OpenTelemetry's SDK and exporter are not installed.",
                hint='Run: pip install "bizspan[otlp]", or set BIZSPAN["EXPORT"] to "console" or "none".',
                id=MISSING,
            )
        )
    if not options.wants_configure and options.configure:
        unread = ", ".join(name.upper() for name in options.configure)
        found.append(
            checks.Warning(
                f"{SETTING} has {unread}, which nothing reads: CONFIGURE is False.",
                hint="Pass them to your bizspan.configure(), or remove CONFIGURE.",
                id="bizspan.W004",
            )
        )
    return found


def check_middleware(app_configs: object = None, **kwargs: object) -> Messages:
    """E006, E007 and W001: where the middleware stands."""
    listed = [(path, _imported(path)) for path in settings.MIDDLEWARE]
    ours = [position for position, (_, found) in enumerate(listed) if _is_kind(found, Middleware)]
    if not ours:
        return _without_middleware(current_options())
    found: Messages = []
    if len(ours) > 1:
        found.append(checks.Error(f"{PATH} is listed {len(ours)} times.", hint="List it once.", id="bizspan.E007"))
    for path in BEHIND:
        kind = _imported(path) if _is_usable(path) else None
        later = [name for name, each in listed[ours[0] :] if kind is not None and _is_kind(each, kind)]
        if later:
            found.append(
                checks.Error(
                    f"{PATH} stands before {later[0]}, so it knows no user and no session.",
                    hint=f"Move {PATH} behind it in MIDDLEWARE.",
                    id="bizspan.E006",
                )
            )
    return found


def _without_middleware(options: Options) -> Messages:
    setting = getattr(settings, SETTING, {})
    asked = [key for key in setting if str(key).lower() in OPTIONS] if isinstance(setting, dict) else []
    text = f"{PATH} is not in MIDDLEWARE, so requests are no operations and have no facts."
    if asked:
        text += f" {SETTING} asks for them: {', '.join(map(str, asked))}."
    return [checks.Warning(text, hint="Add it behind AuthenticationMiddleware.", id="bizspan.W001")]


def check_routes(app_configs: object = None, **kwargs: object) -> Messages:
    """E008 and W005: whether each of ROUTES is a view or an address of the project."""
    routes = getattr(settings, SETTING, {})
    routes = routes.get("ROUTES") if isinstance(routes, dict) else None
    if not routes or not isinstance(routes, dict) or not getattr(settings, "ROOT_URLCONF", None):
        return []
    resolver: Any = get_resolver()
    try:
        known = set(_names(resolver.url_patterns))
    except ImproperlyConfigured:  # Django's own checks say what is wrong with the URLconf
        return []
    found: Messages = []
    for key in routes:
        name = str(key).split()[-1] if str(key).split() else ""
        if name.startswith("/"):
            if not _is_address(name, known, resolver):
                text = f"{SETTING}['ROUTES'] has {key!r}, and no address of the project is like that."
                found.append(checks.Warning(text, hint=_hint(_other_slash(name), known), id="bizspan.W005"))
        elif name and name not in known:
            text = f"{SETTING}['ROUTES'] has {key!r}, and no view of the project is called so."
            found.append(checks.Error(text, hint=_hint(name, known), id="bizspan.E008"))
    return found


def _names(patterns: Iterable[Any], namespace: str = "", application: str = "", route: str = "/") -> Iterator[str]:
    """What the views are called: names with namespaces, dotted paths, and templates of their paths."""
    for pattern in patterns:
        whole = route + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            kind = f"{application}{pattern.app_name}:" if pattern.app_name else application
            yield from _names(pattern.url_patterns, inner, kind, whole)
            continue
        path = view_path(pattern.callback)
        yield from (path, namespace + (pattern.name or path), application + (pattern.name or path), whole)


def _is_address(template: str, known: Iterable[str], resolver: Any) -> bool:
    if template.endswith("*"):
        return True
    if not _PARAMETER.search(template):
        try:
            resolver.resolve(template)
        except Resolver404:
            return template in known
        return True
    plain = _PARAMETER.sub("{}", template)
    return any(_PARAMETER.sub("{}", name) == plain for name in known)


def _other_slash(path: str) -> str:
    return path.removesuffix("/") if path.endswith("/") else f"{path}/"


def _hint(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else "manage.py shell: resolve('/the/path/').view_name says its name."


def check_neighbours(app_configs: object = None, **kwargs: object) -> Messages:
    """W003: OpenTelemetry's instrumentation of Django, which is silent under ASGI without a further package."""
    if not getattr(settings, "ASGI_APPLICATION", None):
        return []
    there = _is_installed("opentelemetry.instrumentation.django")
    if not there or _is_installed("opentelemetry.instrumentation.asgi"):
        return []
    return [
        checks.Warning(
            "ASGI_APPLICATION is set, and OpenTelemetry's Django instrumentation makes no spans under ASGI.",
            hint="Run: pip install opentelemetry-instrumentation-asgi",
            id="bizspan.W003",
        )
    ]


def check_deployment(app_configs: object = None, **kwargs: object) -> Messages:
    """W002, with ``check --deploy``: personal facts need a key that every process shares."""
    options = current_options()
    if not options.wants_configure or options.configure.get("hash_key") or os.environ.get("BIZSPAN_HASH_KEY"):
        return []
    return [
        checks.Warning(
            "There is no hash key, so personal facts (customer, session) are dropped in production, and elsewhere"
            " hashed by a key that ends with the process.",
            hint="Set BIZSPAN_HASH_KEY to a secret of at least 16 bytes, the same in every process.",
            id="bizspan.W002",
        )
    ]


def _imported(path: str) -> Any:
    try:
        return import_string(path)
    except Exception:  # Django says so itself when it loads the middleware
        return None


def _is_usable(path: str) -> bool:
    # Importing a contrib app's module may need the app to be installed.
    return any(path.startswith(f"{config.name}.") for config in apps.get_app_configs())


def _is_kind(found: object, kind: object) -> bool:
    return isinstance(found, type) and isinstance(kind, type) and issubclass(found, kind)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
