"""
What a configuration file may say: each key, what it takes, and the sentence that says what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from operator import attrgetter
from typing import Any, Final, cast

from bizspan.errors import SetupError
from bizspan.vocabulary import Attribute, Vocabulary

# Gives the clean value, or raises `Unexpected` with what it would have taken.
Check = Callable[[object], Any]

_OBJECT: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class Unexpected(Exception):  # noqa: N818 - internal: turned into a SetupError with file and key
    """
    A value that is not what its key takes.

    Args:
        expected: What it takes, as "a text".
        key: Below the key that is being read, where the value is a table.
    """

    def __init__(self, expected: str, *key: str) -> None:
        super().__init__(expected, *key)
        self.expected = expected
        self.key = key


class Lazy:
    """
    A function that a file names as ``"package.module:function"``, imported when it is first called: the file is read
    before the application.
    """

    __slots__ = ("_function", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._function: Callable[..., Any] | None = None

    def load(self) -> Callable[..., Any]:
        """
        The function.

        Raises:
            SetupError: When it can't be imported or called.
        """
        if self._function is None:
            found = load(self.name)
            if not callable(found):
                raise SetupError(f"{self.name!r} is no function.")
            self._function = cast("Callable[..., Any]", found)
        return self._function

    def __call__(self, *args: Any) -> Any:
        return self.load()(*args)

    def __repr__(self) -> str:
        return f"Lazy({self.name!r})"


def load(name: str) -> object:
    """
    The object that ``"package.module:object"`` names.

    Raises:
        SetupError: When the module or the object is not there; the cause is attached.
    """
    module, _, attribute = name.partition(":")
    try:
        found: object = attrgetter(attribute)(import_module(module))
    except Exception as error:  # importing user code may raise anything
        raise SetupError(f"{name!r} can't be imported: {type(error).__name__}: {error}") from error
    return found


# --- values ---------------------------------------------------------------------------------------------------------


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise Unexpected("a text")
    return value


def whole(value: object) -> int:
    """A whole number from 0, of a file or as a variable's text."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Unexpected("a whole number from 0")
    return value


def number(value: object) -> float:
    """A number from 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise Unexpected("a number from 0")
    return float(value)


def yes_or_no(value: object) -> bool:
    """A boolean, of a file or as a variable's text."""
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if not isinstance(value, bool):
        raise Unexpected("true or false")
    return value


def texts(value: object) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[object]", value)):
        raise Unexpected("a list of texts")
    return tuple(cast("list[str]", value))


def texts_of(*words: str) -> Check:
    """A list of these words."""

    def check(value: object) -> tuple[str, ...]:
        if isinstance(value, list) and all(word in words for word in cast("list[object]", value)):
            return tuple(cast("list[str]", value))
        raise Unexpected("a list of " + ", ".join(map(repr, words)))

    return check


def texts_or_one(value: object) -> tuple[str, ...]:
    """A list of names of Python objects, or one."""
    named = (value,) if isinstance(value, str) else texts(value)
    return tuple(named_object(name) for name in named)


def as_it_is(value: object) -> object:
    """Anything: it is checked where it is read."""
    return value


def named_object(value: object) -> str:
    """The name of a Python object."""
    if not isinstance(value, str) or not _OBJECT.fullmatch(value):
        raise Unexpected("a name such as 'package.module:function'")
    return value


def function(value: object) -> Lazy:
    """The name of a function."""
    return Lazy(named_object(value))


