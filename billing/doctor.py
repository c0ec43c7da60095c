"""What keeps billing from working as it could, each with the step that cures it."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count

from billing.models import Drift, LedgerEntry, MeterEvent, Plan, StripeEvent


def findings() -> Iterator[tuple[str, str]]:
    """Yield what is missing or wrong, and its cure. Run outside of any tenant; nothing here asks the provider."""
    unpriced = LedgerEntry.objects.filter(unknown=1, quantity__isnull=False, corrections__isnull=True)
    for row in unpriced.values("provider", "item", "unit").annotate(count=Count("pk")).order_by("-count")[:20]:
        name = f"{row['provider']} {row['item']}"
        yield (
            f"{row['count']:,} uses of {name} have no price: their cost is unknown.",
            f"Run: manage.py set_rate {name} {row['unit']} PRICE --from TIME",
        )
    if Plan.objects.exists():
        yield from _stripe()
    if count := Drift.objects.filter(settled_at=None).count():
        yield f"{count} figures of providers are not ours.", "Look at them in the staff pages, under Drifts."


def _stripe() -> Iterator[tuple[str, str]]:
    env = settings.ENV
    if not env.stripe_secret_key:
        yield "Nobody can subscribe to a plan.", "Set STRIPE_SECRET_KEY."
    elif not env.stripe_webhook_secret:
        yield (
            "News of Stripe is refused: subscriptions follow only when somebody looks.",
            f"Make a webhook at Stripe for {settings.PUBLIC_URL}/api/webhooks/stripe with the API version "
            f"{env.stripe_api_version}, and set STRIPE_WEBHOOK_SECRET.",
        )
    for plan in Plan.objects.filter(price_id=""):
        yield f"The plan {plan} has no price at Stripe.", "Use the action “Make its prices” in the staff pages."
    if count := StripeEvent.objects.filter(state="failed").count():
        yield f"{count} events of Stripe could not be applied.", "Run: manage.py replay_stripe_events"
    if count := MeterEvent.objects.filter(state="refused").count():
        yield f"{count} uses could not be reported to Stripe.", "Look at them in the staff pages, under Meter events."
