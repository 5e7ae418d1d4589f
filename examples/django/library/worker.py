"""The tasks for whatever imports them without Django: adjourn's commands and functions."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "library.settings")
django.setup()

from library.tasks import app  # noqa: E402 - models need Django

__all__ = ["app"]
