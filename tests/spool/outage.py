"""
``python -m tests.spool.outage --events 400000``: a collector that is down while events are told, and then comes back.

Prints by how much the process grew, and how fast the spool was drained.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import bizspan

ROOT: Final = Path(__file__).parents[2]
_BOUND_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Outage:
    """
    What an outage cost.

    Args:
        events: How many were told while the collector was down.
        grew_bytes: By how much the process grew meanwhile, in resident memory.
        told_per_s: How fast they were told.
        drained_per_s: How fast they were sent afterwards.
        pending: How many still wait at the end.
        refused: By reason.
    """

    events: int
    grew_bytes: int
    told_per_s: float
    drained_per_s: float
    pending: int
    refused: dict[str, int]


def outage(events: int) -> Outage:
    """
    Tell so many events while nothing listens, then start a collector and have them sent. Once in a process.
    """
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = int(held.getsockname()[1])
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
    with (
        TemporaryDirectory() as directory,
        bizspan.configure(service_name="shop", export="none", spool=directory) as telemetry,
    ):
        _tell(1000)
        before = _resident_bytes()
        began = time.monotonic()
        _tell(events)
        told_s = time.monotonic() - began
        grew = _resident_bytes() - before
        sink = subprocess.Popen([sys.executable, "-m", "tests.bench.sink", str(port)], stdout=subprocess.PIPE, cwd=ROOT)
        try:
            assert sink.stdout is not None
            sink.stdout.readline()
            began = time.monotonic()
            telemetry.force_flush(_BOUND_S)
            drained_s = time.monotonic() - began
        finally:
            sink.kill()
            sink.wait()
        account = bizspan.diagnostics()
        return Outage(events, grew, events / told_s, events / drained_s, account.pending, account.refused)


def _tell(events: int) -> None:
    for number in range(events):
        bizspan.event("invoice.paid", revenue=("42.00", "EUR"), segment="smb", country="DE", order=f"o-{number}")


def _resident_bytes() -> int:
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text("ascii").split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS, and the most that it ever was


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.spool.outage", description=__doc__)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--json", action="store_true", help="print JSON rather than a sentence")
    options = parser.parse_args()
    found = outage(options.events)
    if options.json:
        print(json.dumps(asdict(found)))
        return
    print(
        f"{found.events:,} events told while the collector was down: {found.told_per_s:,.0f}/s,"
        f" {found.grew_bytes / 2**20:.1f} MiB more resident memory; then drained at {found.drained_per_s:,.0f}/s;"
        f" {found.pending:,} wait, refused {found.refused}"
    )


if __name__ == "__main__":
    main()
