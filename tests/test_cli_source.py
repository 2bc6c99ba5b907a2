"""Which events commands read where nothing is told: the same for all of them, and it is said."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from bizspan.cli import main
from tests.kpi.releases import MINUTE, rollout
from tests.kpi.test_compare_command import ARMS, CONFIG
from tests.report.shops import lens_store

COMMANDS = (
    ["compare", *ARMS[2:]],
    ["compare", *ARMS[2:], "--format=md"],
    ["report", "--since=1d"],
    ["kpi", "show", "success"],
    ["kpi", "check"],
)
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with KPIs where one stands, and the path of the lens's store, which is not there."""
    (tmp_path / "pyproject.toml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("BIZSPAN_CONFIG", "BIZSPAN_CLICKHOUSE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "bizspan" / "lens.db"


def filled(path: Path) -> None:
    lens_store(path, rollout(lambda _, new: 0.6, until_ns=time.time_ns() - MINUTE))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_one_rule_says_what_is_read(
    default: Path, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What an option tells, else ClickHouse of the environment, else the lens's store; each output has where it is from.
    """
    filled(default)
    filled(Path("other.db"))

    main(words)
    of_nothing = capsys.readouterr().out
    monkeypatch.setenv("BIZSPAN_CLICKHOUSE_URL", NOWHERE)
    code = main(words)
    printed = capsys.readouterr()
    main([*words, "--store=other.db"])
    of_an_option = capsys.readouterr().out

    assert f"from {default}" in of_nothing.replace("\\_", "_")
    assert (1 if words[1] == "check" else 2, True) == (code, f"{NOWHERE}: " in printed.out + printed.err)
    assert "from other.db" in of_an_option


@pytest.mark.parametrize("words", [COMMANDS[0], *COMMANDS[2:4]], ids=" ".join)
def test_data_has_its_source(default: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """
    The key `source` has the file, or the address of ClickHouse.
    """
    filled(default)
    main([*words, "--format=json"])

    assert str(default) == json.loads(capsys.readouterr().out)["source"]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_where_there_is_nothing_to_read_it_is_said(
    default: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    What needs events says how to name them; definitions are shown and checked without.
    """
    code = main(words)
    printed = capsys.readouterr()

    if words[0] == "kpi":
        assert (0, "", False) == (code, printed.err, "from " in printed.out)
    else:
        sentence = "say where the events are: --store FILE, or --clickhouse URL."
        assert (2, f"bizspan {words[0]}: error: {sentence}\n") == (code, printed.err)
