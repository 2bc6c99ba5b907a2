"""
The walls of the house: imports point down, and the core knows neither the SDK nor a room.

Moving a module is moving its name in `HOUSE`. Every import counts: in functions, under TYPE_CHECKING, and by
`import_module("...")`. One under TYPE_CHECKING loads nothing: it may name a library its floor may not load.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.bare

SOURCE: Final = Path(__file__).resolve().parent.parent / "src" / "bizspan"

# From the roof to the ground. A module imports from the rows below its own, never from its own row or above.
HOUSE: Final = (
    ("DOORS", "__main__"),
    ("DOORS", "cli pytest_plugin"),
    ("DOORS", "_cli_report _cli_reconcile"),
    (
        "DOORS",
        "_cli_compare _cli_demo _cli_export _cli_import _cli_kpi _cli_lens _cli_mark _cli_vocabulary",
    ),
    ("DOORS", "_cli_words _cli_source"),
    ("DOORS", "demo"),
    ("DOORS", "demo._story"),
    ("DOORS", "demo._shop demo._customers demo._frame demo._web demo._payment"),
    ("DOORS", "demo._figures demo._processes demo._service demo._post demo._ledger demo._screen demo._buttons"),
    ("DOORS", "demo._goods"),
    ("DOORS", "_vocabulary_diff _vocabulary_json"),
    ("DOORS", "report"),
    ("DOORS", "report._command"),
    ("DOORS", "report._build report._alerts report._marking"),
    ("DOORS", "report._usual"),
    ("DOORS", "report._movers report._rows report._standard report._rules report._times"),
    ("DOORS", "report._html report._text report._data"),
    ("DOORS", "report._tables"),
    ("DOORS", "report._fit report._model report._questions report._webhook"),
    ("DOORS", "doctor"),
    ("DOORS", "doctor._environment doctor._zero_code doctor._canary"),
    (
        "DOORS",
        "doctor._packages doctor._endpoints doctor._answers doctor._watch doctor._config doctor._django doctor._inside",
    ),
    ("DOORS", "doctor._functions doctor._variables"),
    ("DOORS", "doctor._settings doctor._outcome doctor._probe doctor._specifiers doctor._command doctor._report"),
    ("DOORS", "doctor._spool"),
    ("DOORS", "doctor._finding doctor._children"),
    ("DOORS", "page"),
    ("DOORS", "page._site"),
    ("DOORS", "page._technical page._funnel page._logins page._actions page._seen"),
    ("DOORS", "page._charts page._frame page._traces page._kpis"),
    ("DOORS", "page._sections"),
    ("DOORS", "page._few"),
    ("DOORS", "page._tables page._reading"),
    ("DOORS", "page._of_events"),
    ("DOORS", "page._of_minutes"),
    ("DOORS", "page._queries"),
    ("DOORS", "page._blocks page._counted page._points"),
    ("DOORS", "page._statements"),
    ("DOORS", "page._show page._filter page._html"),
    ("DOORS", "_cli_declared"),
    ("DOORS", "_importing"),
    ("DOORS", "reconcile"),
    ("DOORS", "reconcile._report"),
    ("DOORS", "reconcile._backfill"),
    ("DOORS", "reconcile._compare"),
    ("DOORS", "reconcile._store reconcile._stored"),
    ("DOORS", "reconcile._otlp_json reconcile._lens reconcile._clickhouse"),
    ("DOORS", "reconcile._ledger reconcile._events"),
    ("DOORS", "reconcile._times"),
    ("DOORS", "testing"),
    ("DOORS", "_consistency"),
    ("DOORS", "_captured"),
    ("FACADE", "__init__"),
    ("DOORS", "configure _config_file"),
    ("DOORS", "_config_schema _arguments"),
    ("THIRD", "operation feedback"),
    ("THIRD", "events _binding gauges diagnostics _backfill"),
    ("SECOND", "_streaming"),
    ("SECOND", "_entry"),
    ("SECOND", "_asked"),
    ("SECOND", "_run _baggage"),
    ("SECOND", "_recorder _log_context _travel"),
    ("SECOND", "_apart _contexts"),
    ("SECOND", "context"),
    ("SECOND", "_active"),
    ("SECOND", "_signals"),
    ("SECOND", "_self_metrics"),
    ("SECOND", "_inherited"),
    ("SECOND", "_pipeline"),
    ("FIRST", "_codes _departed"),
    ("FIRST", "_totals _facts _amounts _console _dimensions"),
    ("FIRST", "_commit _consumer"),
    ("FIRST", "_accounts"),
    ("FIRST", "_book"),
    ("FIRST", "_book_account"),
    ("FIRST", "_wire_attributes _wire_logs"),
    ("FIRST", "_wire"),
    ("FIRST", "_values _record _clock _hosts"),
    ("FIRST", "_guard _plain _wrapping _extractors"),
    ("FIRST", "_otlp _columns _protobuf _lines _progress _read_only"),
    ("GROUND", "vocabulary"),
    ("GROUND", "money names"),
    ("GROUND", "_minor"),
    ("GROUND", "_currencies _regions _types"),
    ("GROUND", "errors"),
)

# (importer, imported): why this one may look up or sideways.
LISTED: Final[dict[tuple[str, str], str]] = {
    ("sdk.spool", "spool"): "a log record processor is the SDK's class, and a spool",
}

# Loaded at the first decoration: imported in functions only, or by each other.
LATE: Final = frozenset({"_wrapping", "_binding", "_extractors"})

# What each floor or room may load beside the standard library; None is anything.
LIBRARIES: Final[dict[str, frozenset[str] | None]] = {
    "GROUND": frozenset(),
    "FIRST": frozenset(),
    "SECOND": frozenset({"opentelemetry"}),
    "THIRD": frozenset({"opentelemetry"}),
    "FACADE": frozenset(),
    "DOORS": frozenset({"opentelemetry"}),
    "sdk": frozenset({"opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto"}),
    "spool": frozenset({"opentelemetry.proto", "google"}),
    "integrations": None,
    "kpi": frozenset(),
    "lens": frozenset({"opentelemetry.proto", "google"}),
}
MORE: Final = {
    "testing": frozenset({"opentelemetry.sdk", "pytest"}),
    "pytest_plugin": frozenset({"pytest"}),
    # Imported in functions, in a process of its own, and only what is configured.
    "doctor._canary": frozenset({"opentelemetry.sdk"}),
    "doctor._watch": frozenset({"requests", "grpc"}),
    "doctor._environment": frozenset({"opentelemetry.sdk"}),
    "doctor._inside": frozenset({"opentelemetry.instrumentation"}),
    "doctor._probe": frozenset({"certifi"}),
    "doctor._django": frozenset({"django"}),
    "doctor._functions": frozenset({"django"}),
    "reconcile._backfill": frozenset({"opentelemetry.sdk"}),  # when it emits
    "_wrapping": frozenset({"wrapt"}),  # 55 ms to import: the one place, itself imported late
}
# A framework that starts the application may also set bizspan up.
SETTING_UP: Final = frozenset({"configure", "_arguments", "_config_file", "_config_schema"})
ROOMS: Final = frozenset({"sdk", "spool", "integrations", "kpi", "lens"})
OURS: Final = frozenset(
    {"opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "opentelemetry.instrumentation"}
)

# What `import bizspan` must not load on top of OpenTelemetry's API.
HEAVY: Final = frozenset({"opentelemetry.sdk", "wrapt", "flask", "django", "pytest", "asyncio"})


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module: its dotted name, where it stands, and when it is loaded."""

    target: str
    line: int
    in_function: bool
    for_types: bool


