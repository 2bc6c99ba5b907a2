"""
Short codes for what went wrong: reasons and error types.
"""

from __future__ import annotations

from bizspan._facts import DIMENSION_LIMIT
from bizspan._values import clean_name


def error_type(error: BaseException) -> str:
    """
    The class of an exception, with its module unless it is built in: ``error.type`` of the semantic conventions.
    """
    kind = type(error)
    # Read past the metaclass, whose properties would be foreign code; a module may be named by anything.
    name = _qualified_name(kind)
    module = _module(kind)
    if type(module) is str and module != "builtins":
        name = f"{module}.{name}"
    return clean_name(name, limit=DIMENSION_LIMIT) or "invalid"


_qualified_name = type.__dict__["__qualname__"].__get__
_module = type.__dict__["__module__"].__get__


def code(reason: object) -> str | None:
    """A reason as a short code; None where there is none."""
    if reason is None or (type(reason) is str and not reason):
        return None
    return clean_name(reason, limit=DIMENSION_LIMIT) or "invalid"


def snake_case(name: str) -> str:
    """``CardDeclined`` as ``card_declined``: a class name as a reason code."""
    pieces: list[str] = []
    for position, letter in enumerate(name):
        follows_lower = position and not name[position - 1].isupper()
        starts_word = position and position + 1 < len(name) and not name[position + 1].isupper()
        if letter.isupper() and position and (follows_lower or starts_word):
            pieces.append("_")
        pieces.append(letter.lower())
    return "".join(pieces).replace("__", "_").strip("_")
