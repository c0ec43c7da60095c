"""Bring the catalogue of agents into the database; what somebody has changed there stays as it is."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.catalogue import PATH, CatalogueError, parse
from agents.services.syncing import sync_catalogue


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", default=str(PATH), help="the catalogue (default: the one that came along)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with open(options["file"], encoding="utf-8") as file:
                done = sync_catalogue(entries=parse(file.read()))
        except (OSError, CatalogueError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{len(done.added)} added, {len(done.changed)} changed.")
        for slug, fields in done.kept.items():
            self.stdout.write(f"{slug}: left as somebody changed it: {', '.join(fields)}.")
