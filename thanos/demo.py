"""The demonstration: an organisation with data worth looking at, and one call to it, printed as it happens."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channels.db import database_sync_to_async
from django.utils import timezone

from thanos import demo_billing, demo_calls
from thanos.env import environment

if TYPE_CHECKING:
    from crm.models import Contact
    from tenants.models import User

DATA = Path(__file__).resolve().parent / "data" / "demo.json"
CONTACTS = DATA.with_name("demo_contacts.json")


@dataclass(frozen=True, slots=True)
class Demo:
    domain: str
    number: str
    email: str
    password: str | None  # None: printed at an earlier start
    caller_number: str


def ensure_demo() -> Demo:
    """Create the demonstration's organisation on the first start; later starts leave it as people have changed it."""
    from crm.models.setup import CrmSettings
    from telephony.models import Line
    from tenants.context import entered
    from tenants.models import Domain, Tenant, User
    from tenants.services.numbers import attach_number
    from tenants.services.tenants import create_tenant

    data = json.loads(DATA.read_text())
    demo = {key: data[key] for key in ("domain", "number", "email", "caller_number")}
    if Domain.objects.filter(domain=data["domain"]).exists():
        return Demo(**demo, password=None)
    password = secrets.token_urlsafe(12)
    demo_billing.add_rates_and_plans()
    tenant = create_tenant(name=data["name"], domain=data["domain"], admin_email=data["email"], admin_password=password)
    Tenant.objects.filter(pk=tenant.pk).update(time_zone=data["time_zone"])
    tenant.refresh_from_db()
    # The demonstration's owner also sees the staff pages of this local installation.
    User.objects.filter(email=data["email"]).update(is_staff=True, is_superuser=True, name=data["person"])
    with entered(tenant):
        Line.objects.update(**data["line"])
        CrmSettings.objects.update(phone_region=data["phone_region"])
        _add_contacts(User.objects.get(email=data["email"]))
        demo_billing.add_budget_and_customers()
    attach_number(number=data["number"], tenant=tenant)
    return Demo(**demo, password=password)


def add_history(demo: Demo) -> int:
    """Add calls of the last two weeks to the demonstration's organisation; return how many."""
    from tenants.context import entered
    from tenants.models import Domain

    with entered(Domain.objects.select_related("tenant").get(domain=demo.domain).tenant):
        return demo_calls.add_calls(own_number=demo.number)


def _add_contacts(owner: User) -> None:
    """People a shop like this would know, with what happened between them, made as anybody would make them."""
    from crm.models import Contact, CustomField, SavedView
    from crm.services.contacts import create_contact
    from crm.services.fields import save_field
    from crm.services.scoring import score_contacts

    data = json.loads(CONTACTS.read_text())
    for field in data["fields"]:
        save_field(field=CustomField(**field))
    for view in data["views"]:
        SavedView.objects.create(user=owner, **view)
    now = timezone.now()
    for values in data["contacts"]:
        history, age = values.pop("history"), values.pop("created_days_ago")
        contact = create_contact(values={**values, "owner_id": owner.pk}, by=owner)
        Contact.objects.filter(pk=contact.pk).update(created_at=now - timedelta(days=age, hours=2))
        for entry in history:
            _add_entry(contact, entry, owner, now)
    score_contacts(ids=list(Contact.objects.values_list("pk", flat=True)))


def _add_entry(contact: Contact, entry: dict[str, Any], owner: User, now: datetime) -> None:
    from crm.services.interactions import add_interaction

    due = entry.get("due_in_days")
    add_interaction(
        contact=contact,
        kind=entry["kind"],
        subject=entry["subject"],
        content=entry.get("text", ""),
        by=owner,
        at=now - timedelta(days=entry["days_ago"]),
        due_on=None if due is None else (now + timedelta(days=due)).date(),
        metadata={"answered": True} if entry.get("answered") else None,
    )


async def show_demo(port: int, sandbox_port: int | None, *, log: Callable[[str], None]) -> None:
    demo = await database_sync_to_async(ensure_demo)()
    if sandbox_port is not None:
        log(f"A caller rings {demo.number} …")
        await _show_call(demo, sandbox_port, log)
    if demo.password is not None:
        await database_sync_to_async(add_history)(demo)
        log("Calls of the last two weeks are added, so that the pages have something to show.")
    _show_addresses(demo, port)


async def _show_call(demo: Demo, sandbox_port: int, log: Callable[[str], None]) -> None:
    """Print both sides' words as they become known: the carrier's events, and the transcript as a page would see it."""
    import aiohttp

    from telephony.models.calls import live_group

    words: asyncio.Task[None] | None = None
    order = {"to": demo.number, "from": demo.caller_number}
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{sandbox_port}/sandbox/calls"
        async with session.post(url, json=order, timeout=aiohttp.ClientTimeout(total=180)) as response:
            async for line in response.content:
                event = json.loads(line)
                if event["kind"] == "stream" and words is None:
                    call_id = await _call_id(event, demo)
                    if call_id is not None:
                        words = asyncio.create_task(_print_words(live_group(call_id), log))
                if text := _describe(event):
                    log(text)
    await asyncio.sleep(0.5)
    if words is not None:
        words.cancel()
        await asyncio.gather(words, return_exceptions=True)


async def _call_id(event: dict[str, Any], demo: Demo) -> str | None:
    from telephony.models import Call
    from tenants.context import entered
    from tenants.models import Domain

    def find() -> str | None:
        tenant = Domain.objects.select_related("tenant").get(domain=demo.domain).tenant
        with entered(tenant):
            newest = Call.objects.order_by("-started_at").values_list("pk", flat=True).first()
        return str(newest) if newest else None

    found: str | None = await database_sync_to_async(find)()
    return found


async def _print_words(group: str, log: Callable[[str], None]) -> None:
    from channels.layers import get_channel_layer

    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group, channel)
    while True:
        message = await layer.receive(channel)
        if message["type"] != "call.entry":
            continue
        body = message["body"]
        if message["kind"] == "message":
            who = "caller" if body["role"] == "user" else " agent"
            log(f"   {who}: {body['text']}")
        elif message["kind"] == "event" and body["kind"] == "barge-in":
            log("           (the caller interrupts)")
        elif message["kind"] == "event" and body["kind"] == "tool-call":
            log(f"           (the agent uses {body['detail']['name']})")


def _describe(event: dict[str, Any]) -> str:
    match event["kind"]:
        case "answered":
            return "The call is answered."
        case "dialling":
            return f"The carrier rings {event['number']} …"
        case "ended":
            return f"The call has ended after {event['duration_s']} s."
        case "recording":
            return f"Both sides can be heard in {event['path']}"
        case "stream-refused" | "webhook-failed" | "webhook-unreachable":
            return f"Trouble: {event}"
    return ""


def _show_addresses(demo: Demo, port: int) -> None:
    outbox = environment().outbox_url
    lines = [
        "",
        f"  http://{demo.domain}:{port}/   the organisation's pages: dashboard, calls, lines, people",
        f"  http://localhost:{port}/admin/   the staff pages",
        f"  http://{demo.domain}:{port}/api/docs/   the REST API",
        *([f"  {outbox}   every e-mail that was sent, as its recipient gets it"] if outbox else []),
        "",
        f"  Sign in as {demo.email}"
        + (
            f" with the password {demo.password}   (shown this once)"
            if demo.password
            else f"   (password lost? .venv/bin/python manage.py set_password {demo.email})"
        ),
        "  Ctrl-C stops everything.",
        "",
    ]
    print("\n".join(lines), flush=True)
