"""
The page of the lens: what the store knows, in a browser. It brings the lens and the KPIs together.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bizspan.page._logins import PATH as _LOGIN
from bizspan.page._site import Site

if TYPE_CHECKING:
    from bizspan.kpi import KPI, Calendar
    from bizspan.lens import Lens

__all__ = ["add_page", "add_page_from"]


def add_page(lens: Lens, kpis: Iterable[KPI] = (), calendar: Calendar | None = None) -> None:
    """
    Have a lens show a page at ``/``.

    Args:
        lens: Before or after its start.
        kpis: What the page shows against their targets.
        calendar: Whose days; by default UTC's.
    """
    from bizspan.kpi import Calendar

    Site(lens, kpis, calendar or Calendar()).add_to_routes()
    lens.page_path = lens.access.add_pages(_LOGIN, "/assets/")


def add_page_from(lens: Lens, config: str | Path | None = None) -> None:
    """
    The same with the KPIs of a configuration file.

    Args:
        lens: As for `add_page`.
        config: The file; by default the one that applies, and without any, no KPI.

    Raises:
        SetupError: The file is missing, or wrong.
    """
    from bizspan._config_file import find, load_config
    from bizspan._config_schema import load as load_object
    from bizspan.errors import SetupError
    from bizspan.kpi import load
    from bizspan.kpi._command import merged

    path = Path(config) if config else find()
    if path is None:
        add_page(lens)
        return
    if not path.is_file():
        raise SetupError(f"{path}: there is no such file.")
    told = load_config(path).configure.get("vocabulary")
    declared = load(path, () if told is None else (told,))
    if declared.modules:
        sys.path.insert(0, os.getcwd())  # as `bizspan kpi` has it: the application's modules are where one stands
    kpis = merged(declared.kpis, [(name, load_object(name)) for name in declared.modules])
    add_page(lens, kpis.values(), declared.calendar)
