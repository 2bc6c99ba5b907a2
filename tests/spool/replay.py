"""
The purchases of a real shop, told from where the last program was killed.

    python -m tests.spool.replay ACKS

Each line of the file is one purchase; its number is its idempotency key, and is written to ACKS when the call has
returned. A purchase that was told and not written down is told again, and counts once.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from pathlib import Path
from typing import Final

import bizspan

FILE: Final = Path(__file__).parents[2] / "examples" / "data" / "cdnow_sample.csv"
_PAUSE_S: Final = 0.0005  # so that a kill comes in the middle


def main(acks: str) -> None:
    """Replay what is left, and end."""
    descriptor = os.open(acks, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    written = os.pread(descriptor, 1 << 20, 0).split(b"\n")
    done = int(written[-2]) if len(written) > 1 else 0
    if written[-1]:  # cut by the kill
        os.write(descriptor, b"\n")
    bizspan.configure(service_name="shop", export="none")
    with FILE.open(newline="", encoding="utf-8") as file:
        for number, line in enumerate(csv.DictReader(file), 1):
            if number <= done:
                continue
            with bizspan.operation("checkout", order=f"o-{number}", idempotency_key=number) as op:
                op.revenue(line["usd"], "USD")
            os.write(descriptor, b"%d\n" % number)
            time.sleep(_PAUSE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
