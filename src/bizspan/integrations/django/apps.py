"""
What happens when Django starts: bizspan is configured, unless the program did that or has no use for it.
"""

# pyright: basic
# Django ships no types.
from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.core import checks

from bizspan import _guard
from bizspan.integrations import _django_commit
from bizspan.integrations.django import _checks
from bizspan.integrations.django._options import current_options, is_configured


class BizspanConfig(AppConfig):  # type: ignore[misc]
    """The app ``bizspan.integrations.django``. It has no models."""

    name = "bizspan.integrations.django"
    label = "bizspan"
    verbose_name = "bizspan"

    def ready(self) -> None:
        """Register the system checks, follow the transactions, and configure. Never raises."""
        checks.register(_checks.check_settings, _checks.TAG)
        checks.register(_checks.check_middleware, _checks.TAG)
        checks.register(_checks.check_routes, _checks.TAG)
        checks.register(_checks.check_neighbours, _checks.TAG)
        checks.register(_checks.check_deployment, _checks.TAG, deploy=True)
        try:
            _django_commit.install()
            if serves(sys.argv, os.environ):
                _configure()
        except Exception as error:
            _guard.swallowed("starting with Django", error)


def _configure() -> None:
    options = current_options()
    for problem in options.problems:
        # A server runs no system checks; and a wrong option is no reason to keep a shop closed.
        _guard.logger.error("%s: %s %s (run: manage.py check)", problem.id, problem.text, problem.hint)
    if options.wants_configure and not is_configured():
        configure: Any = import_module("bizspan.configure")
        try:
            configure.configure(**options.configure)
        except Exception as error:
            _guard.logger.error("bizspan.E003: bizspan is not configured: %s (run: manage.py check)", error)


def serves(argv: Sequence[str], environment: Any) -> bool:
    """
    Whether this process does the project's work, so that its telemetry is wanted: servers, workers, and the project's
    own commands.

    Django's own commands (check, migrate, test, ...) start nothing, runserver apart; neither does the process of its
    autoreloader, whose child serves.

    Args:
        argv: The process's arguments.
        environment: Its environment.
    """
    if "django.core.management" not in sys.modules or len(argv) < 2:
        return True
    if argv[1] == "runserver":
        return "--noreload" in argv or environment.get("RUN_MAIN") == "true"
    commands: dict[str, Any] = import_module("django.core.management").get_commands()
    owner = commands.get(argv[1])
    return not (isinstance(owner, str) and owner.startswith("django.")) and argv[1] not in ("help", "version", "--help")
