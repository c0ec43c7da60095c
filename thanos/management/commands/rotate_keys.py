"""Encrypt everything again under the first of FIELD_ENCRYPTION_KEYS, and renew the blind indexes. Safe to repeat."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from thanos.rotation import rotate_everything


class Command(BaseCommand):
    help = __doc__ or ""

    def handle(self, *args: Any, **options: Any) -> None:
        counts = rotate_everything()
        for name, count in counts.items():
            self.stdout.write(f"{name}: {count} encrypted again")
        self.stdout.write("Everything is under the first key; the others can be removed.")
