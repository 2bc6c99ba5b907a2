"""The project's settings. A server's tests say by the environment what differs."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

FOLDER = os.environ.get("SITE_FOLDER") or tempfile.mkdtemp(prefix="bizspan-django-")

SECRET_KEY = "known to everyone"
ROOT_URLCONF = "tests.django_site.urls"
WSGI_APPLICATION = "tests.django_site.server.wsgi"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING_CONFIG = None
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.auth",
    "bizspan.integrations.django",
    "tests.django_site",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "bizspan.integrations.django.Middleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [FOLDER]}]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A file, because databases in memory belong to one thread.
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.path.join(FOLDER, "site.db"),
        "OPTIONS": {"timeout": 20},
    }
}
BIZSPAN: dict[str, Any] = json.loads(os.environ.get("SITE_BIZSPAN", '{"CONFIGURE": false}'))
if os.environ.get("SITE_ATOMIC"):
    DATABASES["default"]["ATOMIC_REQUESTS"] = True
if os.environ.get("SITE_FIRST"):
    MIDDLEWARE.insert(0, os.environ["SITE_FIRST"])
if os.environ.get("SITE_SESSIONS"):
    SESSION_ENGINE = os.environ["SITE_SESSIONS"]
