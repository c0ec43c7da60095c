"""What the demonstration shows of money: rates, plans at the stand-in for Stripe, a budget, and customers who pay."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests

from thanos.env import environment

DATA = json.loads((Path(__file__).resolve().parent / "data" / "demo_billing.json").read_text())
BEGINS = datetime(2020, 1, 1, tzinfo=UTC)
TIMEOUT_S = 10


def add_rates_and_plans() -> None:
    """Only what stand-ins play gets made-up prices; where there are any already, nothing is touched."""
    from billing.models import Plan, Rate
    from billing.services.rates import set_rate

    played = environment().sandboxed_providers
    if not Rate.objects.exists():
        for rate in DATA["rates"]:
            if rate["provider"] in played:
                values = {**rate, "price": Decimal(rate["price"]), "currency": "USD"}
                set_rate(**values, valid_from=BEGINS, note=DATA["note"])
    if "stripe" in played and not Plan.objects.exists():
        for plan in DATA["plans"]:
            _add_plan(dict(plan))


def _add_plan(values: dict[str, Any]) -> None:
    from billing.models import Plan, PlanMeter
    from billing.services.subscribing import make_prices

    meters = values.pop("meters")
    plan = Plan.objects.create(**{**values, "amount": Decimal(values["amount"]), "currency": "USD"})
    for meter in meters:
        amounts = {name: Decimal(meter.pop(name)) for name in ("included", "overage")}
        PlanMeter.objects.create(plan=plan, provider="twilio", unit="minute", **meter, **amounts)
    make_prices(plan=plan)


def add_budget_and_customers() -> None:
    """Run inside the demonstration's organisation."""
    from billing.models import Budget
    from tenants.context import current_tenant

    budget = {name: Decimal(amount) for name, amount in DATA["budget"].items()}
    Budget.objects.filter(tenant=current_tenant()).update(**budget)
    if "stripe" in environment().sandboxed_providers:
        _add_customers()


def _add_customers() -> None:
    """Some contacts are customers of the organisation's own account at Stripe; the first of them owes an invoice."""
    from crm.models import Contact
    from crm.payments.services.connecting import connect, webhook_address
    from crm.payments.services.mirroring import link
    from tenants.context import current_tenant
    from tenants.models import User

    env, tenant = environment(), current_tenant()
    everybody = Contact.objects.live().order_by("pk")
    contacts = [contact for contact in everybody if contact.contact_email][: DATA["customers"]]
    order: dict[str, Any] = {"key": f"sk_test_{secrets.token_hex(16)}", "secret": f"whsec_{secrets.token_hex(16)}"}
    order["name"] = tenant.name
    order["customers"] = [
        {"name": contact.contact_name, "email": contact.contact_email, "owes": number == 0}
        for number, contact in enumerate(contacts)
    ]
    made = _order(env.sandbox_url, order)
    owner = User.objects.filter(memberships__tenant=tenant).order_by("memberships__pk")[0]
    connection = connect(secret_key=order["key"], webhook_secret=order["secret"], by=owner)
    _order(env.sandbox_url, {**order, "customers": [], "url": webhook_address(connection)})
    for contact in contacts:
        link(contact=contact, stripe_id=made[contact.contact_email])


def _order(sandbox_url: str, order: dict[str, Any]) -> dict[str, str]:
    answer = requests.post(f"{sandbox_url}/sandbox/stripe/shops", json=order, timeout=TIMEOUT_S)
    answer.raise_for_status()
    return dict(answer.json())
