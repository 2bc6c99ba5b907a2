"""Which SQL statements count as writing."""

from __future__ import annotations

import pytest

from bizspan.integrations import _statements
from bizspan.integrations._statements import may_write

WORDS = {
    "SHOW search_path": False,
    "SET LOCAL lock_timeout = 5": False,
    "EXPLAIN (ANALYZE) SELECT 1": False,
    "SELECT name FROM sale WHERE id IN (1, 2) FOR UPDATE": False,
    "SELECT upper(insert (name, 1, 2, 'x')) FROM sale": False,
    'SELECT "into" FROM sale': False,
    "SELECT count(*) /* what went into it */ FROM sale": False,
    "LOCK TABLE sale": False,
    "BEGIN": False,
    "BEGIN IMMEDIATE": False,
    "SAVEPOINT sa_savepoint_1": False,
    "": False,
    "/* no more": False,
    "/* a */ " * 200 + "1": False,
    "UPDATE sale SET name = 'x'": True,
    "\n\tdelete from sale": True,
    "MERGE INTO sale USING part ON 1 = 1": True,
    "CALL sell(1)": True,
    "{CALL sell(1)}": True,
    "EXEC sell 1": True,
    "BEGIN sell(1); END;": True,
    "COPY sale FROM STDIN": True,
    "TRUNCATE sale": True,
    "WITH gone AS (DELETE FROM sale RETURNING *) SELECT * FROM gone": True,
    "WITH one AS (SELECT 1)\nUPDATE sale SET name = 'x'": True,
    "SELECT * INTO archive FROM sale": True,
    "SET NOCOUNT ON; UPDATE sale SET name = 'x'": True,
}


@pytest.mark.parametrize("statement", WORDS)
def test_statements_that_may_write(statement: str) -> None:
    """
    By the word they begin with, and by what comes after a parenthesis.
    """
    assert WORDS[statement] == may_write(statement)


@pytest.mark.parametrize("part", ["/* */ ", "/*", "( ", "SELECT 1 -- x\n", "'/*"])
def test_long_statements(part: str) -> None:
    """
    One of 20,000 parts, which no pattern tries in every combination, and which is not remembered.
    """
    before = _statements._remembered.cache_info().currsize
    assert not may_write(part * 20_000)
    assert may_write("UPDATE sale SET name = 'x' WHERE " + part * 20_000)

    assert before == _statements._remembered.cache_info().currsize
