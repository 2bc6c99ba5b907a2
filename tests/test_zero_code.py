"""Under `opentelemetry-instrument`, an application that knows nothing of bizspan gets its business telemetry."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from _receiver import Receiver
from bizspan import names
from tests.load import drive, free_port, serving, stopped
from tests.zero_code import (
    CONFIGURATION,
    DISTRO,
    LAUNCHER,
    NO_DISTRO,
    SHOP,
    TELEMETRY,
    TOLD,
    flask_shop,
    instrumented,
    only,
    operations,
    ours,
    run,
    written,
)

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not LAUNCHER.is_file(), reason="opentelemetry-instrument is not installed"),
]

PROVIDERS: Final = [
    pytest.param(NO_DISTRO, id="built"),
    pytest.param(
        DISTRO,
        id="distro",
        marks=pytest.mark.skipif(find_spec("opentelemetry.distro") is None, reason="there is no distro here"),
    ),
]


@pytest.mark.parametrize("providers", PROVIDERS)
def test_a_flask_application_is_not_changed(tmp_path: Path, providers: dict[str, str]) -> None:
    """
    Operations by route and by function, with who and where from, on events, spans and metrics of its service; on the
    providers of a distro, and on those that bizspan builds.
    """
    pytest.importorskip("opentelemetry.instrumentation.flask")
    with Receiver() as receiver:
        ended = run(flask_shop(tmp_path), receiver, only("bizspan", "flask"), providers)
        placed, asked = operations(receiver, "order.place"), operations(receiver, "checkout")
        spans = receiver.spans("POST /checkout")
        revenue = receiver.points("business.revenue")
        services = {str(event["origin"].resource["service.name"]) for event in receiver.events()}

    assert (0, TOLD, []) == (ended.code, ended.out.splitlines(), ours(ended))
    assert [(f"o-{n}", f"s{n}", "DE", 4200) for n in range(3)] == [
        (each[names.ORDER], each[names.SEGMENT], each[names.COUNTRY], each["business.revenue.minor_units"])
        for each in placed
    ]
    assert [("buying", "news")] * 3 == [(each["business.feature"], each["business.campaign.source"]) for each in asked]
    assert {"s0", "s1", "s2"} == {str(span["attributes"][names.SEGMENT]) for span in spans}
    assert 3 == len(spans)
    assert {"shop"} == services
    assert pytest.approx(126.0) == sum(point["value"] for point in revenue)


def test_it_works_behind_a_server_that_loads_it_before_it_forks(tmp_path: Path) -> None:
    """
    gunicorn --preload with two workers: each order once, with its own segment.
    """
    pytest.importorskip("gunicorn")
    pytest.importorskip("flask")
    port = free_port()
    bind = ("--bind", f"127.0.0.1:{port}", "--workers", "2", "--no-control-socket")
    command = instrumented(sys.executable, "-m", "gunicorn", "--preload", *bind, "app:app")
    with Receiver() as receiver:
        variables = {**NO_DISTRO, **only("bizspan", "flask")}
        with serving(command, port, receiver, flask_shop(tmp_path), **variables) as server:
            driven = drive(port, 400)
            code = stopped(server)
        placed = operations(receiver, "order.place")
        workers = {str(event["origin"].resource["service.instance.id"]) for event in receiver.events()}

    assert ([], 0) == (driven.errors, code)
    assert sorted(driven.orders.items()) == [(each[names.ORDER], each[names.SEGMENT]) for each in placed]
    assert 2 == len(workers)


FASTAPI_SHOP: Final = """
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from shop import place

app = FastAPI()


@app.post("/checkout", response_class=PlainTextResponse)
async def checkout(request: Request):
    order = (await request.body()).decode()
    place(order)
    return f"{order} {request.headers['X-Segment']}"
