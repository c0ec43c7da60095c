"""E-mail: what a hundred thousand pieces of news of messages cost, and whether their order matters.

`BENCH_EVENTS` makes it smaller, for a quick look.
"""

from __future__ import annotations

import base64
import json
import os
import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.cpu import on_a_core_of_its_own
from bench.product import Product
from bench.report import Result

if TYPE_CHECKING:
    from django.test import Client

    from tenants.models import Tenant

EVENTS = int(os.environ.get("BENCH_EVENTS", "100000"))
A_REQUEST = 500  # events the provider puts into one post
BETWEEN = 20  # posts, after which the task applies what is there
BEGUN = 1_795_000_000


def run(product: Product) -> list[Result]:
    with product.worker_paused(), on_a_core_of_its_own():
        return events(EVENTS)


# --- news of messages ------------------------------------------------------------------------------------------------


@dataclass
class Spent:
    posts_s: float = 0.0
    applying_s: float = 0.0

    @property
    def all_s(self) -> float:
        return self.posts_s + self.applying_s


def events(count: int = EVENTS) -> list[Result]:
    """Post the news in order to one organisation, and twice in random order to another; compare what they end in."""
    ids = [uuid.uuid5(uuid.NAMESPACE_OID, str(number)) for number in range(count // 5)]
    first, second = _organisation(ids), _organisation(ids)
    news = sorted(_news(ids), key=lambda one: int(one["timestamp"]))
    twice = news * 2
    random.Random(11).shuffle(twice)
    poster = Poster()
    ordered, shuffled = poster.post(first, news), poster.post(second, twice)
    ends = [_ends(tenant) for tenant in (first, second)]
    different = sum(ends[0][key] != ends[1].get(key) for key in ends[0]) + abs(len(ends[0]) - len(ends[1]))
    what = f"{len(twice):,} events, each twice, in random order"
    return [
        Result("emails", f"{len(news):,} events in order", len(news) / ordered.all_s, "a second", 3_000, ">="),
        Result("emails", what, len(twice) / shuffled.all_s, "a second", 3_000, ">="),
        Result("emails", "posts taken: signature, JSON, storing", len(twice) / shuffled.posts_s, "a second"),
        Result("emails", "applied, once each", len(news) / shuffled.applying_s, "a second"),
        Result("emails", "messages, entries and suppressions that differ", different, f"of {len(ends[0]):,}", 0),
    ]


class Poster:
    """The provider: it has a key, and posts."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from django.conf import settings
        from django.test import Client

        self._key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        der = self._key.public_key().public_bytes(serialization.Encoding.DER, form)
        settings.ENV.sendgrid_webhook_public_key = [base64.b64encode(der).decode()]
        self._client: Client = Client(headers={"host": "bench.localhost"})

    def post(self, tenant: Tenant, news: list[dict[str, Any]]) -> Spent:
        from crm.email.services.applying import apply_events
        from tenants.context import entered

        spent = Spent()
        for number, begin in enumerate(range(0, len(news), A_REQUEST), start=1):
            body = json.dumps([{**one, "thanos_tenant": tenant.schema_name} for one in news[begin : begin + A_REQUEST]])
            headers = self._headers(raw := body.encode() + b"\r\n")
            begun = time.perf_counter()
            answer = self._client.post("/api/webhooks/sendgrid", raw, content_type="application/json", headers=headers)
            spent.posts_s += time.perf_counter() - begun
            if answer.status_code != 204:
                raise RuntimeError(f"a post was answered {answer.status_code}")
            if number % BETWEEN == 0 or begin + A_REQUEST >= len(news):
                begun = time.perf_counter()
                with entered(tenant):
                    while apply_events():
                        pass
                spent.applying_s += time.perf_counter() - begun
        return spent

    def _headers(self, body: bytes) -> dict[str, str]:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        stamp = str(int(time.time()))
        signature = self._key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        name = "X-Twilio-Email-Event-Webhook"
        return {f"{name}-Signature": base64.b64encode(signature).decode(), f"{name}-Timestamp": stamp}


def _organisation(ids: list[uuid.UUID]) -> Tenant:
    """Make a tenant that has written to as many contacts, with each message on its contact's timeline."""
    from django.db import connection
    from django.utils import timezone

    from crm.email.enums import BatchState, MessageState
    from crm.email.models import EmailMessage, SendBatch
    from crm.email.services.timeline import log_sent
    from crm.models import Contact
    from tenants.context import entered
    from tenants.services.tenants import create_tenant
    from thanos.encryption import blind_index

    domain = f"news-{uuid.uuid4().hex[:12]}.localhost"
    tenant: Tenant = create_tenant(name="Bench", domain=domain, admin_email="bench@bench.localhost")
    with entered(tenant):
        indexes = [blind_index(_address(number)) for number in range(len(ids))]
        contacts = Contact.objects.bulk_create(
            (
                Contact(contact_name=f"Person {number}", contact_email=_address(number), email_index=index)
                for number, index in enumerate(indexes)
            ),
            batch_size=2_000,
        )
        batch = SendBatch.objects.create(provider="sendgrid", state=BatchState.ACCEPTED, provider_id="bench")
        rows = (
            EmailMessage(
                id=pk,
                contact=contact,
                to_email=contact.contact_email,
                email_index=contact.email_index,
                subject="Hello",
                text="Hello, this is news.",
                state=MessageState.SENT,
                sent_at=timezone.now(),
                batch=batch,
            )
            for pk, contact in zip(ids, contacts, strict=True)
        )
        EmailMessage.objects.bulk_create(rows, batch_size=2_000)
        log_sent(message_ids=ids)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE) crm_email_emailmessage, crm_interaction, crm_contact")
    return tenant


def _address(number: int) -> str:
    return f"person{number}@example.com"


def _news(ids: list[uuid.UUID]) -> Iterator[dict[str, Any]]:
    """Yield five events a message: most are delivered and some read, a few bounce, and some have enough."""
    chance = random.Random(7)
    browser = {"useragent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", "ip": "203.0.113.7"}
    for number, pk in enumerate(ids):
        at = BEGUN + chance.randint(0, 20_000)
        draw = chance.random()
        plan: list[tuple[str, int, dict[str, Any]]] = [("processed", 0, {})]
        if draw < 0.02:
            gone = {
                "type": "bounce",
                "status": "5.1.1",
                "bounce_classification": "Invalid Address",
                "reason": "550 5.1.1 no",
            }
            plan += [("deferred", n, {"response": "451 later", "attempt": str(n)}) for n in (1, 2, 3)] + [
                ("bounce", 9, gone)
            ]
        elif draw < 0.04:
            plan += [("deferred", n, {"response": "451 later", "attempt": str(n)}) for n in (1, 2, 3)]
            plan += [("bounce", 9, {"type": "blocked", "status": "5.7.1", "reason": "550 5.7.1 not now"})]
        else:
            plan += [("delivered", 2, {"response": "250 OK", "tls": 1}), ("open", chance.randint(3, 9000), browser)]
            plan += [("open", chance.randint(3, 9000), {**browser, "sg_machine_open": chance.random() < 0.4})]
            plan += [
                ("unsubscribe", 9500, {})
                if draw > 0.995
                else ("spamreport", 9500, {})
                if draw > 0.994
                else ("click", chance.randint(3, 9000), {**browser, "url": "https://example.com/offer"})
            ]
        for index, (name, later, more) in enumerate(plan):
            yield {
                "email": _address(number),
                "timestamp": at + later,
                "event": name,
                "sg_event_id": f"{pk.hex}{index}",
                "sg_message_id": "bench.recvd-1",
                "thanos_message": str(pk),
                **more,
            }


def _ends(tenant: Tenant) -> dict[Any, Any]:
    """Return all that the news ended in, of messages, of timelines and of the list of suppressed addresses."""
    from crm.email.fates import COLUMNS
    from crm.email.models import EmailEvent, EmailMessage, Suppression
    from crm.models import Interaction
    from tenants.context import entered

    columns = [name for name in COLUMNS if name != "sent_at"]  # the one they were given when they were made
    with entered(tenant):
        if EmailEvent.objects.filter(applied_at=None).exists():
            raise RuntimeError("news was left unapplied")
        found: dict[Any, Any] = {row[0]: row[1:] for row in EmailMessage.objects.values_list("id", *columns, "error")}
        entries = Interaction.objects.filter(kind="email").values_list("natural_key", "metadata")
        found |= {("entry", key): metadata for key, metadata in entries}
        found |= {("suppressed", *pair): True for pair in Suppression.objects.values_list("email_index", "reason")}
    return found
