"""
What a check says: one line, how bad it is, and the next step.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

Level = Literal["green", "yellow", "red"]
LEVELS: Final[tuple[Level, ...]] = ("green", "yellow", "red")
_TEXT_MAX: Final = 600
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What one check found.

    Args:
        check: Names the check, for example ``"endpoint.logs"``; stable.
        level: How bad it is.
        text: What is so, in one sentence.
        next_step: The command or the setting that changes it; empty only when green.
    """

    check: str
    level: Level
    text: str
    next_step: str = ""


def green(check: str, text: str) -> Finding:
    """It works."""
    return Finding(check, "green", one_line(text))


def yellow(check: str, text: str, next_step: str) -> Finding:
    """It works, and is probably not what was meant."""
    return Finding(check, "yellow", one_line(text), one_line(next_step))


def red(check: str, text: str, next_step: str) -> Finding:
    """It will not work."""
    return Finding(check, "red", one_line(text), one_line(next_step))


def one_line(text: str) -> str:
    """The text without what would break the line or the terminal, bounded."""
    line = _CONTROL.sub(" ", text).encode("utf-8", "replace").decode("utf-8").strip()
    return line if len(line) <= _TEXT_MAX else f"{line[:_TEXT_MAX]}..."


def without(text: str, secrets: Iterable[str]) -> str:
    """
    The text with each of these values replaced: a server may repeat what it was sent.
    """
    for secret in sorted({*secrets}, key=len, reverse=True):
        if len(secret) >= 3:
            text = text.replace(secret, "***")
    return text


def shown_url(url: str) -> str:
    """
    A URL as it may be printed: scheme, host, port and path. User, password, query and fragment are left out.
    """
    # What stands before the last @ is a password, wherever urlsplit would put it.
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    if "@" in rest:
        rest = f"***@{rest.rpartition('@')[2]}"
    return one_line(f"{scheme}{separator}{rest}")[:200]


def host_and_port(url: str, default_port: int) -> tuple[str, int] | None:
    """Host and port of a URL, with or without a scheme; None when it has none that can be used."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        return None if not parts.hostname else (parts.hostname, parts.port or default_port)
    except ValueError:
        return None
