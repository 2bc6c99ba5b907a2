"""
What is reported where no KPI is declared: operations, revenue, success, average order value, refunds, feedback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bizspan.kpi import KPI

_OWNER: Final = "standard"
_MOST_NAMES: Final = 200
_MOST_SURVEYS: Final = 5


def standard(operations: Sequence[str], surveys: Iterable[str]) -> dict[str, KPI]:
    """
    The standard KPIs, by name.

    Args:
        operations: Names of the operations that there are, the most frequent first; of more than 200, these.
        surveys: Names of the surveys, the most frequent first; of more than five, these.
    """
    from bizspan.kpi import KPI, AverageOrderValue, Count, Quantile, Ratio, Sum, feedback
    from bizspan.kpi import operations as named

    names = operations[:_MOST_NAMES]
    kpis: list[KPI] = []
    if names:
        runs, good = Count(named(*names)), Count(named(*names, outcome="success"))
        kpis += [
            KPI("operations", runs, owner=_OWNER, meaning="Operations, whatever their outcome."),
            KPI("success_rate", Ratio(good, runs), owner=_OWNER, meaning="Operations that ended in success."),
        ]
    kpis += [
        KPI("revenue", Sum("revenue"), owner=_OWNER, meaning="What customers paid."),
        KPI("average_order_value", AverageOrderValue(), owner=_OWNER, meaning="Revenue for each order."),
        KPI("refunds", Sum("refund"), owner=_OWNER, direction="down", meaning="What went back to customers."),
    ]
    for number, question in enumerate(list(surveys)[:_MOST_SURVEYS], 1):
        slug = re.sub(r"[^a-z0-9]+", "_", question.lower(), flags=re.ASCII).strip("_")[:40]
        name = f"feedback_{slug}" if slug else f"feedback_{number}"
        if any(each.name == name for each in kpis):
            name = f"{name}_{number}"
        score = Quantile(0.5, "score", feedback(question))
        kpis.append(KPI(name, score, owner=_OWNER, meaning="The median score of a survey."))
    return {each.name: each for each in kpis}
