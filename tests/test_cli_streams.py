"""What commands do where nothing can be printed: a full disk, or streams that whoever called has closed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bizspan import cli
from tests.child import BOUND_S, environment
from tests.kpi.releases import MINUTE, rollout
from tests.kpi.test_compare_command import ARMS, CONFIG
from tests.report.shops import lens_store

COMMANDS = (
    ["--help"],
    ["compare", *ARMS],
    ["report", "--store=store.db", "--since=1d"],
    ["kpi", "show", "success", "--store=store.db"],
    ["export", "catalogue"],
    ["reconcile", "--events=store.db", "--ledger=ledger.csv"],
)
SENTENCE = "bizspan: error: the output can't be written (No space left on device).\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with KPIs, a store with a release that hurts, and a ledger."""
    path = tmp_path_factory.mktemp("shop")
    (path / "pyproject.toml").write_text(CONFIG, encoding="utf-8")
    lens_store(path / "store.db", rollout(lambda _, new: 0.3 if new else 0.7, until_ns=time.time_ns() - MINUTE))
    (path / "ledger.csv").write_text("order,amount,currency,time\n", encoding="utf-8")
    return path


def ran(shop: Path, words: Sequence[str], redirected: str) -> tuple[int, str]:
    """The exit code of a command, and what it says beside its output, with streams as a shell redirects them."""
    command = ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "bizspan", *words]
    ended = subprocess.run(
        command, cwd=shop, env=environment(), capture_output=True, text=True, timeout=BOUND_S, check=False
    )
    assert "" == ended.stdout
    return ended.returncode, ended.stderr


@pytest.mark.once
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_output_that_can_not_be_written_is_no_verdict(shop: Path, words: list[str]) -> None:
    """
    On a full disk, each command ends with 2 and one sentence: 1 would say that the release is worse.
    """
    assert (2, SENTENCE) == ran(shop, words, ">/dev/full")


@pytest.mark.once
@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that closes streams")
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_closed_output_is_a_quiet_one(shop: Path, words: list[str]) -> None:
    """
    Without standard output, a command does what it does when its output goes nowhere, with the same exit code.
    """
    assert ran(shop, words, ">/dev/null") == ran(shop, words, ">&-")


@pytest.mark.once
@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that closes streams")
@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>&-", "<&- >&- 2>&-"])
def test_a_sentence_that_nobody_can_read_keeps_its_exit_code(shop: Path, redirected: str) -> None:
    """
    What goes to standard error is not needed, and never lands in the output instead.
    """
    assert (2, "") == ran(shop, ["compare", "--store=gone.db"], redirected)


def test_a_fault_of_ours_is_no_verdict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """
    An exception that nobody expected is told in full, and ends with 2.
    """

    def fails(*_: object) -> int:
        raise ZeroDivisionError("of ours")

    monkeypatch.setitem(cli._BY_NAME, "compare", cli.Command("compare", "", lambda parser: None, fails))

    assert 2 == cli.main(["compare"])
    said = capsys.readouterr().err
    assert said.startswith("Traceback ")
    assert said.endswith("ZeroDivisionError: of ours\n")
