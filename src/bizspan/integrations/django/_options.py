"""
The settings dict ``BIZSPAN``: what it says, and what is wrong with it.

Its keys are the options of `bizspan.configure()` and of the requests' rules, in capitals. A wrong one is left out, and
told by ``manage.py check``.
"""

# pyright: basic
# Django ships no types.
from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.utils.module_loading import import_string

from bizspan._arguments import checked
from bizspan.errors import MissingExtra, SetupError
from bizspan.integrations._routes import Route, RouteMap
from bizspan.integrations._rules import OPTIONS, Rules, rules_of
from bizspan.integrations.django._who import Who

SETTING: Final = "BIZSPAN"
_SWITCH: Final = "CONFIGURE"
_configure: Final[Any] = import_module("bizspan.configure")
_PROVIDERS: Final = ("tracer_provider", "meter_provider", "logger_provider")  # objects: code hands them over
CONFIGURE_OPTIONS: Final = tuple(
    name for name in inspect.signature(_configure.configure).parameters if name not in _PROVIDERS
)
KEYS: Final = (_SWITCH, *(name.upper() for name in (*CONFIGURE_OPTIONS, *OPTIONS)))
# Of these a text is always a path to a function; of `channel` only with a dot in it.
_FUNCTIONS: Final = frozenset({"resolver", "facts", "staff", "session"})
_MAY_BE_ASYNC: Final = frozenset({"resolver", "facts"})

