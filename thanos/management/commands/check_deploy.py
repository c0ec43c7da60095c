"""Django's deployment checks, under the settings and a configuration that production would have."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = __doc__ or ""

    def handle(self, *args: Any, **options: Any) -> None:
        example = {
            "DJANGO_SETTINGS_MODULE": "thanos.settings.prod",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "DATABASE_URL": "postgresql://thanos@database.example/thanos",
            "REDIS_URL": "redis://redis.example/0",
            "PUBLIC_BASE_URL": "https://calls.example",
        }
        command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
        sys.exit(subprocess.run(command, env={**os.environ, **example}, check=False).returncode)
