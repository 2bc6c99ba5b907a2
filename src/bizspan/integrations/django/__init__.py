"""
Business telemetry of Django's requests: an app, one middleware for WSGI and ASGI, and one dict of settings.

::

    INSTALLED_APPS += ["bizspan.integrations.django"]
    MIDDLEWARE += ["bizspan.integrations.django.Middleware"]     # after AuthenticationMiddleware
    BIZSPAN = {"SERVICE_NAME": "shop", "ROUTES": {"shop:checkout": "checkout"}, "RESOLVER": "shop.telemetry.who"}

``manage.py check`` says what is wrong with it.
"""

from __future__ import annotations

from importlib.util import find_spec

from bizspan.errors import MissingExtra

if find_spec("django") is None:
    raise MissingExtra("bizspan.integrations.django", "django")

from bizspan.integrations.django._middleware import Middleware
from bizspan.integrations.django._switch import switch_on

__all__ = ["Middleware", "switch_on"]
