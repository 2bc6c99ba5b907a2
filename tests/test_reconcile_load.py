"""Reconciling much more than memory should hold: what it takes is printed, and memory is bounded."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from bizspan import names
from bizspan._pipeline import keyed_uid
from tests.child import environment
from tests.shop_files import write_csv

DAYS: Final = 90
START_S: Final = 1_772_323_200
BATCH: Final = 512
LOST: Final = 10
# 30 MiB are Python, bizspan and the table of days; a batch of the collector is parsed as a whole.
MOST_RSS_MIB: Final = 128

# Not getrusage(): its peak is that of the parent too, which pytest is, between fork and exec.
CHILD: Final = """
import re, sys, time
from pathlib import Path
from bizspan.cli import main
code = main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(f"{time.process_time():.1f} {int(peak[1]) // 1024}", file=sys.stderr)
sys.exit(code)
"""


def cents(number: int) -> int:
    return 1000 + number % 977


def at(number: int, count: int) -> int:
    return START_S + number * 86_400 * DAYS // count


def write_events(path: Path, count: int) -> None:
    """Operations in no order, as the collector would have written them, without the last ones."""
    numbers = [*range(count - LOST)]
    random.Random(1).shuffle(numbers)
    with path.open("w") as file:
        for first in range(0, len(numbers), BATCH):
            records = [record(number, count) for number in numbers[first : first + BATCH]]
            scope = {"scope": {"name": names.SCOPE}, "logRecords": records}
            file.write(json.dumps({"resourceLogs": [{"scopeLogs": [scope]}]}, separators=(",", ":")) + "\n")


def record(number: int, count: int) -> dict[str, object]:
    texts = {
        names.OPERATION_NAME: "checkout",
        names.OPERATION_ID: f"{number:030x}",
        names.SEGMENT: "enterprise",
        names.COUNTRY: "DE",
        names.ORDER: f"o-{number}",
        names.CURRENCY_KEYS[names.REVENUE]: "EUR",
        names.OPERATION_OUTCOME: names.SUCCESS,
        names.RECORD_UID: keyed_uid("checkout", f"o-{number}"),
        names.WRITER_ID: "0" * 20,
    }
    attributes: list[dict[str, object]] = [{"key": key, "value": {"stringValue": text}} for key, text in texts.items()]
    attributes.append({"key": names.MINOR_UNITS_KEYS[names.REVENUE], "value": {"intValue": str(cents(number))}})
    attributes.append({"key": names.AMOUNT_KEYS[names.REVENUE], "value": {"doubleValue": cents(number) / 100}})
    return {
        "timeUnixNano": f"{at(number, count)}000000000",
        "severityNumber": 9,
        "eventName": names.EVENT_OPERATION,
        "attributes": attributes,
        "traceId": f"{number + 1:032x}",
        "spanId": f"{number + 1:016x}",
    }


@pytest.mark.once
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_memory_does_not_grow_with_the_books(tmp_path: Path, count: int) -> None:
    """
    As many events as lines, in another order: the lost ones are found, within bounded memory.
    """
    events = tmp_path / "events.jsonl"
    write_events(events, count)
    ledger = write_csv(
        tmp_path / "ledger.csv",
        (
            (f"o-{number}", f"{cents(number) // 100}.{cents(number) % 100:02}", "EUR",
             datetime.fromtimestamp(at(number, count), UTC).isoformat())
            for number in range(count)
        ),
    )  # fmt: skip

    ran = subprocess.run(
        [sys.executable, "-c", CHILD, "reconcile", "--events", str(events), "--ledger", str(ledger),
         "--operation", "checkout", "--time-zone", "Europe/Berlin", "--format", "json"],
        env=environment(), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip

    took_s, rss_mib = ran.stderr.split()
    print(f"\n{count:,} lines and events: {took_s} s of CPU, {rss_mib} MiB at most")
    report = json.loads(ran.stdout)
    assert [f"o-{number}" for number in range(count - LOST, count)] == sorted(
        each["order"] for each in report["differences"]["missing_in_events"]["first"]
    )
    (total,) = report["totals"]
    assert sum(map(cents, range(count))) == total["ledger"]["minor_units"]
    assert int(rss_mib) < MOST_RSS_MIB
