"""``python -m tests.bench``: what one business operation costs, ours against by hand, in one process."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Final

from . import neighbours, ours
from .breakdown import Step, sdk_steps
from .compare import Comparison, compare
from .encoding import Encoding, encoding
from .measure import Cost, interleaved, medians, ratios
from .pipelines import RECORDING, STATES
from .served import FRAMEWORKS, Served, served
from .spooled import Spooled, spooled
from .startup import Startup, startup
from .table import (
    breakdown_table,
    comparison_table,
    encoding_table,
    served_table,
    spooled_table,
    startup_table,
    totals_table,
)
from .targets import BLOCK, BY_HAND

PARTS: Final = ("states", "totals", "breakdown", "startup", "requests", "unsent", "spool", "encoding")


# Requests of one round, per path: enough for a few full collections of the garbage collector on either side.
_OPERATIONS_PER_REQUEST: Final = 2


@dataclass(frozen=True, slots=True)
class Report:
    """
    Everything that one run measured; empty or None where a part was left out.

    Args:
        states: Ours against by hand, by state.
        totals: Metrics alone, by library.
        totals_ratio: Our totals in parts of prometheus_client.
        steps: The SDK's part, step by step, and the experiment.
        startup: Imports.
        requests: What a request costs the server, by framework and request, everything sent to a collector.
        unsent: The same with exporters that do nothing.
        spool: What keeping events on disk costs.
        encoding: What making a request of spans costs.
    """

    states: Mapping[str, Comparison]
    totals: Mapping[str, Cost]
    totals_ratio: Cost | None
    steps: Sequence[Step]
    startup: Startup | None
    requests: Sequence[Served]
    unsent: Sequence[Served]
    spool: Spooled | None
    encoding: Encoding | None


def measure_all(*, rounds: int, operations: int, parts: Sequence[str] = PARTS) -> Report:
    """
    Run the benchmark.

    Args:
        rounds: Interleaved rounds; every figure is a median over them.
        operations: Operations per round and subject.
        parts: Which of `PARTS`.
    """
    # No SDK comes first: it is the state before anything set a provider, and providers cannot be unset.
    states = {state: compare(state, rounds=rounds, operations=operations) for state in STATES if "states" in parts}
    metrics: dict[str, list[Cost]] = {}
    if "totals" in parts:
        pair = [neighbours.prometheus(), ours.totals_alone()]
        metrics = interleaved(pair, rounds=rounds, operations=operations)
    return Report(
        states=states,
        totals=medians(metrics),
        totals_ratio=ratios(metrics, ours.TOTALS, neighbours.NAME) if metrics else None,
        steps=sdk_steps(rounds=rounds, operations=operations) if "breakdown" in parts else [],
        startup=startup(rounds) if "startup" in parts else None,
        requests=_requests(rounds, operations, sent=True) if "requests" in parts else [],
        unsent=_requests(rounds, operations, sent=False) if "unsent" in parts else [],
        spool=spooled(rounds=rounds, operations=operations) if "spool" in parts else None,
        encoding=encoding(rounds) if "encoding" in parts else None,
    )


def _requests(rounds: int, operations: int, *, sent: bool) -> list[Served]:
    requests = max(1, operations // _OPERATIONS_PER_REQUEST)
    return [each for name in FRAMEWORKS for each in served(name, rounds=rounds, requests=requests, sent=sent)]


def tables(report: Report) -> str:
    """The report as text, one table per part."""
    blocks = [comparison_table(comparison) for comparison in report.states.values()]
    if report.totals_ratio is not None:
        blocks.append(totals_table(report.totals, report.totals_ratio, ours.TOTALS, neighbours.NAME))
    if report.steps and RECORDING in report.states:
        costs = report.states[RECORDING].costs
        blocks.append(breakdown_table(report.steps, costs[BLOCK], costs[BY_HAND]))
    if report.startup is not None:
        blocks.append(startup_table(report.startup))
    if report.requests:
        blocks.append(served_table("everything sent", report.requests))
    if report.unsent:
        blocks.append(served_table("nothing sent", report.unsent))
    if report.spool is not None:
        blocks.append(spooled_table(report.spool))
    if report.encoding is not None:
        blocks.append(encoding_table(report.encoding))
    return "\n\n".join(blocks)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--operations", type=int, default=2000, help="operations per round (default: %(default)s)")
    parser.add_argument("--part", action="append", choices=PARTS, help="measure this part only; repeatable")
    parser.add_argument("--json", action="store_true", help="print JSON rather than tables")
    options = parser.parse_args()
    report = measure_all(rounds=options.rounds, operations=options.operations, parts=options.part or PARTS)
    if options.json:
        print(json.dumps(asdict(report), indent=2))
        return
    print(
        f"Python {platform.python_version()}, OpenTelemetry SDK {version('opentelemetry-sdk')}, "
        f"{options.rounds} interleaved rounds of {options.operations} operations, medians\n\n{tables(report)}"
    )


if __name__ == "__main__":
    main()
