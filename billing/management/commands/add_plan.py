from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from billing.models import Plan, PlanMeter
from billing.services.subscribing import make_prices
from billing.stripe.client import StripeError
from tenants.context import in_public


class Command(BaseCommand):
    help = "Add a plan that organisations can subscribe to, and make its prices at Stripe."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("amount", help="for a month, such as 29.00")
        parser.add_argument("--currency", default=settings.ENV.billing_currency)
        parser.add_argument("--trial-days", type=int, default=0)
        parser.add_argument("--default", action="store_true", help="new organisations begin with its trial")
        parser.add_argument(
            "--meter",
            action="append",
            default=[],
            metavar="PROVIDER:ITEM:UNIT:EVENT:INCLUDED:PRICE",
            help="use that is charged for, such as twilio:voice-inbound:minute:call_minutes:200:0.15",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with in_public(), transaction.atomic():
                plan = self._add(options)
                make_prices(plan=plan)
        except (InvalidOperation, ValueError):
            raise CommandError("An amount or a meter is not written as it should be; see --help.") from None
        except IntegrityError:
            raise CommandError("There is a plan like this already.") from None
        except StripeError as error:
            raise CommandError(f"Stripe: {error}") from None
        self.stdout.write(f"{plan} can be subscribed to.")

    @staticmethod
    def _add(options: dict[str, Any]) -> Plan:
        plan = Plan.objects.create(
            name=options["name"],
            slug=slugify(options["name"]),
            amount=Decimal(options["amount"]),
            currency=options["currency"],
            trial_days=options["trial_days"],
            is_default=options["default"],
        )
        for text in options["meter"]:
            provider, item, unit, event, included, overage = text.split(":")
            PlanMeter.objects.create(
                plan=plan,
                label=event.replace("_", " "),
                provider=provider,
                item=item,
                unit=unit,
                event_name=event,
                included=Decimal(included),
                overage=Decimal(overage),
            )
        return plan
