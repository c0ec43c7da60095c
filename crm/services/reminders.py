"""Reminders of tasks: one e-mail to whoever is to do it, when they asked for it."""

from __future__ import annotations

import logging
from datetime import datetime
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone

from crm.models import Interaction
from crm.models.setup import CrmSettings, crm_settings
from crm.selectors.people import people_of
from crm.services.interactions import claim_reminder, due_reminders, give_back_reminder
from tenants.models import Tenant

logger = logging.getLogger("crm")


def send_reminders(*, tenant: Tenant, now: datetime | None = None) -> int:
    """Send what is due to whoever manages contacts; return how many.

    Each is claimed first: rather none at a crash than the same one twice.
    """
    now = now or timezone.now()
    sent = 0
    people = [user.pk for user in people_of(tenant)]
    for task in due_reminders(now=now, people=people):
        if not claim_reminder(interaction=task, now=now):
            continue
        try:
            _send(task, tenant, crm_settings())
        except (SMTPException, OSError):
            logger.exception("A reminder could not be sent.", extra={"interaction": task.pk})
            give_back_reminder(interaction=task, claimed_at=now)
        else:
            sent += 1
    return sent


def _send(task: Interaction, tenant: Tenant, texts: CrmSettings) -> None:
    due = task.due_on.strftime("%d %B %Y") if task.due_on else "no date"
    values = {
        "task": task.subject or task.get_kind_display(),
        "contact": task.contact.name if task.contact else "",
        "due": due,
    }
    values["link"] = f"{_origin(tenant)}{task.get_absolute_url()}"
    subject, text = texts.reminder_subject, texts.reminder_text
    for name, value in values.items():
        subject = subject.replace("{" + name + "}", " ".join(value.split()))
        text = text.replace("{" + name + "}", value)
    send_mail(subject[:200], text, None, [task.user.email])  # type: ignore[union-attr]


def _origin(tenant: Tenant) -> str:
    """The tenant's own address, with the scheme and port of the installation."""
    from urllib.parse import urlsplit

    public = urlsplit(settings.PUBLIC_URL)
    port = f":{public.port}" if public.port else ""
    return f"{public.scheme}://{tenant.primary_domain}{port}"
