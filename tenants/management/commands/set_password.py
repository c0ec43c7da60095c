"""Give a person a new password and print it, for whoever has lost theirs. Ends everything they are signed in to."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.services.people import PeopleError, set_new_password


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--password", help="one of your choice; without it, one is made up")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["password"] is not None:
                validate_password(options["password"])
            password = set_new_password(email=options["email"], password=options["password"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        except PeopleError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Sign in as {options['email']} with the password {password}")
