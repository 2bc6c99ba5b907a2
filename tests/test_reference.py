"""The reference pages say what the code has: every name, key, unit, reason and variable."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import pytest

import bizspan
from bizspan import _accounts, _config_file, _config_schema, errors, names
from bizspan._run import Run
from bizspan.vocabulary import OPTION_NAMES, STANDARD, Attribute

ROOT: Final = Path(__file__).resolve().parent.parent
REFERENCE: Final = ROOT / "docs" / "reference"
SOURCE: Final = ROOT / "src" / "bizspan"

pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="docs/ is not in this copy")

CODE: Final = re.compile(r"`([^`]+)`")
# What `coerce` may say about a value; its docstring is the list.
CHANGED: Final = frozenset(
    {"truncated", "surrogate", "control", "type", "cyclic", "depth", "size", "bytes", "int64", "nonfinite"}
)


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text("utf-8")


def rows(markdown: str) -> Iterator[list[str]]:
    """The rows of all tables of a page, without heads and rules, each as its cells."""
    lines = markdown.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("|") and not following.startswith("|--") and not line.startswith("|--"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def coded(text: str) -> list[str]:
    return CODE.findall(text)


def section(markdown: str, heading: str) -> str:
    """What stands under a heading, until the next one of its level."""
    level = heading.split(" ", 1)[0]
    body = markdown.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"\n{level} ", body, maxsplit=1)[0]


# --- the API ----------------------------------------------------------------------------------------------


def test_every_public_name_is_in_the_api_page() -> None:
    """
    Each name of `bizspan.__all__` has an entry, and no entry names something else.
    """
    entries = re.findall(r"^\.\. (?:auto)?(?:class|function|exception):: bizspan\.(\w+)", page("api"), re.MULTILINE)

    rooms = ("_run", "testing", "integrations", "sdk", "spool", "lens", "kpi", "page", "report", "demo")
    assert sorted(bizspan.__all__) == sorted(name for name in entries if name not in rooms)


def test_what_a_run_offers_is_in_the_api_page_with_its_parameters() -> None:
    """
    Each method of ``as op`` has an entry with the parameters of the code.
    """
    shown = dict(re.findall(r"^\.\. method:: op\.(\w+)\((.*)\)$", page("api"), re.MULTILINE))
    told = ("revenue", "cost", "value", "tax", "annotate", "reject", "fail")

    assert {
        name: [parameter for parameter in inspect.signature(getattr(Run, name)).parameters if parameter != "self"]
        for name in told
    } == {name: re.findall(r"(\w+)(?:=[^,]*)?(?:,|$)", listed) for name, listed in shown.items()}


# --- signals ----------------------------------------------------------------------------------------------


def all_names() -> dict[str, str]:
    """Every text of `names` by its constant, the tables of money included."""
    found: dict[str, str] = {}
    for constant, value in vars(names).items():
        if constant.isupper() and isinstance(value, str):
            found[constant] = value
        elif constant.endswith("_KEYS") and isinstance(value, dict):
            table = cast("dict[str, str]", value)
            found |= {f"{constant}[{kind}]": key for kind, key in table.items()}
    return found


def test_every_name_that_leaves_the_process_is_in_the_reference() -> None:
    """
    Keys, metrics, units, event names and outcomes of names.py stand in the pages of signals and vocabulary.
    """
    shown = {*coded(page("signals")), *coded(page("vocabulary"))}
    # The page gives the money keys once, for revenue, and names the kinds.
    other_kinds = [kind for kind in names.MONEY_KINDS if kind != names.REVENUE]
    told_by_kind = {f"{kind}.{end}" for kind in other_kinds for end in ("amount", "minor_units", "currency", "invalid")}
    spoken_of = {names.CUSTOM_PREFIX, names.SCHEMA_URL, names.OTHER}  # in running text

    missing = {value for value in all_names().values() if value not in shown | told_by_kind | spoken_of}

    assert set() == missing
    assert names.SCHEMA_URL in page("signals")
    assert names.OTHER in page("signals")


def test_the_signals_page_names_nothing_that_does_not_exist() -> None:
    """
    Whatever the page writes with one of our prefixes is in names.py.
    """
    ours = {
        word
        for word in coded(page("signals"))
        if re.fullmatch(r"(business|bizspan)\.[a-z_.]+", word) and word != f"{names.SCOPE}/names.py"
    }

    assert set() == ours - {*all_names().values()} - {names.CUSTOM_PREFIX}


def test_each_metric_has_the_unit_of_the_code() -> None:
    """
    The tables of metrics give each its unit.
    """
    units = {
        names.METRIC_DURATION: names.UNIT_SECONDS,
        names.REVENUE: names.UNIT_CURRENCY,
        names.REFUND: names.UNIT_CURRENCY,
        names.COST: names.UNIT_CURRENCY,
        names.METRIC_EVENTS: names.UNIT_EVENT,
        names.METRIC_FEEDBACK: names.UNIT_SCORE,
        names.METRIC_OFFERED: names.UNIT_EVENT,
        names.METRIC_ACKNOWLEDGED: names.UNIT_EVENT,
        names.METRIC_REFUSED: names.UNIT_EVENT,
        names.METRIC_HANDED_OVER: names.UNIT_EVENT,
        names.METRIC_PENDING: names.UNIT_EVENT,
        names.METRIC_ADOPTED: names.UNIT_EVENT,
        names.METRIC_DELIVERED: names.UNIT_EVENT,
        names.METRIC_REJECTED: names.UNIT_EVENT,
        names.METRIC_DEAD_LETTERED: names.UNIT_EVENT,
        names.METRIC_EXPIRED: names.UNIT_EVENT,
        names.METRIC_SPOOL_SIZE: names.UNIT_BYTES,
        names.METRIC_SPOOL_DURABLE: names.UNIT_NONE,
        names.METRIC_VALUES_REFUSED: names.UNIT_VALUE,
    }

    shown = {
        coded(cells[0])[0]: coded(cells[2])[0]
        for cells in rows(section(page("signals"), "## Metrics"))
        if coded(cells[0])
    }

    assert units == shown


def test_the_buckets_of_durations_are_those_of_the_code() -> None:
    """
    The page lists the boundaries in seconds.
    """
    listed = re.search(r"Its buckets end at ([0-9., \nand]+) seconds", page("signals"))
    assert listed is not None

    assert names.DURATION_BOUNDARIES_S == tuple(float(n) for n in re.findall(r"\d+(?:\.\d+)?", listed[1]))


# --- the vocabulary ---------------------------------------------------------------------------------------


def as_row(fact: Attribute) -> list[str]:
    values = "personal" if fact.personal else ""
    if fact.allowed is not None:
        values = ", ".join(f"`{value}`" for value in sorted(map(str, fact.allowed)))
    elif fact.format == "continent":
        values = ", ".join(f"`{code}`" for code in ("AF", "AN", "AS", "EU", "NA", "OC", "SA"))
    budget = str(fact.budget) if fact.dimension else ""
    return [f"`{fact.name}`", f"`{fact.key}`", budget, values, fact.meaning]


def test_the_vocabulary_table_is_the_standard_vocabulary() -> None:
    """
    Each standard fact has its row, in order: keyword, key, budget, values, meaning.
    """
    assert [as_row(fact) for fact in STANDARD] == list(rows(page("vocabulary")))


def test_options_that_are_named_exist() -> None:
    """
    The options beside facts, as the vocabulary page lists them, are options of the calls.
    """
    listed = page("vocabulary").split("take these options:")[1].split("See [")[0]

    assert set() == {*coded(listed)} - OPTION_NAMES


# --- refusals ---------------------------------------------------------------------------------------------


def event_reasons() -> set[str]:
    return {value for key, value in vars(_accounts).items() if key.isupper() and isinstance(value, str)}


def value_reasons() -> set[str]:
    """Reasons of values: of money, of cleaning, and each that the source passes to `refuse_value`."""
    found = {*errors.REASONS, *CHANGED}
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            name = getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""
            # A request's own `refuse` has the same three arguments.
            if isinstance(node, ast.Call) and (name == "refuse_value" or (name == "refuse" and len(node.args) > 2)):
                found |= texts(node.args[1])
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".values_refused.add"):  # in silence
                found |= texts(node.args[0])
            if file.name == "_facts.py" and isinstance(node, ast.Tuple) and len(node.elts) == 2:
                found |= texts(node.elts[1])
    return found


def texts(node: ast.expr) -> set[str]:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def test_every_reason_for_refusing_an_event_is_explained() -> None:
    """
    The table of events has the reasons of the code, no more and no less.
    """
    shown = {coded(cells[0])[0] for cells in rows(section(page("refusals"), "## Events"))}

    assert event_reasons() == shown


def test_every_reason_for_refusing_a_value_is_explained() -> None:
    """
    The tables of values have the reasons of the code, no more and no less.
    """
    shown = {coded(cells[0])[0] for cells in rows(section(page("refusals"), "## Values"))}

    assert value_reasons() == shown


def test_the_reasons_for_amounts_are_those_of_the_error() -> None:
    """
    `AmountError.reason` is one of the listed, beside the one that totals add.
    """
    amounts = section(section(page("refusals"), "## Values"), "### Amounts")

    assert {*errors.REASONS, "total_range"} == {coded(cells[0])[0] for cells in rows(amounts)}


# --- environment variables --------------------------------------------------------------------------------


def test_every_variable_that_the_source_reads_is_listed() -> None:
    """
    The environment page names each BIZSPAN_ variable, and each OTEL_ variable that bizspan itself reads.
    """
    read: set[str] = set()
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                read |= {*re.findall(r"^(?:BIZSPAN|OTEL)_[A-Z_]+[A-Z]$", node.value)}
    read |= {*_config_file.VARIABLES}
    shown = set(re.findall(r"`((?:BIZSPAN|OTEL)_[A-Z_]+)`", page("environment")))

    assert set() == read - shown
    assert {name for name in shown if name.startswith("BIZSPAN_")} == {
        name for name in read if name.startswith("BIZSPAN_")
    }


def test_the_file_has_the_keys_of_the_reference() -> None:
    """
    Each table of the configuration file has its section, with the keys that it takes, no more and no less.
    """
    keys = {
        name: sorted(
            key for cells in rows(section(page("configuration-file"), f"## {name}")) for key in coded(cells[0])
        )
        for name in re.findall(r"^## (\S+)$", page("configuration-file"), re.MULTILINE)
    }

    assert {name: sorted(table) for name, table in _config_schema.TABLES.items()} == keys


# --- the pages around it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "guide",
    [path for path in sorted((ROOT / "docs" / "how-to").glob("*.md")) if path.stem != "index"],
    ids=lambda p: p.stem,
)
def test_every_guide_ends_in_verify_and_troubleshooting(guide: Path) -> None:
    """
    The last two headings of a how-to page are these two.
    """
    headings = re.findall(r"^## (.+)$", guide.read_text("utf-8"), re.MULTILINE)

    assert ["Verify", "Troubleshooting"] == headings[-2:]


def test_the_links_of_the_readme_lead_somewhere() -> None:
    """
    Each relative link of README.md is a file; Sphinx checks those of the pages.
    """
    readme = (ROOT / "README.md").read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", readme) if "://" not in link]

    assert [] == [link for link in links if not (ROOT / link).is_file()]
    assert links
