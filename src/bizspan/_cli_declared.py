"""
What commands find declared: KPIs, vocabulary and the rest of the configuration file.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bizspan._config_file import Loaded, find, load_config
from bizspan._config_schema import load as load_object
from bizspan.errors import SetupError
from bizspan.vocabulary import Vocabulary

if TYPE_CHECKING:
    from bizspan.kpi import KPI, Calendar
    from bizspan.kpi._described import Descriptions


@dataclass(frozen=True, slots=True)
class Found:
    """
    What is declared.

    Args:
        kpis: By name.
        calendar: Whose days.
        vocabularies: The user's.
        loaded: The rest of the file; None without one.
        described: What operations, features and events mean.
    """

    kpis: Mapping[str, KPI]
    calendar: Calendar
    vocabularies: tuple[Vocabulary, ...]
    loaded: Loaded | None
    described: Descriptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where to look."""
    parser.add_argument("--config", metavar="FILE", help="the file that declares KPIs (default: the one that applies)")
    parser.add_argument(
        "--module", action="append", default=[], metavar="MODULE:OBJECT", help="KPIs in Python; may be repeated"
    )


def configuration(config: str | None) -> Loaded | None:
    """
    The configuration file that is named, or the one that applies.

    Raises:
        SetupError: When it is not there, or wrong.
    """
    _look_here()  # the file may name a vocabulary in Python
    path = Path(config) if config else find()
    if path is None:
        return None
    if not path.is_file():
        raise SetupError(f"{path}: there is no such file.")
    return load_config(path)


def named_object(name: str) -> object:
    """
    The object that ``"package.module:OBJECT"`` names; modules are also looked for where one stands.

    Raises:
        SetupError: There is none.
    """
    _look_here()
    return load_object(name)


def _look_here() -> None:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` has it


def everything(options: argparse.Namespace) -> Found:
    """
    What is declared, where the options say.

    Raises:
        SetupError: When something is wrong; the text has the file and the key.
    """
    return found_in(options.config, options.module)


def found_in(config: str | None, modules: Iterable[str] = ()) -> Found:
    """
    What is declared.

    Args:
        config: The configuration file; by default the one that applies.
        modules: Further KPIs in Python, as ``"package.module:OBJECT"``.

    Raises:
        SetupError: When something is wrong; the text has the file and the key.
    """
    from bizspan.kpi import Calendar, Declared, load
    from bizspan.kpi._command import merged

    loaded = configuration(config)
    told = None if loaded is None else loaded.configure.get("vocabulary")
    vocabularies = () if told is None else (told,)
    declared = Declared({}, Calendar())
    if loaded is not None and loaded.path is not None:
        declared = load(loaded.path, vocabularies)
    objects = [(name, named_object(name)) for name in (*declared.modules, *modules)]
    return Found(merged(declared.kpis, objects), declared.calendar, vocabularies, loaded, declared.described)