NO_DICT, UNKNOWN_KEY, WRONG_VALUE, NOT_IMPORTABLE, WRONG_VOCABULARY, MISSING = (
    "bizspan.E001", "bizspan.E002", "bizspan.E003", "bizspan.E004", "bizspan.E005", "bizspan.E009",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """
    Something wrong with the settings.

    Args:
        id: Of the system check.
        text: What is wrong.
        hint: What to do instead.
    """

    id: str
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """
    What the settings say.

    Args:
        wants_configure: Whether the app calls `configure()`.
        configure: Its arguments.
        rules: Of the requests.
        problems: What was left out, and why.
    """

    wants_configure: bool = True
    configure: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rules: Rules = field(default_factory=Rules)
    problems: tuple[Problem, ...] = ()


def current_options() -> Options:
    """The options of the settings in force."""
    return read(getattr(settings, SETTING, {}))


def is_configured() -> bool:
    """Whether a call of `configure()` is in force."""
    current: Any = _configure._current
    return current is not None and current.told_by_file is None  # what a file says, the settings win over


def read(setting: object) -> Options:
    """
    The options of a settings dict. Never raises for what stands in it.
    """
    if not isinstance(setting, Mapping):
        text = f"{SETTING} must be a dict, got {type(setting).__name__}."
        problem = Problem(NO_DICT, text, 'Write BIZSPAN = {"SERVICE_NAME": "shop"}.')
        return Options(problems=(problem,))
    reading = _Reading()
    # The vocabulary first: METRIC_DIMENSIONS names its facts.
    for key in sorted(setting, key=lambda key: key != "VOCABULARY"):
        reading.take(key, setting[key])
    return reading.options()


class _Reading:
    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._configure: dict[str, Any] = {}
        self._rules: dict[str, Any] = {}
        self._wants = True
        # Where `configure()` is in force it has said what it had to say. Without arguments it looks at the environment.
        self._can_try = not is_configured() and self._try(SETTING, {})

    def take(self, key: object, value: Any) -> None:
        if key not in KEYS or not isinstance(key, str):
            near = get_close_matches(str(key).upper(), KEYS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Keys are {', '.join(KEYS)}."
            self._problems.append(Problem(UNKNOWN_KEY, f"{SETTING} has no key {key!r}.", hint))
        elif key == _SWITCH:
            self._wants = bool(value)
        elif key == "VOCABULARY":
            self._take_vocabulary(value)
        elif key == "ROUTES":
            self._take_routes(value)
        elif key.lower() in OPTIONS:
            self._take_rule(key, value)
        elif not self._can_try or self._try(key, {key.lower(): value}):
            self._configure[key.lower()] = value

    def options(self) -> Options:
        return Options(self._wants, self._configure, rules_of(self._rules), tuple(self._problems))

    def _take_rule(self, key: str, value: Any) -> None:
        name = key.lower()
        if isinstance(value, str) and (name in _FUNCTIONS or (name == "channel" and "." in value)):
            value = self._imported(key, value)
            if value is None:
                return
        if callable(value) and iscoroutinefunction(value) and name not in _MAY_BE_ASYNC:
            self._wrong(key, SetupError("It is a coroutine function; write a plain one, or tell it in RESOLVER."))
            return
        if name in _MAY_BE_ASYNC and callable(value):
            value = Who(value)
        self._keep(key, name, value)

    def _keep(self, key: str, name: str, value: Any) -> None:
        try:
            self._rules[name] = getattr(Rules(**{name: value}), name)
        except Exception as error:
            self._wrong(key, error)

    def _take_routes(self, routes: Any) -> None:
        if not isinstance(routes, Mapping):
            self._keep("ROUTES", "routes", routes)
            return
        kept: dict[str, Any] = {}
        for key, told in routes.items():
            where = f"ROUTES {key!r}"
            if isinstance(told, Mapping) and isinstance(told.get("revenue"), str):
                told = {**told, "revenue": self._imported(where, told["revenue"])}
            elif isinstance(told, Route) and isinstance(told.revenue, str):
                told = Route(told.operation, told.feature, told.facts, self._imported(where, told.revenue))
            try:
                RouteMap({key: told})
            except SetupError as error:
                self._wrong(where, error)
            else:
                kept[key] = told
        self._rules["routes"] = kept

    def _take_vocabulary(self, value: Any) -> None:
        found: list[Any] = []
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, str):
                item = self._imported("VOCABULARY", item)
                if item is None:
                    continue
            found += item if isinstance(item, (list, tuple)) else [item]
        if not self._can_try or self._try("VOCABULARY", {"vocabulary": found}, WRONG_VOCABULARY):
            self._configure["vocabulary"] = found

    def _try(self, key: str, arguments: Mapping[str, Any], id: str = WRONG_VALUE) -> bool:  # noqa: A002
        try:
            dry_run({**self._configure, **arguments} if key == "METRIC_DIMENSIONS" else arguments)
        except Exception as error:
            self._wrong(key, error, id)
            return False
        return True

    def _imported(self, key: str, path: str) -> Any:
        try:
            return import_string(path)
        except Exception as error:  # importing the project's code may raise anything
            text = f"{_place(key)}: {path!r} can't be imported: {type(error).__name__}: {error}"
            self._problems.append(Problem(NOT_IMPORTABLE, text, "Write it as 'package.module.name'."))
            return None

    def _wrong(self, key: str, error: Exception, id: str = WRONG_VALUE) -> None:  # noqa: A002
        if isinstance(error, MissingExtra):
            id = MISSING  # noqa: A001
        self._problems.append(Problem(id, f"{_place(key)}: {error}", "docs/reference/django.md has each key."))


def _place(key: str) -> str:
    if key == SETTING:
        return SETTING
    option, _, route = key.partition(" ")
    return f"{SETTING}[{option!r}]" + (f"[{route}]" if route else "")


def dry_run(arguments: Mapping[str, Any]) -> None:
    """
    Refuse what `configure()` would refuse, and change nothing.

    Raises:
        SetupError: What it would raise.
    """
    checked({**_configure.DEFAULTS, **arguments})


def functions_of(rules: Rules) -> Iterable[Callable[..., Any]]:
    """The user's functions that are asked for facts of a request."""
    asked = (rules.resolver, rules.facts, rules.staff, rules.channel, rules.session)
    return [function for function in asked if callable(function)]
