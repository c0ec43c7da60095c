"""Write the whole installation into one file: database, files, and with --with-keys the keys. It may run meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from thanos.backup import BackupError, back_up
from thanos.env import secrets_file


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--with-keys", action="store_true", help="include secrets.env: whoever has the file reads it all"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            size = back_up(target=options["file"].absolute(), with_keys=options["with_keys"])
        except BackupError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{options['file']}: {size / 1e6:,.1f} MB.")
        if options["with_keys"]:
            self.stdout.write("The keys are in it: whoever has this file can read everything. Keep it safe.")
            return
        keys = secrets_file(settings.ENV.state_dir)
        where = str(keys) if keys.exists() else "SECRET_KEY and FIELD_ENCRYPTION_KEYS of your environment"
        self.stdout.write(f"The keys are not in it. Keep {where} in another place: without them the backup is worthless.")
