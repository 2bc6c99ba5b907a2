"""What a server loads: the project under WSGI and under ASGI, with OpenTelemetry's instrumentation where asked."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django_site.settings")

if os.environ.get("SITE_INSTRUMENTED"):
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    DjangoInstrumentor().instrument()

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

wsgi = get_wsgi_application()
asgi = get_asgi_application()