def row_of(module: str) -> int | None:
    return next((row for row, (_, names) in enumerate(HOUSE) if module in names.split()), None)


def place_of(module: str) -> str | None:
    """The floor or the room that a module stands on; None when the table does not know it."""
    if (room := module.partition(".")[0]) in ROOMS:
        return room
    row = row_of(module)
    return None if row is None else HOUSE[row][0]


def imports_of(source: str, package: str) -> Iterator[Import]:
    """Every import in a module's source, relative ones resolved against its package."""

    def visit(node: ast.AST, in_function: bool, for_types: bool) -> Iterator[Import]:
        for target in targets_of(node, package):
            yield Import(target, getattr(node, "lineno", 0), in_function, for_types)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in node.body:
                yield from visit(statement, in_function, True)
            for statement in node.orelse:
                yield from visit(statement, in_function, for_types)
            return
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside, for_types)

    return visit(ast.parse(source), False, False)


def targets_of(node: ast.AST, package: str) -> list[str]:
    """The dotted names that one node imports; `from a import b` counts as a.b, which may be a module."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            parents = package.split(".")
            base = parents[: len(parents) - level + 1] if level else []
            prefix = ".".join([*base, *([module] if module else [])])
            return [f"{prefix}.{alias.name}" for alias in names]
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
        case _:
            return []


def our_module(target: str, known: frozenset[str]) -> str:
    """Which module of ours a name leads to: `bizspan.money.Money` is money, `bizspan.Money` the facade."""
    parts = target.split(".")[1:]
    while parts and ".".join(parts) not in known:
        parts.pop()
    return ".".join(parts) or "__init__"


def library_of(target: str) -> str:
    two = ".".join(target.split(".")[:2])
    return two if two in OURS else target.partition(".")[0]


def complaints(module: str, source: str, known: frozenset[str]) -> list[str]:
    """What is wrong with a module's imports, one sentence each."""
    place = place_of(module)
    if place is None:
        return [f"{module}: the table does not know it; give it a row in HOUSE (or a room in ROOMS)."]
    is_package = any(other.startswith(f"{module}.") for other in known)
    package = ".".join(["bizspan", *module.split(".")[: None if is_package else -1]])
    found: list[str] = []
    for each in imports_of(source, "bizspan" if module == "__init__" else package):
        if each.target.partition(".")[0] == "bizspan":
            complaint = wrong_direction(module, place, our_module(each.target, known), each)
        else:
            complaint = wrong_library(module, place, library_of(each.target), each)
        if complaint:
            found.append(f"{module}:{each.line}: {complaint}")
    return found


