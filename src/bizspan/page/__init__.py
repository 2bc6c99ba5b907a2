"""
The page of the lens: what the store knows, in a browser. It brings the lens and the KPIs together.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bizspan._cli_declared import found_in
from bizspan.page._actions import Action
from bizspan.page._logins import PATH as _LOGIN
from bizspan.page._site import Site

if TYPE_CHECKING:
    from bizspan.kpi import KPI, Calendar
    from bizspan.lens import Lens

__all__ = ["Action", "add_page", "add_page_from"]


def add_page(
    lens: Lens,
    kpis: Iterable[KPI] = (),
    calendar: Calendar | None = None,
    *,
    actions: Iterable[Action] = (),
    minimum_group: int | None = None,
) -> None:
    """
    Have a lens show a page at ``/``.

    Args:
        lens: Before or after its start.
        kpis: What the page shows against their targets.
        calendar: Whose days; by default UTC's.
        actions: Buttons on the overview, for whoever may see the page; by default none.
        minimum_group: Smaller groups of records are not shown, in tables and under filters; 1 shows all. By default
            5, as of KPIs, which have their own.
    """
    from bizspan.kpi import Calendar
    from bizspan.kpi._small import MINIMUM

    least = MINIMUM if minimum_group is None else minimum_group
    Site(lens, kpis, calendar or Calendar(), actions, least).add_to_routes()
    lens.page_path = lens.access.add_pages(_LOGIN, "/assets/")


def add_page_from(lens: Lens, config: str | Path | None = None, *, minimum_group: int | None = None) -> None:
    """
    The same with the KPIs of a configuration file.

    Args:
        lens: As for `add_page`.
        config: The file; by default the one that applies, and without any, no KPI.
        minimum_group: As for `add_page`.

    Raises:
        SetupError: The file is missing, or wrong.
    """
    found = found_in(None if config is None else str(config))
    add_page(lens, found.kpis.values(), found.calendar, minimum_group=minimum_group)
