"""
Whether an installed version is what a requirement asks for, as far as OpenTelemetry's packages need it.

The standard library cannot compare versions, and a diagnosis must not need a package that may be missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_REQUIREMENT: Final = re.compile(
    r"^\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*\(?(?P<specifiers>[^;()]*)\)?\s*(;(?P<marker>.*))?$"
)
_EXTRA: Final = re.compile(r"^\(?\s*extra\s*==\s*['\"](?P<extra>[A-Za-z0-9._-]+)['\"]\s*\)?$")
_VERSION: Final = re.compile(
    r"^v?(\d+!)?(?P<release>\d+(\.\d+)*)"
    r"([-_.]?(?P<pre>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?P<pre_number>\d*))?"
    r"([-_.]?post[-_.]?(?P<post>\d*))?([-_.]?dev[-_.]?(?P<dev>\d*))?(\+.*)?$"
)
_PRE: Final = {"alpha": 0, "a": 0, "beta": 1, "b": 1, "preview": 2, "pre": 2, "rc": 2, "c": 2}
_FINAL: Final = 3
_Key = tuple[tuple[int, ...], tuple[int, int], int, int]


@dataclass(frozen=True, slots=True)
class Requirement:
    """
    One line of a package's metadata.

    Args:
        name: Of the package that is required, normalised.
        specifiers: As they are written, for example ``>=1.38,<2``.
        extra: The extra that asks for it; empty where it is always required.
        is_conditional: Whether it depends on anything else, as on the platform.
    """

    name: str
    specifiers: str
    extra: str
    is_conditional: bool


def normalised(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement(line: str) -> Requirement | None:
    """One ``Requires-Dist`` line; None when it is not understood, as with a URL."""
    found = _REQUIREMENT.match(line)
    if found is None:
        return None
    marker = (found["marker"] or "").strip()
    extra = _EXTRA.match(marker)
    return Requirement(
        normalised(found["name"]),
        found["specifiers"].strip(),
        normalised(extra["extra"]) if extra else "",
        bool(marker) and extra is None,
    )


def satisfies(version: str, specifiers: str) -> bool:
    """
    Whether the version is in the range. What is not understood counts as satisfied: it is no finding.
    """
    return all(_satisfies_one(version, one.strip()) for one in specifiers.split(",") if one.strip())


def _satisfies_one(version: str, specifier: str) -> bool:
    operator, wanted = _split(specifier)
    have, want = _key(version), _key(wanted.removesuffix(".*"))
    if have is None or want is None:
        return True
    if wanted.endswith(".*"):
        begins = _begins(version, _release(wanted.removesuffix(".*")))
        return begins if operator == "==" else not begins
    if operator == "~=":
        return have >= want and _begins(version, _release(wanted)[:-1])
    return {
        "==": have == want,
        "===": version == wanted,
        "!=": have != want,
        ">=": have >= want,
        "<=": have <= want,
        # A pre-release of 2.0 is not below 2.0 for a specifier: `<2` leaves 2.0b1 out.
        "<": have < want and not (have[0] == want[0] and want[1][0] == _FINAL),
        ">": have > want,
    }.get(operator, True)


def _split(specifier: str) -> tuple[str, str]:
    found = re.match(r"^(===|==|~=|!=|<=|>=|<|>)\s*(.+)$", specifier)
    return (found[1], found[2].strip()) if found else ("", specifier)


def _begins(version: str, prefix: tuple[int, ...]) -> bool:
    return (*_release(version), *(0,) * len(prefix))[: len(prefix)] == prefix


def _release(version: str) -> tuple[int, ...]:
    found = _VERSION.match(version.strip().lower())
    return tuple(int(number) for number in found["release"].split(".")) if found else ()


def _key(version: str) -> _Key | None:
    found = _VERSION.match(version.strip().lower())
    if found is None:
        return None
    numbers = [int(number) for number in found["release"].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    is_dev = found["dev"] is not None
    if found["pre"]:
        pre = (_PRE[found["pre"]], int(found["pre_number"] or 0))
    else:
        pre = (-1, 0) if is_dev and found["post"] is None else (_FINAL, 0)
    post = -1 if found["post"] is None else int(found["post"] or 0)
    return tuple(numbers), pre, post, int(found["dev"] or 0) if is_dev else 1 << 30
