"""
Which instruments of other libraries carry which dimensions: what `configure(metric_dimensions=...)` takes, checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NoReturn, cast

from bizspan import _guard, names
from bizspan.errors import SetupError
from bizspan.vocabulary import Attribute

# Instrument names, in lower case, and the facts by keyword; None stands for every dimension.
Named = Mapping[str, tuple[str, ...] | None]

_JOINED: Final = (
    "metric_dimensions= is for the meter provider that configure() builds, and here one is set or passed already."
    " Wrap that one before it is set: metrics.set_meter_provider(bizspan.sdk.with_business_context(provider, {...})),"
    " or pass the wrapped one to the instrumentation as meter_provider=."
)
_NOT_BUILT: Final = (
    "bizspan: metric_dimensions= does nothing here, because without export='otlp' no meter provider is built."
    " Wrap yours with bizspan.sdk.with_business_context(provider, {...})."
)

# The specification's syntax: "Instrument name syntax" of the metrics API.
_NAME: Final = re.compile(r"[a-z][-_./a-z0-9]{0,254}")
_OWN: Final = frozenset(
    {names.REVENUE, names.REFUND, names.COST}
    | {value for name, value in vars(names).items() if name.startswith("METRIC_")}
)


def checked(given: object, declared: Mapping[str, Attribute]) -> Named:
    """
    The same with instrument names in lower case, which is how OpenTelemetry compares them.

    Args:
        given: Instrument names, each with keywords of dimensions or None. None altogether names nothing.
        declared: The facts by keyword.

    Raises:
        SetupError: When a name is no instrument's, or a fact is unknown or no dimension. The text says what to do.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise SetupError(
            "metric_dimensions= must be a dict of instrument names and facts;"
            " use one such as {'http.server.request.duration': ('segment', 'country')}."
        )
    named: dict[str, tuple[str, ...] | None] = {}
    for name, facts in cast("Mapping[object, object]", given).items():
        clean = _checked_name(name)
        if clean in named:
            raise SetupError(f"metric_dimensions= names {clean!r} twice; case does not count. Keep one of them.")
        named[clean] = None if facts is None else _checked_facts(clean, facts, declared)
    return named


def refuse_unbuilt(joined: bool) -> None:
    """
    Say what to do instead where `configure()` builds no meter provider.

    Args:
        joined: Whether the application has one; otherwise nothing measures, and there is nothing to lose.

    Raises:
        SetupError: When it has one: the API lets nobody replace it.
    """
    if joined:
        raise SetupError(_JOINED)
    _guard.say_once("metric_dimensions", _NOT_BUILT)


def _checked_name(name: object) -> str:
    clean = name.lower() if isinstance(name, str) else ""
    if not _NAME.fullmatch(clean):
        raise SetupError(
            f"metric_dimensions= names {name!r}, which is no instrument's name; use the whole name as its library"
            " writes it, such as 'http.server.request.duration'."
        )
    if clean in _OWN:
        raise SetupError(
            f"metric_dimensions= names {clean!r}, which is bizspan's own and has its dimensions already; take it out."
        )
    return clean


def _checked_facts(name: str, facts: object, declared: Mapping[str, Attribute]) -> tuple[str, ...]:
    several = [] if isinstance(facts, str) or not isinstance(facts, Iterable) else list(cast("Iterable[object]", facts))
    if not several:
        raise SetupError(
            f"metric_dimensions= of {name!r} must be several facts, got {facts!r}; use ('segment',) for one,"
            " None for every dimension."
        )
    for fact in several:
        attribute = declared.get(fact) if isinstance(fact, str) else None
        if attribute is None:
            _unknown(name, fact, declared)
        if not attribute.dimension:
            dimensions = ", ".join(sorted(each.name for each in declared.values() if each.dimension))
            raise SetupError(
                f"metric_dimensions= of {name!r}: {fact!r} is no dimension, so metrics don't carry it. Declare a"
                f" fact of few values with dimension=True, or use one of these: {dimensions}."
            )
    return tuple(cast("list[str]", several))


def _unknown(name: str, fact: object, declared: Mapping[str, Attribute]) -> NoReturn:
    from difflib import get_close_matches  # 2 ms to import, for an error

    by_key = {attribute.key: attribute.name for attribute in declared.values()}
    near = [by_key[str(fact)]] if fact in by_key else get_close_matches(str(fact), declared, n=1)
    question = f" Did you mean {near[0]!r}?" if near else ""
    raise SetupError(
        f"metric_dimensions= of {name!r}: the fact {fact!r} is not declared.{question}"
        " Use the keyword of a standard fact, or of one in vocabulary=."
    )
