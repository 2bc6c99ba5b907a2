"""The shop on Django."""

# pyright: basic
# Django ships no types.

from __future__ import annotations

import json

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from opentelemetry.instrumentation.django import DjangoInstrumentor

from tests.bench.applications.telemetry import COUNTRY_HEADER, OURS, ROUTES, database_file, freeze, set_up, total

set_up()


def checkout(request: HttpRequest) -> JsonResponse:
    """Buy."""
    return JsonResponse({"total": total(json.loads(request.body))})


def orders(request: HttpRequest) -> JsonResponse:
    """Buy, with a database."""
    return JsonResponse(order(json.loads(request.body)))


def who(request: HttpRequest) -> dict[str, str | None]:
    """The segment that the request says."""
    return {"segment": request.META.get("HTTP_X_SEGMENT")}


urlpatterns = [path("checkout", checkout), path("orders", orders)]
settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database_file(), "CONN_MAX_AGE": None},
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    SECRET_KEY="a secret for the benchmark",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        *(["bizspan.integrations.django.Middleware"] if OURS else []),
    ],
    INSTALLED_APPS=["bizspan.integrations.django"] if OURS else [],
    BIZSPAN={"ROUTES": ROUTES, "RESOLVER": who, "COUNTRY_HEADER": COUNTRY_HEADER, "CONFIGURE": False},
)
DjangoInstrumentor().instrument()
django.setup()
from tests.bench.applications.django_orders import order  # noqa: E402 - its tables need the settings

app = get_wsgi_application()
freeze()
