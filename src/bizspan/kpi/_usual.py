"""
What makes a drop against the usual one that is said: by the rules for Prometheus and by the alerts of reports alike.
"""

from __future__ import annotations

import math
from typing import Final

from bizspan.kpi._definition import Count, Sum
from bizspan.kpi._kpi import KPI

WEEKS: Final = 4  # the same weekday and hour of so many
NEEDED_WEEKS: Final = 3
VOLUME_CHANGE: Final = 0.5
RATE_CHANGE: Final = 0.2
IN_THE_TAIL: Final = 36  # records beyond a quantile: it then stands within half of that tail
_SIGMAS_SQUARED: Final = 9  # a change counts where it is three standard deviations of what chance does


def is_volume(kpi: KPI) -> bool:
    """Whether it counts or adds up, so that it changes with everything that changes."""
    return isinstance(kpi.of, (Count, Sum))


def least_expected(change: float) -> int:
    """
    How many records have to be expected, so that chance does not do it.

    Args:
        change: The part by which they change.
    """
    return math.ceil(_SIGMAS_SQUARED / change**2)