"""


@pytest.mark.parametrize("instrumentation", [("fastapi",), ()], ids=["with contrib", "without"])
def test_a_fastapi_application_is_not_changed(tmp_path: Path, instrumentation: tuple[str, ...]) -> None:
    """
    Behind uvicorn, with OpenTelemetry's instrumentation and with its own telemetry alone: as Flask.
    """
    for needed in ("fastapi", "uvicorn", *(f"opentelemetry.instrumentation.{name}" for name in instrumentation)):
        pytest.importorskip(needed)
    port = free_port()
    written(tmp_path, app=FASTAPI_SHOP, shop=SHOP, telemetry=TELEMETRY, pyproject=CONFIGURATION)
    command = instrumented(sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning", "app:app")
    with Receiver() as receiver:
        variables = {**NO_DISTRO, **only("bizspan", *instrumentation)}
        with serving(command, port, receiver, tmp_path, **variables) as server:
            driven = drive(port, 100)
            stopped(server)
        placed, asked = operations(receiver, "order.place"), operations(receiver, "checkout")

    assert [] == driven.errors
    assert sorted(driven.orders.items()) == [(each[names.ORDER], each[names.SEGMENT]) for each in placed]
    assert 100 == len(asked)


def test_an_asgi_application_gets_the_middleware_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Outermost, and not where its code added it already.
    """
    applications = pytest.importorskip("starlette.applications")
    from starlette.middleware import Middleware
    from starlette.middleware.gzip import GZipMiddleware

    from bizspan.integrations.asgi import Bizspan, switch_on

    for kind in (applications.Starlette, getattr(sys.modules.get("fastapi.applications"), "FastAPI", None)):
        if kind is not None:  # taken back after the test
            monkeypatch.setattr(kind, "build_middleware_stack", kind.build_middleware_stack)
    switch_on()
    switch_on()
    plain = applications.Starlette(middleware=[Middleware(GZipMiddleware)])
    by_code = applications.Starlette(middleware=[Middleware(GZipMiddleware), Middleware(Bizspan)])
    for application in (plain, by_code):
        application.build_middleware_stack()

    assert [Bizspan, GZipMiddleware] == [each.cls for each in plain.user_middleware]
    assert [GZipMiddleware, Bizspan] == [each.cls for each in by_code.user_middleware]


DJANGO_SETTINGS: Final = """
SECRET_KEY = "x"
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.common.CommonMiddleware",
]
"""
DJANGO_URLS: Final = """
from django.http import HttpResponse
from django.urls import path

from shop import place


def checkout(request):
    order = request.body.decode()
    place(order)
    return HttpResponse(f"{order} {request.headers['X-Segment']}")


urlpatterns = [path("checkout", checkout, name="checkout")]
"""
DJANGO_SHOP: Final = """
import django

django.setup()

from django.conf import settings
from django.test import Client

client = Client()
for number in range(3):
    headers = {"X-Segment": f"s{number}", "CF-IPCountry": "DE"}
    body = {"data": f"o-{number}", "content_type": "text/plain"}
    print(client.post("/checkout?utm_source=news", headers=headers, **body).content.decode())
print([path.rpartition(".")[2] for path in settings.MIDDLEWARE if "opentelemetry" not in path])
"""


@pytest.mark.parametrize("instrumentation", [("django",), ()], ids=["with contrib", "without"])
def test_a_django_project_is_not_changed(tmp_path: Path, instrumentation: tuple[str, ...]) -> None:
    """
    The middleware stands behind authentication, though the settings name neither it nor an app; routes are its views.
    """
    for needed in ("django", *(f"opentelemetry.instrumentation.{name}" for name in instrumentation)):
        pytest.importorskip(needed)
    routes = CONFIGURATION.replace('"POST /checkout"', '"POST checkout"')
    written(tmp_path, shop=SHOP, telemetry=TELEMETRY, pyproject=routes)
    written(tmp_path, settings=DJANGO_SETTINGS, urls=DJANGO_URLS, app=DJANGO_SHOP)
    variables = {"DJANGO_SETTINGS_MODULE": "settings", **NO_DISTRO, **only("bizspan", *instrumentation)}
    with Receiver() as receiver:
        ended = run(tmp_path, receiver, variables)
        placed, asked = operations(receiver, "order.place"), operations(receiver, "checkout")

    *told, middleware = ended.out.splitlines()
    assert (0, TOLD, []) == (ended.code, told, ours(ended))
    assert "['SessionMiddleware', 'AuthenticationMiddleware', 'Middleware', 'CommonMiddleware']" == middleware
    assert [(f"o-{n}", f"s{n}", "DE") for n in range(3)] == [
        (each[names.ORDER], each[names.SEGMENT], each[names.COUNTRY]) for each in placed
    ]
    assert ["news"] * 3 == [each["business.campaign.source"] for each in asked]


