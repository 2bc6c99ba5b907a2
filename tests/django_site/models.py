"""Orders."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

from django.db import models


class Order(models.Model):
    """What somebody bought."""

    number = models.CharField(max_length=40, unique=True)

    class Meta:
        """Where it belongs."""

        app_label = "django_site"
