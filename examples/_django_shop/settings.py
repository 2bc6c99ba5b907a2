"""Settings: what any project has, the app, the middleware, and one dict."""

from __future__ import annotations

import os

SECRET_KEY = "known to everyone"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "_django_shop.urls"
WSGI_APPLICATION = "_django_shop.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", "shop.db"),
        "OPTIONS": {"timeout": 20},
    }
}

INSTALLED_APPS = ["bizspan.integrations.django", "_django_shop"]
MIDDLEWARE = ["bizspan.integrations.django.Middleware"]

BIZSPAN = {
    "SERVICE_NAME": "shop",
    "HASH_KEY": "a demo key, known to everyone",
    "EMIT": "on_commit",  # what is told inside a transaction counts when that commits
    "ROUTES": {
        "checkout": {"feature": "checkout"},
        "refund": "refund.request",
    },
    "RESOLVER": "_django_shop.telemetry.who",
    "COUNTRY_HEADER": "CF-IPCountry",
    "CHANNEL": "web",
}
