"""`bizspan doctor`: Django's own checks."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from bizspan.doctor._django import check_django, run_checks
from tests.child import environment


@pytest.mark.once
@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ("[]", [("django", "green", "")]),
        ('[Error("order", hint="move it", id="bizspan.E1"), Info("x", id="bizspan.I1")]',
         [("django.bizspan.E1", "red", "move it")]),
        ('[Warning("late", id="bizspan.W2")]',
         [("django.bizspan.W2", "yellow", "python manage.py check --tag bizspan")]),
        ('[Warning("late", id="bizspan.W9")]', [("django", "green", "")]),
        ("1/0", [("django", "red", "python manage.py check")]),
        ("__import__('os')._exit(3)", [("django", "red", "python manage.py check")]),
    ],
    ids=["fine", "error", "warning", "silenced", "crash", "exit"],
)  # fmt: skip
def test_django_s_own_checks_are_passed_on(checks: str, expected: list[tuple[str, str, str]], tmp_path: Path) -> None:
    """
    Checks with our tag run in the application's own settings; what they say keeps its id and its hint.
    """
    pytest.importorskip("django")
    (tmp_path / "shop_settings.py").write_text(
        'INSTALLED_APPS = ["shop_app"]\nSECRET_KEY = "x"\nSILENCED_SYSTEM_CHECKS = ["bizspan.W9"]\nprint("noise")\n'
    )
    (tmp_path / "shop_app.py").write_text(
        textwrap.dedent(f"""
            from django.core.checks import Error, Info, Warning, register

            @register("bizspan")
            def check(app_configs, **options):
                return {checks}
        """)
    )
    told = environment(PYTHONPATH=str(tmp_path), DJANGO_SETTINGS_MODULE="shop_settings")

    found = list(run_checks(told, 30.0))

    assert expected == [(each.check, each.level, each.next_step) for each in found]


def test_django_without_our_app_is_yellow(tmp_path: Path) -> None:
    """
    Where nobody registered a check of ours, the app is missing.
    """
    pytest.importorskip("django")
    (tmp_path / "bare_settings.py").write_text("INSTALLED_APPS = []\n")
    told = environment(PYTHONPATH=str(tmp_path), DJANGO_SETTINGS_MODULE="bare_settings")

    (found,) = run_checks(told, 30.0)

    assert ("yellow", True) == (found.level, "INSTALLED_APPS" in found.next_step)


def test_django_without_our_app_is_as_it_should_be_under_zero_code(tmp_path: Path) -> None:
    """
    bizspan joins the middleware by itself there.
    """
    pytest.importorskip("django")
    (tmp_path / "bare_settings.py").write_text("INSTALLED_APPS = []\n")
    told = environment(PYTHONPATH=str(tmp_path), DJANGO_SETTINGS_MODULE="bare_settings")

    (found,) = check_django(told, 30.0, is_zero_code=True)

    assert ("green", True) == (found.level, "by itself" in found.text)


def test_a_django_application_that_hangs_is_ended(tmp_path: Path) -> None:
    """
    Settings that never come to their end are a red line after the bound.
    """
    pytest.importorskip("django")
    (tmp_path / "slow_settings.py").write_text("import threading\nthreading.Event().wait()\n")
    told = environment(PYTHONPATH=str(tmp_path), DJANGO_SETTINGS_MODULE="slow_settings")

    (found,) = run_checks(told, 2.0)

    assert ("red", True) == (found.level, "did not start within 2 s" in found.text)