def test_celery_tasks_are_operations_by_their_names(tmp_path: Path) -> None:
    """
    With what was in force where the task was called.
    """
    pytest.importorskip("celery")
    code = """
from celery import Celery

app = Celery("shop")

@app.task(name="shop.charge")
def charge(order):
    return order

for number in range(2):
    print(charge.apply([number]).get())
"""
    written(tmp_path, app=code, pyproject='[tool.bizspan.tasks]\n"shop.charge" = "charge"\n')
    with Receiver() as receiver:
        ended = run(tmp_path, receiver, NO_DISTRO, only("bizspan"))
        charged = operations(receiver, "charge")

    assert (0, ["0", "1"], []) == (ended.code, ended.out.splitlines(), ours(ended))
    assert ["success", "success"] == [each[names.OPERATION_OUTCOME] for each in charged]


def test_a_rolled_back_transaction_earns_nothing(tmp_path: Path) -> None:
    """
    `emit = "on_commit"` in the file: SQLAlchemy's sessions are followed without a line of code.
    """
    pytest.importorskip("sqlalchemy")
    code = """
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from shop import place

engine = create_engine("sqlite://")
with Session(engine) as session, session.begin():
    session.execute(text("CREATE TABLE sale (id TEXT)"))
for number in range(2):
    with Session(engine) as session, session.begin() as transaction:
        session.execute(text("INSERT INTO sale VALUES ('x')"))
        place(f"o-{number}")
        if number:
            transaction.rollback()
"""
    on_commit = CONFIGURATION.replace("[tool.bizspan]", '[tool.bizspan]\nemit = "on_commit"')
    written(tmp_path, app=code, shop=SHOP, pyproject=on_commit)
    with Receiver() as receiver:
        ended = run(tmp_path, receiver, NO_DISTRO, only("bizspan"))
        placed = operations(receiver, "order.place")

    assert (0, []) == (ended.code, ours(ended))
    assert [("success", None), ("failed", "rolled_back")] == [
        (each[names.OPERATION_OUTCOME], each.get(names.OPERATION_REASON)) for each in placed
    ]


def test_a_process_that_the_application_starts_has_it_too(tmp_path: Path) -> None:
    """
    The launcher's variables are inherited.
    """
    inner = "from shop import place; place(1)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    with Receiver() as receiver:
        ended = run(flask_shop(tmp_path), receiver, NO_DISTRO, only("bizspan"), code=code)
        placed = operations(receiver, "order.place")

    assert (0, 1, []) == (ended.code, len(placed), ours(ended))


def test_nothing_is_imported_for_it(tmp_path: Path) -> None:
    """
    No framework, and nothing of ours for a framework, that the application did not import.
    """
    code = "import sys; print(*sorted(name for name in sys.modules if name.count('.') <= 2))"
    ended = run(flask_shop(tmp_path), None, NO_DISTRO, only("bizspan"), code=code)

    loaded = {*ended.out.split()}
    frameworks = {"flask", "django", "starlette", "fastapi", "celery", "sqlalchemy", "shop", "telemetry"}
    assert set() == loaded & {*frameworks, *(f"bizspan.integrations.{name}" for name in (*frameworks, "asgi"))}
    assert "bizspan.integrations.auto" in loaded
