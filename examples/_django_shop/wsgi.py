"""What a server loads."""

# pyright: basic
# Django ships no types.
from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "_django_shop.settings")
application = get_wsgi_application()
