"""Subscribing, changing and paying: everything is decided on Stripe's own pages, and read back from there."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from billing.models import Account, Plan
from billing.money import minor_exponent, to_minor
from billing.services.syncing import sync_account, sync_invoices
from billing.stripe.client import StripeClient, installation_client
from billing.stripe.shapes import read_subscription
from tenants.models import Membership, Tenant, User

OVER = ("", "canceled", "incomplete_expired")  # of a subscription: another one may begin
LEAST_TRIAL = timedelta(hours=48)  # less is refused by Stripe


class SubscribingError(ValueError):
    """It cannot be done; the text is for the person who asked."""


def account_for(tenant: Tenant) -> Account:
    return Account.objects.get_or_create(tenant=tenant)[0]


def begin_trial(*, tenant: Tenant, now: datetime | None = None) -> Account | None:
    """Give a new organisation the trial of the plan that is meant for it; None without one."""
    plan = Plan.objects.filter(is_default=True).first()
    if plan is None:
        return None
    ends = (now or timezone.now()) + timedelta(days=plan.trial_days)
    values = {"plan": plan, "status": "trialing", "trial_ends_at": ends}
    return Account.objects.get_or_create(tenant=tenant, defaults=values)[0]


def ensure_customer(*, account: Account, by: User, client: StripeClient) -> str:
    """Return the organisation's customer at Stripe, made on the first time. Two at once make one."""
    with transaction.atomic():
        locked = Account.objects.select_for_update().select_related("tenant").get(pk=account.pk)
        if not locked.customer_id:
            tenant = locked.tenant
            made = client.create_customer(
                name=tenant.name,
                email=by.email,
                metadata={"organisation": tenant.schema_name},
                key=f"customer:{tenant.schema_name}",
            )
            locked.customer_id = str(made["id"])
            locked.save(update_fields=["customer_id"])
    account.customer_id = locked.customer_id
    return locked.customer_id


def start_checkout(*, tenant: Tenant, plan: Plan, by: User, return_url: str, now: datetime | None = None) -> str:
    """Return the address of Stripe's page where the plan is subscribed to. Raises SubscribingError, StripeError."""
    if not plan.price_id:
        raise SubscribingError("This plan has no price at Stripe yet. Whoever runs the installation can make one.")
    client, account = installation_client(), account_for(tenant)
    if account.status not in OVER and account.subscription_id:
        raise SubscribingError("There is a subscription already: change it instead.")
    customer_id = ensure_customer(account=account, by=by, client=client)
    Account.objects.filter(pk=account.pk).update(attempt=F("attempt") + 1)
    account.refresh_from_db(fields=["attempt"])
    data: dict[str, Any] = {"metadata": {"organisation": tenant.schema_name}}
    if days := trial_days(account, plan, now or timezone.now()):
        data["trial_period_days"] = days
    params = {
        "mode": "subscription",
        "customer": customer_id,
        "client_reference_id": tenant.schema_name,
        "line_items": [{"price": plan.price_id, "quantity": 1}, *_metered(plan)],
        "subscription_data": data,
        "metadata": {"organisation": tenant.schema_name},
        # Tax is Stripe's business, and so are the numbers that prove who pays none.
        "tax_id_collection": {"enabled": True},
        "customer_update": {"name": "auto", "address": "auto"},
        "success_url": f"{return_url}?session={{CHECKOUT_SESSION_ID}}",
        "cancel_url": return_url,
    }
    made = client.create_checkout(params, key=f"checkout:{account.pk}:{account.attempt}:{plan.slug}")
    return str(made["url"])


