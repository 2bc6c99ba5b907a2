"""The project in the tests' own process: settings can be given once, so whoever needs Django in there uses this."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

import atexit
import os
import shutil

import django
from django.conf import settings


def _start() -> None:
    if settings.configured:
        return
    variable = "DJANGO_SETTINGS_MODULE"
    before = os.environ.get(variable)
    os.environ[variable] = "tests.django_site.settings"
    try:
        django.setup()
    finally:  # children of other tests must not see it
        os.environ.pop(variable)
        if before is not None:
            os.environ[variable] = before
    atexit.register(shutil.rmtree, settings.FOLDER, ignore_errors=True)
    create_tables()


def create_tables() -> None:
    """Make the database as `migrate` would, and one user of each kind."""
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    User.objects.create_user("ada", password="ada")
    User.objects.create_user("root", password="root", is_staff=True)


_start()
