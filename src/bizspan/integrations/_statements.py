"""
Which SQL statements may change data: `may_write()`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

# Possessive: comments must not be tried in every combination.
_FIRST: Final = re.compile(
    r"(?:[\s(;{]|--[^\n]*+|(?>/\*.*?\*/))*+"
    r"(?:ALTER|CALL|COMMENT|COPY|CREATE|DELETE|DO|DROP|EXEC|EXECUTE|GRANT|IMPORT|INSERT|LOAD|MERGE|REFRESH|RENAME|REPLACE"
    r"|REVOKE|TRUNCATE|UPDATE|UPSERT)\b",
    re.IGNORECASE | re.DOTALL,
)
# SELECT ... INTO; after the parenthesis of a WITH, or as a second statement; a block.
_INSIDE: Final = re.compile(
    r"\bINTO\s"
    r"|[();]\s*+(?:ALTER|CALL|CREATE|DELETE|DROP|EXEC|EXECUTE|INSERT|MERGE|REPLACE|TRUNCATE|UPDATE)\s++[^\s(]"
    r"|\bBEGIN\s++(?!CONCURRENT|DEFERRED|EXCLUSIVE|IMMEDIATE|ISOLATION|NOT|READ|TRAN|WORK)\w",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|--[^\n]*|/\*.*?\*/""", re.DOTALL)
_REMEMBERED_LENGTH: Final = 4000


def may_write(statement: str) -> bool:
    """
    Whether this statement may change data, as far as its text tells.

    What a function does that a query calls can't be known: it counts as reading.

    Args:
        statement: SQL, of whatever database.
    """
    if _FIRST.match(statement) is not None:
        return True
    return _remembered(statement) if len(statement) <= _REMEMBERED_LENGTH else _writes_inside(statement)


def _writes_inside(statement: str) -> bool:
    if _INSIDE.search(statement) is None:
        return False
    return _INSIDE.search(_QUOTED.sub(" '' ", statement)) is not None


# Looking takes tens of microseconds, and an application sends the same few statements.
_remembered: Final = lru_cache(maxsize=256)(_writes_inside)