def trial_days(account: Account, plan: Plan, now: datetime) -> int:
    """Return what is left of the trial, or all of the plan's for somebody who never had one."""
    if account.subscription_id:
        return 0
    if account.trial_ends_at is None:
        return plan.trial_days
    left = account.trial_ends_at - now
    return 0 if left < LEAST_TRIAL else -(-left // timedelta(days=1))


def _metered(plan: Plan) -> list[dict[str, str]]:
    return [{"price": meter.price_id} for meter in plan.meters.all() if meter.price_id]


def finish_checkout(*, tenant: Tenant, session_id: str) -> bool:
    """Read what became of a checkout somebody comes back from; its webhook may be later. Raises StripeError."""
    account = account_for(tenant)
    session = installation_client().checkout(session_id)
    if session.get("customer") != account.customer_id:  # somebody else's
        return False
    sync_invoices(account=account)
    return sync_account(account_id=account.pk)


def open_portal(*, tenant: Tenant, return_url: str) -> str:
    """Return the address of Stripe's portal, made anew each time. Raises SubscribingError, StripeError."""
    account = account_for(tenant)
    if not account.customer_id:
        raise SubscribingError("Nothing has been subscribed to yet.")
    made = installation_client().create_portal(customer_id=account.customer_id, return_url=return_url)
    return str(made["url"])


def change_plan(*, tenant: Tenant, plan: Plan) -> None:
    """Move a subscription to another plan; what was paid is reckoned up by Stripe. Raises SubscribingError, StripeError."""
    account, client = account_for(tenant), installation_client()
    if account.status in OVER or not account.subscription_id or not plan.price_id:
        raise SubscribingError("There is no subscription that could be changed.")
    members = Membership.objects.filter(tenant=tenant).count()
    if plan.max_users is not None and members > plan.max_users:
        raise SubscribingError(f"{plan.name} is for {plan.max_users} people, and there are {members}.")
    now = read_subscription(client.subscription(account.subscription_id))
    if plan.price_id in now.price_ids:
        raise SubscribingError(f"The subscription is to {plan.name} already.")
    wanted = [entry["price"] for entry in _metered(plan)]
    old_meters = [meter.price_id for meter in account.plan.meters.all()] if account.plan else []
    licensed = [price for price in now.price_ids if price not in old_meters]
    items: list[dict[str, Any]] = [{"id": now.item_ids[licensed[0]], "price": plan.price_id}] if licensed else []
    items += [
        {"id": now.item_ids[price], "deleted": True}
        for price in now.price_ids
        if price in old_meters and price not in wanted
    ]
    items += [{"price": price} for price in wanted if price not in now.price_ids]
    Account.objects.filter(pk=account.pk).update(attempt=F("attempt") + 1)
    params = {"items": items, "proration_behavior": "create_prorations"}
    client.change_subscription(
        account.subscription_id, params, key=f"change:{account.pk}:{account.attempt + 1}:{plan.slug}"
    )
    sync_account(account_id=account.pk)


def make_prices(*, plan: Plan) -> None:
    """Make a plan's product, prices and meters at Stripe and keep their ids. Safe to repeat. Raises StripeError."""
    client, minor_amount = installation_client(), to_minor(plan.amount, plan.currency)
    version = f"{plan.pk}:{minor_amount}:{plan.currency}:{plan.interval}"
    if not plan.price_id:
        product = client.create_product(name=plan.name, key=f"product:{plan.pk}")
        params: dict[str, Any] = {
            "product": product["id"],
            "currency": plan.currency.lower(),
            "unit_amount": minor_amount,
            "recurring": {"interval": plan.interval},
        }
        plan.price_id = str(client.create_price(params, key=f"price:{version}")["id"])
        plan.save(update_fields=["price_id"])
    for meter in plan.meters.filter(price_id=""):
        if not meter.meter_id:
            made = client.create_meter(name=meter.label, event_name=meter.event_name, key=f"meter:{meter.event_name}")
            meter.meter_id = str(made["id"])
        product = client.create_product(name=f"{plan.name}: {meter.label}", key=f"product:meter:{meter.pk}")
        minor = meter.overage.scaleb(minor_exponent(plan.currency))
        tiers: list[dict[str, Any]] = [{"up_to": "inf", "unit_amount_decimal": f"{minor.normalize():f}"}]
        if meter.included:
            tiers.insert(0, {"up_to": int(meter.included), "unit_amount_decimal": "0"})
        params = {
            "product": product["id"],
            "currency": plan.currency.lower(),
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": tiers,
            "recurring": {"interval": plan.interval, "usage_type": "metered", "meter": meter.meter_id},
        }
        meter.price_id = str(
            client.create_price(
                params, key=f"price:meter:{meter.pk}:{meter.included.normalize():f}:{meter.overage.normalize():f}"
            )["id"]
        )
        meter.save(update_fields=["meter_id", "price_id"])
