"""
The program that runs Django's system checks of bizspan, and what its answer means.

In a process of its own: it imports the user's settings and applications.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from bizspan.doctor._children import ask
from bizspan.doctor._finding import Finding, green, red, yellow

_MODULE: Final = "bizspan.doctor._django"
_INTEGRATION: Final = "bizspan.integrations.django"
_WARNING, _ERROR = 30, 40  # django.core.checks.WARNING, ERROR


def check_django(environment: Mapping[str, str], bound_s: float, is_zero_code: bool) -> Iterator[Finding]:
    """Django's system checks with the tag bizspan, where ``DJANGO_SETTINGS_MODULE`` is set."""
    if not environment.get("DJANGO_SETTINGS_MODULE") or find_spec("django") is None or not _has_integration():
        return
    yield from run_checks(environment, bound_s, is_zero_code)


def run_checks(environment: Mapping[str, str], bound_s: float, is_zero_code: bool = False) -> Iterator[Finding]:
    """What Django's checks say, of the application that the environment names."""
    answered = ask(_MODULE, {}, environment, bound_s, with_current_directory=True)
    read = answered.lines[0] if answered.lines else {}
    if not answered.in_time:
        yield red("django", f"the Django application did not start within {bound_s:g} s.", "python manage.py check")
    elif "failed" in read or not read:
        how = read.get("failed") or f"exit code {answered.code}"
        yield red("django", f"the Django application does not start ({how}).", "python manage.py check")
    elif not read["has_tag"] and is_zero_code:
        yield green("django", "bizspan joins Django's middleware by itself; INSTALLED_APPS stays as it is")
    elif not read["has_tag"]:
        yield yellow(
            "django",
            "bizspan is not among the installed applications; only under opentelemetry-instrument it need not be.",
            f'add "{_INTEGRATION}" to INSTALLED_APPS, or have the doctor look at the command that starts it',
        )
    else:
        messages: list[dict[str, Any]] = read["messages"]
        if not messages:
            yield green("django", "Django's system checks have nothing to say about bizspan")
        for message in messages:
            make = red if message["level"] >= _ERROR else yellow
            step = message["hint"] or "python manage.py check --tag bizspan"
            yield make(f"django.{message['id']}", message["text"], step)


def _has_integration() -> bool:
    try:
        return find_spec(_INTEGRATION) is not None
    except ImportError:
        return False


def main() -> None:
    """Start Django, run the checks, write one JSON line."""
    line = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        read = _checked()
    except BaseException as error:  # settings may end the process on purpose
        # Its text may hold a database's password.
        read = {"failed": type(error).__name__}
    line.write(json.dumps(read) + "\n")
    line.flush()
    sys.exit(0)


def _checked() -> dict[str, Any]:
    import_module("django").setup()
    checks: Any = import_module("django.core.checks")
    has_tag = "bizspan" in checks.registry.registry.tags_available()
    found: list[Any] = checks.run_checks(tags=["bizspan"]) if has_tag else []
    messages = [
        {
            "id": message.id or "message",
            "level": message.level,
            "text": str(message.msg),
            "hint": str(message.hint or ""),
        }
        for message in found
        if message.level >= _WARNING and not message.is_silenced()
    ]
    return {"has_tag": has_tag, "messages": messages}
