"""A mailing from its template to its end, as the tasks would carry it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection, transaction
from django.test import Client

from conftest import SandboxThread
from crm.email.enums import MessageState, SendWhen
from crm.email.models import EmailEvent, EmailMessage, EmailTemplate, EmailTemplateVersion, Mailing, SendBatch
from crm.email.services.applying import apply_events
from crm.email.services.mailings import create_mailing, start_mailing
from crm.email.services.preparing import prepare_mailing
from crm.email.services.sending import send_mailing
from crm.models import Contact
from crm.tests.factories import make_contact
from tenants.context import entered, in_public
from tenants.enums import AuditAction
from tenants.models import AuditEvent, Tenant

T = TypeVar("T")

HTML = (
    '<p>Hello {{ contact_name }}, news of {{ city or "your town" }}.</p><p><a href="{{ unsubscribe_url }}">No more</a></p>'
)
NAMES = ["city", "contact_name", "unsubscribe_url"]


def make_template(
    subject: str = "News for {{ contact_name }}", html: str = HTML, *, variables: list[str] | None = None, text: str = ""
) -> EmailTemplate:
    template = EmailTemplate.objects.create(name="News")
    version = EmailTemplateVersion.objects.create(
        template=template,
        number=1,
        subject=subject,
        html=html,
        text=text,
        variables=NAMES if variables is None else variables,
    )
    template.current = version
    template.save()
    return template


def make_contacts(count: int, **values: Any) -> list[Contact]:
    return [make_contact(f"Ann {n}", **{"contact_email": f"ann{n}@example.com", **values}) for n in range(count)]


def make_mailing(
    contacts: list[Contact] | None = None, *, template: EmailTemplate | None = None, query: str = ""
) -> Mailing:
    ids = None if contacts is None else [contact.pk for contact in contacts]
    return create_mailing(name="November", template=template or make_template(), contact_ids=ids, query=query, by=None)


def started(mailing: Mailing, **values: Any) -> Mailing:
    """Start and prepare it."""
    start_mailing(mailing=mailing, when=values.pop("when", SendWhen.NOW), by=None, **values)
    while prepare_mailing(mailing_id=mailing.pk):
        pass
    mailing.refresh_from_db()
    return mailing


def sent(mailing: Mailing) -> Mailing:
    """Send what can be sent now."""
    while send_mailing(mailing_id=mailing.pk) == 0.0:
        pass
    mailing.refresh_from_db()
    return mailing


def states(mailing: Mailing | None = None) -> dict[str, int]:
    found: dict[str, int] = {}
    for state in EmailMessage.objects.filter(mailing=mailing).values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


def apart(tenant: Tenant, work: Callable[[], T]) -> T:
    """Do something on a connection of its own: what it writes is committed, and to be removed again."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_inside, tenant, work).result()


def _inside(tenant: Tenant, work: Callable[[], T]) -> T:
    with entered(tenant):
        try:
            return work()
        finally:
            connection.close()


def remove_all() -> None:
    """Take away what was committed."""
    EmailEvent.objects.all().delete()
    EmailMessage.objects.all().delete()
    SendBatch.objects.all().delete()
    Mailing.objects.all().delete()
    Contact.objects.all().delete()
    EmailTemplate.objects.filter(key=None).update(current=None)
    EmailTemplate.objects.filter(key=None).delete()
    with in_public():
        AuditEvent.objects.exclude(action__in=(AuditAction.TENANT_CREATED, AuditAction.NUMBER_ATTACHED)).delete()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")  # the ledger's own triggers forbid it
            cursor.execute("DELETE FROM billing_ledgerentry; DELETE FROM billing_tally; DELETE FROM billing_daytotal")


def put_all_in_line(mailing: Mailing, **values: Any) -> None:
    """Let the time of messages that were put off come."""
    EmailMessage.objects.filter(mailing=mailing, state=MessageState.QUEUED).update(**values)


def deliver_events(providers: SandboxThread) -> None:
    """Hand the provider's news to the product, and have them applied."""
    take_news(providers)
    apply_events()


def take_news(providers: SandboxThread) -> None:
    """Hand the provider's news to the product, which stores it."""
    client = Client(headers={"host": settings.ENV.public_host})
    settings.ENV.sendgrid_webhook_public_key = [providers.mail.public_key]  # the fixture puts back what it was
    for post in providers.events():
        headers = {name: value for name, value in post.headers.items() if name.lower() != "content-type"}
        answer = client.post("/api/webhooks/sendgrid", data=post.body, content_type="application/json", headers=headers)
        assert answer.status_code < 300, answer.content
