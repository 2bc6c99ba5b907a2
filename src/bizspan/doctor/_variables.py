"""
Variables that nobody reads: whose names are nearly those of variables that somebody does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import SequenceMatcher, get_close_matches
from importlib.metadata import entry_points
from typing import Final

from bizspan._config_file import VARIABLES
from bizspan.doctor._finding import Finding, yellow

_OURS: Final = "BIZSPAN_"
_GROUP: Final = "opentelemetry_environment_variables"  # where packages say which variables they read
_NEAR: Final = 0.85
_NEAR_WORD: Final = 0.7
_NEAR_WITH_OTHER_WORDS: Final = 0.88  # OTEL_EXPORTER_ENDPOINT, and not OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT
# Read by instrumentations and exporters, which say so nowhere; those with a library's name in them are in _BY_LIBRARY.
_FURTHER: Final = frozenset(
    f"OTEL_{name}"
    for name in (
        "CONFIG_FILE",
        "INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST",
        "INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE",
        "INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS",
        "INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST",
        "INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE",
        "PYTHON_AUTO_INSTRUMENTATION_EXPERIMENTAL_GEVENT_PATCH",
        "PYTHON_CONFIGURATOR",
        "PYTHON_DISABLED_INSTRUMENTATIONS",
        "PYTHON_DISTRO",
        "PYTHON_DJANGO_MIDDLEWARE_POSITION",
        "PYTHON_EXCLUDED_URLS",
        "PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
        "PYTHON_EXPORTER_OTLP_HTTP_LOGS_CREDENTIAL_PROVIDER",
        "PYTHON_EXPORTER_OTLP_HTTP_METRICS_CREDENTIAL_PROVIDER",
        "PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
        "PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS",
        "PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED",
        "PYTHON_LOG_AUTO_INSTRUMENTATION",
        "PYTHON_LOG_CODE_ATTRIBUTES",
        "PYTHON_LOG_CORRELATION",
        "PYTHON_LOG_FORMAT",
        "PYTHON_LOG_HANDLER_LEVEL",
        "PYTHON_LOG_LEVEL",
        "SEMCONV_STABILITY_OPT_IN",
    )
)
_BY_LIBRARY: Final = re.compile(r"OTEL_PYTHON_[A-Z0-9_]+_(EXCLUDED_URLS|TRACED_REQUEST_ATTRS|INSTRUMENT)")


def check_misspelled(environment: Mapping[str, str]) -> Iterator[Finding]:
    """
    Every variable of OpenTelemetry's and of ours that is nearly one that is read. Of names that are like none, those of
    ours alone: packages that the doctor does not know read variables of their own.
    """
    known = known_variables()
    for name in sorted(environment):
        is_ours = name.startswith(_OURS)
        if name in known or not (is_ours or name.startswith("OTEL_")) or _BY_LIBRARY.fullmatch(name):
            continue
        near = nearest(name, known)
        if near:
            step = f"export {near}"
            yield yellow("variable", f"{name[:80]} is set, and nobody reads it; did you mean {near}?", step)
        elif is_ours:
            yield yellow("variable", f"{name[:80]} is set, and nobody reads it.", f"unset {name[:80]}")


def known_variables() -> frozenset[str]:
    """The variables that OpenTelemetry's installed packages and bizspan read."""
    known = {*VARIABLES, "BIZSPAN_HASH_KEY", "BIZSPAN_SPOOL_ENDPOINT", "BIZSPAN_LENS_TOKEN", *_FURTHER}
    for entry in entry_points(group=_GROUP):
        try:
            module = entry.load()
        except Exception:  # noqa: S112 - a package that is damaged; the check of versions says so
            continue
        values = (getattr(module, name) for name in dir(module) if name.strip("_").startswith("OTEL_"))
        known.update(value for value in values if isinstance(value, str))
    return frozenset(known)


def nearest(name: str, known: Collection[str]) -> str:
    """The variable that was probably meant; empty where none is near enough."""
    return next((each for each in get_close_matches(name, known, 5, _NEAR) if _is_typo(name, each)), "")


def _is_typo(name: str, of: str) -> bool:
    """Whether it differs within words: OTEL_EXPORTER_OTLP_LOGS_X is no misspelled ..._TRACES_X."""
    words, others = name.split("_"), of.split("_")
    if len(words) != len(others):
        return name.replace("_", "") == of.replace("_", "") or _likeness(name, of) >= _NEAR_WITH_OTHER_WORDS
    return all(one == other or _likeness(one, other) >= _NEAR_WORD for one, other in zip(words, others, strict=True))


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()
