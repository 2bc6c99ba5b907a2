"""
Hosts by name: exact ones, and ``*.`` for every one below a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final, cast

from bizspan.errors import SetupError

_LABEL: Final = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST: Final = 253
_NUMBER: Final = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)")  # WHATWG: a host that ends so is an IPv4 address


class Hosts:
    """
    A list of hosts.

    Args:
        patterns: ``"api.shop.internal"``, an IP address, or ``"*.shop.internal"``, which is every host below that name
            and not the name itself.

    Raises:
        SetupError: When an entry is no host. The text counts entries: one that is a URL may hold credentials.
    """

    __slots__ = ("_below", "_exact")

    def __init__(self, patterns: Iterable[str]) -> None:
        given: object = patterns
        if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
            raise SetupError("baggage_hosts= must be a list, such as ['api.shop.internal', '*.shop.internal'].")
        exact: set[str] = set()
        below: list[str] = []
        for number, pattern in enumerate(cast("Iterable[object]", given), 1):
            text = pattern.strip() if isinstance(pattern, str) else ""
            parent = text.removeprefix("*.")
            host = normalised(parent)
            if host is None or (parent != text and not _is_name(host)):
                raise SetupError(
                    f"baggage_hosts=: entry {number} is no host. Write it without scheme, port and path:"
                    " 'api.shop.internal', or '*.shop.internal' for every host below; other scripts as 'xn--...'."
                )
            if parent == text:
                exact.add(host)
            else:
                below.append(f".{host}")
        self._exact = frozenset(exact)
        self._below = tuple(below)

    def __contains__(self, host: object) -> bool:
        name = normalised(host)
        if name is None:
            return False
        return name in self._exact or (bool(self._below) and name.endswith(self._below) and _is_name(name))


def normalised(host: object) -> str | None:
    """
    A host as it is compared: lower case, without the brackets of an IPv6 address and the root's dot; None for what is
    no host. Other scripts than ASCII are none: which host they name depends on who encodes them.
    """
    if type(host) is not str or len(host) > _LONGEST or not host.isascii():
        return None
    name = host.lower()
    name = name[1:-1] if name.startswith("[") and name.endswith("]") else name.removesuffix(".")
    if ":" in name or _NUMBER.fullmatch(name):
        try:
            return str(ip_address(name))
        except ValueError:
            return None
    return name if _NAME.fullmatch(name) else None


def _is_name(host: str) -> bool:
    """Whether a normalised host is a name, not an address."""
    return ":" not in host and not _NUMBER.fullmatch(host)
