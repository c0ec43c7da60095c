"""Make this installation what a backup holds. The product has to be stopped; what is here already needs --force."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from thanos.backup import BackupError, restore
from thanos.env import BASE_DIR
from thanos.launcher import LaunchError, lock_state


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--force", action="store_true", help="replace the organisations that are here")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            lock = lock_state(settings.ENV.state_dir)
        except LaunchError as error:
            raise CommandError(str(error)) from None
        try:
            manifest = restore(source=options["file"].absolute(), force=options["force"], say=self.stdout.write)
            self.stdout.write("Bringing the database up to date …")
            # Another process: the keys that were restored are read at its start.
            subprocess.run([sys.executable, "manage.py", "prepare_database"], cwd=BASE_DIR, check=True)
        except BackupError as error:
            raise CommandError(str(error)) from None
        finally:
            os.close(lock)
        names = ", ".join(manifest.organisations) or "no organisation"
        self.stdout.write(f"Restored as of {manifest.made_at}: {names}. Start the product again.")
