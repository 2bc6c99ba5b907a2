"""What `manage.py check` says about bizspan, and what starts with Django."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("django") is None:
    pytest.skip("needs Django", allow_module_level=True)

from tests.django_site import started

# isort: split
# Models can be imported once a project has started.
from django.conf import settings
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.handlers.base import BaseHandler
from django.test import Client, override_settings

from bizspan import _active
from bizspan.integrations.django import _options, switch_on
from bizspan.integrations.django.apps import serves
from bizspan.testing import capture
from tests import child

assert started

ROOT = Path(__file__).resolve().parent.parent
OURS = "bizspan.integrations.django.Middleware"
OTHERS = [path for path in settings.MIDDLEWARE if path != OURS]
TELEMETRY = "tests.django_site.telemetry"
GOOD: dict[str, Any] = {
    "SERVICE_NAME": "shop",
    "EXPORT": ["otlp", "console"],
    "VOCABULARY": [f"{TELEMETRY}.VOCABULARY"],
    "HASH_KEY": "k" * 32,
    "METRIC_DIMENSIONS": {"http.server.request.duration": ["segment", "delivery"]},
    "EMIT": "on_commit",
    "ROUTES": {
        "checkout": {"operation": "checkout", "revenue": f"{TELEMETRY}.total"},
        "POST /checkout": "checkout",
        "/shop/cart/{n}/": "cart",
        "/shop/*": {"feature": "shop"},
        "store:cart": "cart",
        "shop:cart": "cart",
        "GET tests.django_site.urls.Cart": "cart",
    },
    "RESOLVER": f"{TELEMETRY}.by_user_async",
    "STAFF": f"{TELEMETRY}.is_staff",
    "CHANNEL": "web",
    "SESSION": True,
    "COUNTRY_HEADER": "CF-IPCountry",
    "CAMPAIGN": "first",
    "EXCLUDE": ["/health"],
}


def said(bizspan: Any, *, deploy: bool = False, **changed: Any) -> dict[str, str]:
    """What the checks say by their id, with these settings."""
    with override_settings(BIZSPAN=bizspan, **changed):
        messages = run_checks(tags=["bizspan"], include_deployment_checks=deploy)
    return {str(message.id): f"{message.msg} | {message.hint}" for message in messages}


def test_a_good_set_up_brings_no_complaint() -> None:
    """
    Every kind of option, written as the page has it, is taken.
    """
    assert {} == said(GOOD, deploy=True)


def test_a_check_configures_nothing() -> None:
    """
    The options of `configure()` are tried, and nothing is in force afterwards.
    """
    said(GOOD)

    assert not _options.is_configured()
    assert _active.current is None


@pytest.mark.parametrize(
    ("setting", "id", "words"),
    [
        (["ROUTES"], "bizspan.E001", ["must be a dict, got list", "BIZSPAN ="]),
        ({"RESLVER": "x"}, "bizspan.E002", ["no key 'RESLVER'", "Did you mean 'RESOLVER'?"]),
        ({"country_header": "X"}, "bizspan.E002", ["Did you mean 'COUNTRY_HEADER'?"]),
        ({7: "x"}, "bizspan.E002", ["no key 7", "Keys are"]),
        ({"COUNTRY_HEADER": 7}, "bizspan.E003", ["BIZSPAN['COUNTRY_HEADER']", "name of one header"]),
        ({"CAMPAIGN": "newest"}, "bizspan.E003", ["'newest' is unknown"]),
        ({"STAFF": f"{TELEMETRY}.by_user_async"}, "bizspan.E003", ["coroutine function"]),
        ({"RESOLVER": f"{TELEMETRY}.VOCABULARY"}, "bizspan.E003", ["function of the request"]),
        ({"EXPORT": "otpl"}, "bizspan.E003", ["'otpl' is unknown"]),
        ({"EMIT": "later"}, "bizspan.E003", ["'later' is unknown"]),
        ({"CAPACITY": 0}, "bizspan.E003", ["whole number above 0"]),
        ({"HASH_KEY": "short"}, "bizspan.E003", ["at least 16 bytes"]),
        ({"ROUTES": ["/x"]}, "bizspan.E003", ["BIZSPAN['ROUTES']", "must be a dict"]),
        ({"ROUTES": {"checkout": {"name": "x"}}}, "bizspan.E003", ["BIZSPAN['ROUTES']['checkout']", "no field 'name'"]),
        ({"RESOLVER": "shop.telemetry.who"}, "bizspan.E004", ["'shop.telemetry.who' can't be imported"]),
        ({"RESOLVER": f"{TELEMETRY}.nobody"}, "bizspan.E004", ["can't be imported"]),
        ({"CHANNEL": "shop.channel"}, "bizspan.E004", ["BIZSPAN['CHANNEL']"]),
        ({"ROUTES": {"checkout": {"revenue": "shop.x"}}}, "bizspan.E004", ["BIZSPAN['ROUTES']['checkout']"]),
        ({"VOCABULARY": "shop.VOCABULARY"}, "bizspan.E004", ["BIZSPAN['VOCABULARY']"]),
        ({"VOCABULARY": f"{TELEMETRY}.by_user"}, "bizspan.E005", ["takes Vocabulary objects"]),
        ({"VOCABULARY": [f"{TELEMETRY}.VOCABULARY"] * 2}, "bizspan.E005", ["'delivery' is declared twice"]),
        ({"ROUTES": {"chekout": "checkout"}}, "bizspan.E008", ["'chekout'", "Did you mean 'checkout'?"]),
        ({"ROUTES": {"/checkout/": "checkout"}}, "bizspan.W005", ["'/checkout/'", "Did you mean '/checkout'?"]),
        ({"ROUTES": {"/cart/{n}/": "cart"}}, "bizspan.W005", ["no address of the project"]),
        ({"CONFIGURE": False, "EXPORT": "none"}, "bizspan.W004", ["EXPORT, which nothing reads"]),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_its_fix(setting: Any, id: str, words: list[str]) -> None:  # noqa: A002
    """
    Each mistake has its id, says where it is, and what to do.
    """
    (message,) = [text for name, text in said(setting).items() if name == id]

    assert [] == [word for word in words if word not in message], message


def test_a_wrong_option_leaves_the_others() -> None:
    """
    At run time the wrong one is left out, of the routes only the wrong route.
    """
    routes = {"checkout": "checkout", "quiet": {"name": "x"}}
    options = _options.read({"ROUTES": routes, "CAMPAIGN": "newest", "CHANNEL": "web", "EXPORT": "x", "CAPACITY": 7})

    assert "web" == options.rules.channel
    assert "last" == options.rules.campaign
    assert options.rules.route_map.find("GET", "/checkout", ["checkout"]) is not None
    assert {"capacity": 7} == options.configure
    assert ["bizspan.E003"] * 3 == [problem.id for problem in options.problems]


@pytest.mark.parametrize(
    ("middleware", "id", "words"),
    [
        ([OURS, *OTHERS], "bizspan.E006", ["before django.contrib", "Move bizspan.integrations.django.Middleware"]),
        ([*OTHERS[:-1], OURS, OTHERS[-1]], "bizspan.E006", ["AuthenticationMiddleware"]),
        ([*OTHERS, OURS, OURS], "bizspan.E007", ["listed 2 times"]),
        (OTHERS, "bizspan.W001", ["not in MIDDLEWARE", "ROUTES, RESOLVER"]),
    ],
)
def test_a_wrong_place_of_the_middleware_is_named(middleware: list[str], id: str, words: list[str]) -> None:  # noqa: A002
    """
    Before the user is known, twice, or nowhere.
    """
    setting = {"ROUTES": {"checkout": "checkout"}, "RESOLVER": f"{TELEMETRY}.by_user"}

    found = said(setting, MIDDLEWARE=middleware)

    assert [id] == list(found)
    assert [] == [word for word in words if word not in found[id]], found


def test_a_missing_key_is_a_matter_of_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `check --deploy` asks for the hash key, `check` does not, and the environment's is one.
    """
    monkeypatch.delenv("BIZSPAN_HASH_KEY", raising=False)

    assert {} == said({})
    assert ["bizspan.W002"] == list(said({}, deploy=True))
    assert {} == said({"HASH_KEY": "k" * 32}, deploy=True)
    monkeypatch.setenv("BIZSPAN_HASH_KEY", "k" * 32)
    assert {} == said({}, deploy=True)


