"""The Django project of django_shop.py. Telemetry stands in settings.py, telemetry.py, and one line of views.py."""