def one_of(*words: str) -> Check:
    """One of these words."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise Unexpected("one of " + ", ".join(map(repr, words)))
        return value

    return check


def either(first: Check, second: Check) -> Check:
    """What the first takes, else what the second does."""

    def check(value: object) -> Any:
        try:
            return first(value)
        except Unexpected as unexpected:
            try:
                return second(value)
            except Unexpected as further:
                raise Unexpected(f"{unexpected.expected}, or {further.expected}") from None

    return check


# --- tables ---------------------------------------------------------------------------------------------------------


def table(keys: Mapping[str, Check]) -> Check:
    """A table with these keys."""

    def check(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Unexpected("a table")
        clean: dict[str, Any] = {}
        for key, given in cast("dict[object, object]", value).items():
            name = str(key)  # YAML has keys that are no texts
            if name not in keys:
                near = get_close_matches(name, keys, n=1)
                question = f"; did you mean {near[0]!r}?" if near else ""
                raise Unexpected(f"one of the keys {', '.join(sorted(keys))}{question}", name)
            clean[name] = _inside(name, keys[name], given)
        return clean

    return check


def table_of(check_each: Check, check_key: Check = text) -> Check:
    """A table whose keys are the user's."""

    def check(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Unexpected("a table")
        given = cast("dict[object, object]", value)
        return {_inside(str(name), check_key, str(name)): _inside(str(name), check_each, told)
                for name, told in given.items()}  # fmt: skip

    return check


def _inside(name: str, check: Check, value: object) -> Any:
    try:
        return check(value)
    except Unexpected as unexpected:
        raise Unexpected(unexpected.expected, name, *unexpected.key) from None


# --- the parts of the file ------------------------------------------------------------------------------------------

_TYPES: Final = {"str": str, "int": int, "float": float, "bool": bool}
_FACT: Final[Mapping[str, Check]] = {
    "meaning": text, "key": text, "owner": text, "type": one_of(*_TYPES), "dimension": yes_or_no, "budget": whole,
    "personal": yes_or_no, "propagate": yes_or_no, "allowed": lambda value: _list(value),
    "format": one_of("text", "country", "region", "continent"),
}  # fmt: skip
_VOCABULARY: Final[Mapping[str, Check]] = {
    "prefix": text, "version": text, "propagate": texts, "facts": table_of(table(_FACT)),
}  # fmt: skip


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise Unexpected("a list of values")
    return list(cast("list[object]", value))


def vocabulary(value: object) -> Vocabulary | str:
    """A vocabulary, declared in the file, or the name of one in Python."""
    if isinstance(value, str):
        return named_object(value)
    told: dict[str, Any] = table(_VOCABULARY)(value)
    facts: list[Attribute] = []
    for name, fact in told.get("facts", {}).items():
        if "type" in fact:
            fact["type"] = _TYPES[fact["type"]]
        try:
            facts.append(Attribute(**cast("dict[str, Any]", {"meaning": "", **fact, "name": name})))
        except (SetupError, TypeError) as error:
            raise Unexpected(f"a fact that holds together ({error})", "facts", name) from None
    try:
        version, propagate = told.get("version", "1"), told.get("propagate", ())
        return Vocabulary(told.get("prefix", ""), facts, version, propagate)
    except SetupError as error:
        raise Unexpected(f"a vocabulary that holds together ({error})") from None


_SPOOL: Final[Mapping[str, Check]] = {
    "directory": text, "max_bytes": whole, "min_free_bytes": whole, "max_age_s": number,
    "durability": one_of("process", "power"), "block_s": number,
}  # fmt: skip


def spool(value: object) -> Any:
    """A spool's directory, or a table with its options. Where events go stands in code or the environment alone."""
    if isinstance(value, str):
        return text(value)
    told = table(_SPOOL)(value)
    if "directory" not in told:
        raise Unexpected("a directory", "directory")
    from bizspan.spool import Spool

    try:
        return Spool(**told)
    except SetupError as error:
        raise Unexpected(f"a spool that can be kept ({error})") from None


_ROUTE: Final[Mapping[str, Check]] = {
    "operation": text, "feature": text, "facts": table_of(lambda value: value), "revenue": function,
}  # fmt: skip
# `revenue = "result.total"` reads the result or an argument; facts likewise.
_OPERATION: Final[Mapping[str, Check]] = {
    "name": text, "revenue": text, "currency": text, "value": text, "cost": text, "tax": text,
    "idempotency_key": text, "rejects": either(named_object, texts), "span": one_of("new", "current"),
    "emit": one_of("now", "on_commit"), "facts": table_of(lambda value: value),
}  # fmt: skip

FRAMEWORKS: Final = ("flask", "django", "starlette", "fastapi", "celery", "sqlalchemy")
REQUESTS: Final[Mapping[str, Check]] = {
    "resolver": function, "facts": function, "country_header": text, "region_header": text, "geo": text,
    "trusted_hops": whole, "campaign": one_of("first", "last", "off"), "channel": text,
    "session": either(yes_or_no, function), "staff": function, "test_header": text, "bots": yes_or_no, "exclude": texts,
    "trust_baggage": either(yes_or_no, texts),
}  # fmt: skip
CONFIGURE: Final[Mapping[str, Check]] = {
    "service_name": text, "environment": text, "hash_key_id": text, "capacity": whole,
    "revenue_basis": one_of("excl_tax", "incl_tax"), "emit": one_of("now", "on_commit"),
    "export": either(one_of("otlp", "console", "none"), texts_of("otlp", "console", "none")), "spool": spool,
    "baggage_hosts": texts,
}  # fmt: skip
LOGGING: Final[Mapping[str, Check]] = {"enabled": yes_or_no, "exclude": texts}
TOP: Final[Mapping[str, Check]] = {
    **CONFIGURE,
    "vocabulary": vocabulary,
    "frameworks": texts_of(*FRAMEWORKS),
    "requests": table(REQUESTS),
    "routes": table_of(either(text, table(_ROUTE))),
    "operations": table_of(table(_OPERATION), named_object),
    "tasks": table_of(text),
    "metrics": table_of(either(one_of("*"), texts)),
    "logging": table(LOGGING),
    # Of KPIs, which no application reads: `bizspan kpi check` looks into them.
    "time_zone": text,
    "week_start": text,
    "kpi_module": texts_or_one,
    "kpi": table_of(as_it_is),
    "alert": table_of(as_it_is),  # `bizspan report --alerts` does
    "catalogue": table_of(as_it_is),  # `bizspan export catalogue` does
}
FILE: Final = table(TOP)
# The keys of each table, for the reference page; NAME is the user's.
TABLES: Final[Mapping[str, Mapping[str, Check]]] = {
    "bizspan": TOP,
    "bizspan.vocabulary": _VOCABULARY,
    "bizspan.vocabulary.facts.NAME": _FACT,
    "bizspan.spool": _SPOOL,
    "bizspan.requests": REQUESTS,
    "bizspan.routes.NAME": _ROUTE,
    "bizspan.operations.NAME": _OPERATION,
    "bizspan.logging": LOGGING,
}
