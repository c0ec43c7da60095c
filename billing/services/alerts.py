"""Telling an organisation's owners and admins by e-mail that a budget is used up so far."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils import timezone

from billing.models import BudgetAlert
from billing.money import shown
from tenants.enums import Role
from tenants.models import Membership

MAIL_WITHIN = timedelta(days=1)  # older news is none


def send_alert(*, alert_id: int) -> bool:
    """Mail an alert; return whether this was the time it happened."""
    alert = BudgetAlert.objects.select_related("tenant").get(pk=alert_id)
    if not BudgetAlert.objects.filter(pk=alert_id, mailed_at=None).update(mailed_at=timezone.now()):
        return False
    managers = Membership.objects.filter(tenant=alert.tenant, role__in=[Role.OWNER, Role.ADMIN], user__is_active=True)
    addresses = list(managers.values_list("user__email", flat=True))
    context = {
        "alert": alert,
        "spent": shown(alert.spent, alert.currency),
        "limit": shown(alert.limit, alert.currency),
        "url": f"{settings.PUBLIC_URL.split('://')[0]}://{alert.tenant.primary_domain}/billing/",
    }
    subject = render_to_string("billing/mail/alert_subject.txt", context).strip()
    body = render_to_string("billing/mail/alert.txt", context)
    try:
        for address in addresses:
            EmailMessage(subject, body, to=[address]).send()
    except OSError:
        BudgetAlert.objects.filter(pk=alert_id).update(mailed_at=None)  # the sweep tries again
        raise
    return True


def unmailed() -> list[int]:
    waiting = BudgetAlert.objects.filter(mailed_at=None, at__gt=timezone.now() - MAIL_WITHIN)
    return list(waiting.filter(at__lt=timezone.now() - timedelta(minutes=1)).values_list("pk", flat=True)[:200])
