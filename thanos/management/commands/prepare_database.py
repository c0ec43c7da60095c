"""Bring every schema up to date: public, the template new tenants are cloned from, and all tenants."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from tenants.services.database import prepare_database


class Command(BaseCommand):
    help = __doc__ or ""

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_database(public_host=None)
        self.stdout.write("The database is up to date.")
