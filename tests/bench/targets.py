"""What is to be reached, as ratios in the same run. Where a figure comes from: docs/explanation/cost.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .pipelines import NO_SDK, RECORDING, SAMPLED_OUT

BARE: Final = "bare call"
BY_HAND: Final = "by hand (H)"
BLOCK: Final = "bizspan, block"
DECORATOR: Final = "bizspan, decorator"
OURS: Final = (BLOCK, DECORATOR)


@dataclass(frozen=True, slots=True)
class Target:
    """The most that ours may cost, in parts of H; None where nothing is promised."""

    app: float
    total: float | None


TARGETS: Final = {
    RECORDING: Target(0.45, 0.60),
    SAMPLED_OUT: Target(0.20, 0.45),
    NO_SDK: Target(0.50, None),
}
TOTALS_TO_PROMETHEUS: Final = 0.5
IMPORT_ADDS_MS: Final = 10.0
