"""What a change of a vocabulary breaks, and the command that says so in a pipeline."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bizspan import Attribute, Vocabulary
from bizspan._vocabulary_diff import differences
from bizspan._vocabulary_json import read_vocabularies, vocabularies_data
from bizspan.errors import SetupError
from tests.child import BOUND_S, environment

STAGE: dict[str, Any] = {"name": "stage", "allowed": ["lead", "won"], "dimension": True, "owner": "crm", "meaning": "-"}


def shop(*facts: dict[str, Any], **options: Any) -> Vocabulary:
    return Vocabulary("shop", [Attribute(**fact) for fact in facts], **options)


def bizspan(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m bizspan` to its end, in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "bizspan", *words],
        env=environment(None, PYTHONUTF8="1"),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("after", "change", "breaking", "said"),
    [
        (None, "removed", True, "stage (shop.stage) is gone"),
        ({"name": "phase", "key": "shop.stage"}, "renamed", True, "stage is told as phase now"),
        ({"type": int, "allowed": None}, "type", True, "its type was str and is int"),
        ({"key": "crm.stage"}, "key", True, "its key was shop.stage and is crm.stage"),
        ({"allowed": ["won"]}, "allowed", True, "no longer taken: 'lead'"),
        ({"allowed": ["lead", "won", "lost"]}, "allowed", False, "taken as well: 'lost'"),
        ({"allowed": None}, "allowed", False, "any value is taken"),
        ({"allowed": None, "format": "country"}, "format", True, "its format was text and is country"),
        ({"dimension": False}, "dimension", True, "metrics no longer have it"),
        ({"dimension": False, "personal": True}, "personal", True, "its values are hashes"),
        ({"budget": 20}, "budget", False, "its budget was 50 and is 20"),
        ({"propagate": True}, "propagate", False, "it travels to other services"),
        ({"owner": "sales"}, "owner", False, "its owner was 'crm' and is 'sales'"),
        ({"meaning": "Where a deal stands."}, "meaning", False, "its meaning was '-'"),
    ],
    ids=str,
)
def test_each_change_is_named_and_judged(after: dict[str, Any] | None, change: str, breaking: bool, said: str) -> None:
    """
    Removed, renamed and retyped facts, and fewer allowed values, break; more of anything does not.
    """
    before = shop(STAGE)
    now = shop() if after is None else shop({**STAGE, **after})

    found = [each for each in differences([before], [now]) if each.change == change]

    assert [(breaking, True)] == [(each.breaking, said in each.text) for each in found], found


def test_the_other_way_round_what_breaks_differs() -> None:
    """
    A new fact is fine; allowed values where there were none, and a fact that no longer travels, are not.
    """
    before = shop({"name": "stage", "propagate": True}, propagate=["segment"])
    now = shop(STAGE, {"name": "items", "type": int}, version="2")

    assert [
        ("segment", "propagate", True),
        ("stage", "allowed", True),
        ("stage", "propagate", True),
        ("", "version", False),
        ("items", "added", False),
        ("stage", "dimension", False),
        ("stage", "meaning", False),
        ("stage", "owner", False),
    ] == [(each.fact, each.change, each.breaking) for each in differences([before], [now])]


def test_nothing_changed_is_no_difference() -> None:
    """
    The order of facts, and in which vocabulary of several they stand, is no change.
    """
    items = {"name": "items", "type": int}

    assert () == differences([shop(STAGE, items)], [shop(items, STAGE)])


def test_what_is_saved_reads_back_the_same(tmp_path: Path) -> None:
    """
    Every trait of a fact survives the file.
    """
    told = [
        shop(
            {**STAGE, "budget": 7, "propagate": True},
            {"name": "email", "personal": True, "owner": "crm é", "meaning": "\u2028 {}"},
            {"name": "level", "type": int, "allowed": [3, 1, 2], "key": "crm.level"},
            {"name": "gift", "type": bool, "allowed": [True], "dimension": True},
            {"name": "weight", "type": float, "allowed": [0.5, 1.0]},
            {"name": "origin", "format": "country"},
            version="7",
            propagate=["segment"],
        ),
        Vocabulary("empty"),
    ]  # fmt: skip
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps(vocabularies_data(told)), encoding="utf-8")

    back = read_vocabularies(path)

    assert vocabularies_data(told) == vocabularies_data(back)
    assert () == differences(told, back)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "it is no saved vocabulary of format 1"),
        ('{"format": 2}', "it is no saved vocabulary of format 1"),
        ('{"format": 1}', "a part is missing"),
        ('{"format": 1, "vocabularies": [3]}', "is something else"),
        ('{"format": 1, "vocabularies": [{"prefix": "otel", "version": "1", "propagate": [], "facts": []}]}', "'otel'"),
    ],
    ids=lambda text: text[:30],
)
def test_a_file_that_is_no_vocabulary_is_said(text: str, said: str, tmp_path: Path) -> None:
    """
    The error names the file and what is wrong.
    """
    path = tmp_path / "old.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(SetupError, match=r"old\.json: ") as raised:
        read_vocabularies(path)

    assert said in str(raised.value)


MODULE = """
from bizspan import Attribute, Vocabulary
SHOP = Vocabulary("shop", [Attribute(name="stage", owner="crm", meaning="Where it stands.", dimension=True){more}])
BOTH = [SHOP, Vocabulary("ware", [Attribute(name="house", type=int, personal=False, allowed=[1, 2])])]
"""


@pytest.mark.once
def test_a_pipeline_sees_what_breaks(tmp_path: Path) -> None:
    """
    Save, change, compare: 0 while facts are added, 1 once one is gone; the configured vocabulary is the new one.
    """
    (tmp_path / "telemetry.py").write_text(MODULE.format(more=""), encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('[tool.bizspan]\nvocabulary = "telemetry:SHOP"\n', encoding="utf-8")
    saved = bizspan(tmp_path, "vocabulary", "show", "--format", "json")
    (tmp_path / "old.json").write_text(saved.stdout, encoding="utf-8")
    same = bizspan(tmp_path, "vocabulary", "diff", "old.json")
    (tmp_path / "telemetry.py").write_text(MODULE.format(more=', Attribute(name="step")'), encoding="utf-8")
    more = bizspan(tmp_path, "vocabulary", "diff", "old.json", "telemetry:BOTH")
    less = bizspan(tmp_path, "vocabulary", "diff", "telemetry:SHOP", "old.json", "--format", "json")

    assert (0, "0 breaking, 0 compatible\n") == (same.returncode, same.stdout), same.stderr
    assert (0, ["compatible  house (ware.house) is new", "compatible  step (shop.step) is new",
                "0 breaking, 2 compatible"]) == (more.returncode, more.stdout.splitlines())  # fmt: skip
    report = json.loads(less.stdout)
    assert (1, 1) == (less.returncode, report["exit_code"])
    assert [
        {"fact": "step", "change": "removed", "breaking": True, "text": "step (shop.step) is gone"}
    ] == report["changes"]  # fmt: skip


def test_facts_are_shown_as_text(tmp_path: Path) -> None:
    """
    Each fact is a line with its key, type, traits, owner and meaning; the standard ones where asked.
    """
    (tmp_path / "telemetry.py").write_text(MODULE.format(more=""), encoding="utf-8")
    ours = bizspan(tmp_path, "vocabulary", "show", "telemetry:BOTH")
    all_facts = bizspan(tmp_path, "vocabulary", "show", "telemetry:BOTH", "--standard")

    assert [
        "shop, version 1",
        "  stage  shop.stage  str, dimension of 50  crm: Where it stands.",
        "ware, version 1",
        "  house  ware.house  int, one of 1 2",
    ] == ours.stdout.splitlines()
    assert "country geo.country.iso_code str, country, dimension of 249" in " ".join(all_facts.stdout.split())


@pytest.mark.once
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("vocabulary", "diff", "old.json"), "old.json: it can't be read"),
        (("vocabulary", "show"), "no vocabulary is declared"),
        (("vocabulary", "show", "json:loads"), "expected a Vocabulary"),
        (("vocabulary", "show", "nowhere:SHOP"), "can't be imported"),
        (("vocabulary", "show", "--config", "nowhere.toml"), "there is no such file"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_ends_in_2(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """
    A missing file or object is an error with a sentence, not a difference.
    """
    ran = bizspan(tmp_path, *words)

    assert (2, "") == (ran.returncode, ran.stdout)
    assert said in ran.stderr