def test_a_wrong_key_in_the_environment_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is no fault of the settings beside it.
    """
    monkeypatch.setenv("BIZSPAN_HASH_KEY", "short")

    found = said({"SERVICE_NAME": "shop", "CAPACITY": 7})

    assert ["bizspan.E003"] == list(found)
    assert "BIZSPAN: hash_key=" in found["bizspan.E003"]


def test_the_reference_has_every_key_and_every_check() -> None:
    """
    The tables of docs/reference/django.md are those of the code, and its row of a check says what to do.
    """
    page = ROOT / "docs" / "reference" / "django.md"
    if not page.is_file():
        pytest.skip("docs/ is not in this copy")
    settings_table, checks_table = page.read_text("utf-8").split("## Checks")
    source = (ROOT / "src" / "bizspan" / "integrations" / "django").glob("*.py")
    in_code = {found for file in source for found in re.findall(r'"(bizspan\.[EW]\d+)"', file.read_text("utf-8"))}

    assert sorted(_options.KEYS) == sorted(re.findall(r"^\| `([A-Z_]+)` \|", settings_table, re.MULTILINE))
    rows = [line.strip("|").split("|") for line in checks_table.splitlines() if line.startswith("| `")]
    assert sorted(in_code) == sorted(row[0].strip(" `") for row in rows)
    assert [] == [row for row in rows if not row[2].strip()]


WITHOUT = """
    import sys
    from importlib.abc import MetaPathFinder

    class Without(MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.startswith({module!r}):
                raise ModuleNotFoundError(name, name=name)

    sys.meta_path.insert(0, Without())
    import os
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_site.settings"
    sys.argv = ["manage.py", *{arguments!r}]
    from django.conf import settings
    settings.ASGI_APPLICATION = "tests.django_site.server.asgi"
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""


def manage(*arguments: str, without: str = "nothing.at.all", **variables: str) -> child.Ended:
    """Run a command of the project in a process of its own."""
    code = WITHOUT.format(module=without, arguments=list(arguments))
    return child.run(code, None, PYTHONPATH=str(ROOT), **variables)


def test_spans_that_asgi_would_not_have_are_missed() -> None:
    """
    OpenTelemetry's Django instrumentation is silent under ASGI without the ASGI one.
    """
    ended = manage("check", without="opentelemetry.instrumentation.asgi")

    assert "bizspan.W003" in ended.err
    assert "pip install opentelemetry-instrumentation-asgi" in ended.err
    assert 0 == ended.code


def test_a_missing_exporter_is_an_error_with_the_pip_line() -> None:
    """
    Without the extra nothing would leave the process.
    """
    ended = manage("check", without="opentelemetry.exporter.otlp", SITE_BIZSPAN='{"SERVICE_NAME": "shop"}')

    assert "bizspan.E009" in ended.err
    assert 'pip install "bizspan[otlp]"' in ended.err
    assert 1 == ended.code


def test_the_command_fails_for_a_wrong_vocabulary_and_a_wrong_order() -> None:
    """
    `manage.py check` ends with 1 and names both.
    """
    ended = manage("check", SITE_BIZSPAN='{"VOCABULARY": "tests.django_site.telemetry.total"}', SITE_FIRST=OURS)

    assert 1 == ended.code
    assert "bizspan.E005" in ended.err
    assert "bizspan.E006" in ended.err


COMMANDS = [
    (["manage.py", "check"], {}, False),
    (["manage.py", "migrate"], {}, False),
    (["manage.py", "test"], {}, False),
    (["manage.py", "createsuperuser"], {}, False),
    (["manage.py", "clearsessions"], {}, False),
    (["manage.py", "help"], {}, False),
    (["manage.py", "send_invoices"], {}, True),
    (["manage.py", "runserver"], {}, False),
    (["manage.py", "runserver", "8001"], {"RUN_MAIN": "true"}, True),
    (["manage.py", "runserver", "--noreload"], {}, True),
    (["manage.py"], {}, True),
    (["/usr/bin/gunicorn", "shop.wsgi"], {}, True),
    (["/usr/bin/celery", "-A", "shop", "worker"], {}, True),
]


@pytest.mark.parametrize(("argv", "environment", "wanted"), COMMANDS)
def test_only_what_does_the_projects_work_is_configured(argv: list[str], environment: Any, wanted: bool) -> None:
    """
    Servers, workers and the project's own commands; not Django's commands, nor the autoreloader's first process.
    """
    assert "django.core.management" in sys.modules

    assert wanted == serves(argv, environment)


STORY = """
    import os, sys, threading
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_site.settings"
    sys.argv = {argv!r}
    {before}
    import django
    django.setup()
    from bizspan.integrations.django._options import is_configured
    print(is_configured(), len(threading.enumerate()))
    import bizspan
    with bizspan.operation("checkout"):
        pass
"""


def start(argv: list[str], setting: str, before: str = "import django.core.management") -> child.Ended:
    """Start Django in a process of its own, with this ``BIZSPAN``."""
    return child.run(STORY.format(argv=argv, before=before), None, PYTHONPATH=str(ROOT), SITE_BIZSPAN=setting)


def test_a_server_is_configured_by_the_settings() -> None:
    """
    The app calls `configure()` with what the dict has.
    """
    ended = start(["gunicorn", "shop.wsgi"], '{"EXPORT": "console"}')

    assert ended.out.startswith("True"), ended.err
    assert "checkout ✓" in ended.err


def test_a_check_starts_no_thread() -> None:
    """
    Django's own commands run as if bizspan were not there.
    """
    ended = start(["manage.py", "check"], '{"EXPORT": "otlp"}')

    assert ended.out.startswith("False 1"), ended.err


def test_an_application_that_configures_itself_is_left_alone() -> None:
    """
    What it did stays in force, and nobody warns of a second call.
    """
    before = 'import bizspan; bizspan.configure(export="console")'
    ended = start(["gunicorn", "shop.wsgi"], '{"SERVICE_NAME": "other"}', before)

    assert ended.out.startswith("True"), ended.err
    assert "called again" not in ended.err
    assert "checkout ✓" in ended.err


def test_configure_false_leaves_it_to_the_application() -> None:
    """
    With CONFIGURE the app does not configure.
    """
    assert start(["gunicorn", "shop.wsgi"], '{"CONFIGURE": false}').out.startswith("False")


def test_a_wrong_option_does_not_keep_the_site_from_starting() -> None:
    """
    A server runs no checks: the log says it, with the id, and the rest of the options applies.
    """
    ended = start(["gunicorn", "shop.wsgi"], '{"EXPORT": "console", "ROUTS": {}, "CAPACITY": 0}')

    assert 0 == ended.code
    assert ended.out.startswith("True")
    assert "bizspan.E002" in ended.err
    assert "bizspan.E003" in ended.err
    assert "manage.py check" in ended.err
    assert "checkout ✓" in ended.err


# --- without a change to the project ----------------------------------------------------------------------------------


def test_the_middleware_joins_a_project_that_does_not_list_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Switched on, it stands behind authentication, once, and requests are operations.
    """
    monkeypatch.setattr(BaseHandler, "load_middleware", BaseHandler.load_middleware)  # put back at the end
    setting = {"CONFIGURE": False, "ROUTES": {"greet": "greet"}, "RESOLVER": f"{TELEMETRY}.by_user"}
    switch_on()
    switch_on()

    with override_settings(MIDDLEWARE=tuple(OTHERS), BIZSPAN=setting), capture() as captured:
        for _ in range(2):
            browser = Client()
            browser.force_login(User.objects.get(username="ada"))
            browser.get("/greet/")

        assert [*OTHERS, OURS] == settings.MIDDLEWARE
        assert 2 == len(captured.operations("greet", segment="gold"))


def test_a_project_that_lists_the_middleware_keeps_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Switched on beside the settings, nothing is added.
    """
    monkeypatch.setattr(BaseHandler, "load_middleware", BaseHandler.load_middleware)
    switch_on()

    with override_settings(MIDDLEWARE=[OURS]):
        Client().get("/quiet/")

        assert [OURS] == settings.MIDDLEWARE
