from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_datetime

from billing.enums import Unit
from billing.services.rates import RateError, set_rate
from tenants.context import in_public


class Command(BaseCommand):
    help = "Enter what a provider charges, from now or a moment on; uses that waited for a price get theirs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("provider", help="such as twilio")
        parser.add_argument("item", help="such as voice-inbound, or a model's name with :input")
        parser.add_argument("unit", choices=Unit.values)
        parser.add_argument("price", help="for one unit, or for as many as --per says")
        parser.add_argument("--per", type=int, default=1)
        parser.add_argument("--currency", default=settings.ENV.billing_currency)
        parser.add_argument("--from", dest="begins", default="", help="an ISO time with its offset; now unless told")
        parser.add_argument("--note", default="", help="where the figure comes from")

    def handle(self, *args: Any, **options: Any) -> None:
        begins = parse_datetime(options["begins"]) if options["begins"] else None
        if options["begins"] and (begins is None or begins.tzinfo is None):
            raise CommandError("Write the time with its offset, such as 2026-11-01T00:00:00+00:00.")
        try:
            price = Decimal(options["price"])
            with in_public():
                rate = set_rate(
                    provider=options["provider"],
                    item=options["item"],
                    unit=options["unit"],
                    price=price,
                    per=options["per"],
                    currency=options["currency"],
                    valid_from=begins,
                    note=options["note"],
                )
        except InvalidOperation:
            raise CommandError(f"{options['price']!r} is not a price.") from None
        except RateError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{rate}: {rate.price.normalize():f} {rate.currency} for every {rate.per}.")