def wrong_direction(module: str, place: str, imported: str, each: Import) -> str | None:
    there = place_of(imported)
    if imported in LATE and module not in LATE and not (each.in_function or each.for_types):
        return f"imports {imported} at the top; do it in a function."
    if there is None or module == imported or (module, imported) in LISTED:
        return None  # an unknown module has its own complaint
    if there in ROOMS:
        if place == there:
            return None
        if place != "DOORS":
            return f"imports the room {there}; only a door may."
        return (
            None if each.in_function or each.for_types else f"imports the room {there} at the top; do it in a function."
        )
    if place in ROOMS:
        if place == "integrations" and imported in SETTING_UP:
            return None
        return f"a room may import the core, not {imported}." if there in ("DOORS", "FACADE") else None
    here, below = row_of(module), row_of(imported)
    assert here is not None and below is not None
    return None if here < below else f"imports {imported}, which is not below it."


def wrong_library(module: str, place: str, library: str, each: Import) -> str | None:
    allowed = LIBRARIES[place]
    if library in sys.stdlib_module_names or allowed is None:
        return None
    if each.for_types and library not in OURS:
        return None
    if library in allowed | MORE.get(module, frozenset()):
        return None
    return f"imports {library}, which {place} may not."


def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = path
    return found


def test_every_import_points_down() -> None:
    """
    No module imports up, sideways, a room that is not its own, or a library that its floor may not load.
    """
    found = modules()
    known = frozenset(found).union(ROOMS, *(names.split() for _, names in HOUSE))  # planned ones as well

    assert [] == [said for name, path in found.items() for said in complaints(name, path.read_text("utf-8"), known)]


KNOWN: Final = frozenset(
    {
        "__init__",
        "errors",
        "money",
        "_guard",
        "context",
        "operation",
        "_wrapping",
        "configure",
        "sdk",
        "sdk.export",
        "kpi",
    }
)


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("money", "from bizspan.operation import operation", "imports operation, which is not below it."),
        ("money", "from . import operation", "imports operation, which is not below it."),
        ("money", "def f():\n    import bizspan.context", "imports context, which is not below it."),
        ("operation", "from bizspan import Money", "imports __init__, which is not below it."),
        (
            "operation",
            "import importlib\nimportlib.import_module('bizspan.sdk')",
            "imports the room sdk; only a door may.",
        ),
        (
            "configure",
            "from bizspan.sdk import export",
            "imports the room sdk at the top; do it in a function.",
        ),
        ("sdk.export", "from ..kpi import x", "imports the room kpi; only a door may."),
        ("sdk", "from bizspan.configure import configure", "a room may import the core, not configure."),
        ("money", "import opentelemetry.trace", "imports opentelemetry, which GROUND may not."),
        (
            "context",
            "if TYPE_CHECKING:\n    from opentelemetry.sdk import trace",
            "imports opentelemetry.sdk, which SECOND may not.",
        ),
        ("context", "def f():\n    import wrapt", "imports wrapt, which SECOND may not."),
        ("operation", "from bizspan import _wrapping", "imports _wrapping at the top; do it in a function."),
        ("upstairs", "", "the table does not know it"),
    ],
)
def test_a_broken_wall_is_named(module: str, source: str, said: str) -> None:
    """
    Each forbidden kind of import is found, and the complaint says which.
    """
    (complaint,) = complaints(module, source, KNOWN)

    assert said in complaint


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "operation",
            "from bizspan import context, money\nfrom .errors import SetupError\nimport opentelemetry.trace",
        ),
        ("operation", "def f():\n    from bizspan._wrapping import inner"),
        ("_wrapping", "import wrapt"),
        (
            "_guard",
            "if TYPE_CHECKING:\n    from opentelemetry.context import Context",
        ),
        ("configure", "def f():\n    from bizspan.sdk import export"),
        (
            "sdk",
            "from bizspan.sdk import export\nfrom bizspan import context\nimport opentelemetry.sdk.trace",
        ),
    ],
)
def test_a_good_import_is_left_alone(module: str, source: str) -> None:
    """
    Imports that point down, and libraries that the floor may load, bring no complaint.
    """
    assert [] == complaints(module, source, KNOWN)


def test_importing_bizspan_loads_nothing_heavy() -> None:
    """
    A fresh `import bizspan` brings no heavy module that OpenTelemetry's API has not brought already.
    """
    script = (
        "import json, sys\n"
        "from opentelemetry import _logs, baggage, context, metrics, trace\n"
        "before = set(sys.modules)\n"
        "import bizspan\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )

    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert 0 == ran.returncode, ran.stderr
    assert [] == sorted(HEAVY.intersection(json.loads(ran.stdout)))
