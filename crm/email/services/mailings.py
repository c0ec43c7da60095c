"""E-mail to many, as a person handles it: written, started, paused, cancelled. Everything here runs inside the tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Max
from django.http import QueryDict
from django.utils import timezone

from crm.email.enums import MailingState, MessageState, PauseReason, SendWhen
from crm.email.models import EmailMessage, EmailTemplate, Mailing
from crm.email.models.setup import email_settings
from crm.email.services.domains import may_send
from crm.email.services.senders import sender
from crm.email.services.sources import needs_footer
from crm.models import Contact
from crm.selectors.contacts import FilterError, contacts_for
from tenants import audit
from tenants.celery import publish
from tenants.context import current_tenant
from tenants.enums import AuditAction

if TYPE_CHECKING:
    from tenants.models import User

MAX_IDS = 100_000
PAUSABLE = (MailingState.SCHEDULED, MailingState.PREPARING, MailingState.SENDING)
CANCELABLE = (*PAUSABLE, MailingState.PAUSED)
_CHANGEABLE = ("name", "template", "contact_ids", "query", "skip_empty_values", "when", "send_at")


class MailingError(ValueError):
    """What was asked for makes no sense; the text is for the person who asked, `field` is what it is about."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def create_mailing(
    *, name: str, template: EmailTemplate, contact_ids: Sequence[int] | None, query: str = "", by: User | None
) -> Mailing:
    """Make a draft to the contacts named, or to all that a list's address shows. Raises MailingError."""
    mailing = Mailing(user_id=by.pk if by else None)
    _set(mailing, {"name": name, "template": template, "contact_ids": contact_ids, "query": query})
    mailing.save()
    return mailing


def change_mailing(*, mailing: Mailing, **values: Any) -> Mailing:
    """Change a draft: name, template, contact_ids, query, skip_empty_values, when, send_at. Raises MailingError."""
    if unknown := set(values) - set(_CHANGEABLE):
        raise TypeError(f"a mailing has no {', '.join(sorted(unknown))} to change")
    with transaction.atomic():
        current = _locked(mailing)
        if current.state != MailingState.DRAFT:
            raise MailingError("It has been started and can no longer be changed. Copy it to send it again.")
        _set(current, values)
        current.save()
    return current


def _set(mailing: Mailing, values: dict[str, Any]) -> None:
    values = dict(values)
    if "name" in values:
        values["name"] = _name(values["name"])
    if template := values.pop("template", None):
        if not isinstance(template, EmailTemplate) or template.current_id is None or template.deleted_at is not None:
            raise MailingError("Choose a template that has a text.", "template")
        mailing.version_id = template.current_id
    if "contact_ids" in values or "query" in values:
        ids, query = values.get("contact_ids", mailing.contact_ids), values.get("query", mailing.query)
        _check_selection(ids, query, mailing)
        values["contact_ids"] = sorted(set(ids)) if ids is not None else None
        values["query"] = query if ids is None else ""
    for name, value in values.items():
        setattr(mailing, name, value)


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise MailingError("Give it a name, to find it again by.", "name")
    if len(name) > 120:
        raise MailingError("At most 120 characters.", "name")
    return name


def _check_selection(ids: Sequence[int] | None, query: str, mailing: Mailing) -> None:
    if ids is not None:
        if not ids:
            raise MailingError("Choose at least one contact.", "contact_ids")
        if len(ids) > MAX_IDS:
            raise MailingError("Choose these by a filter or a saved view instead of one by one.", "contact_ids")
        return
    if len(query) > 2000:
        raise MailingError("These are too many conditions at once.", "query")
    try:  # what is not understood would mean more contacts than were shown
        contacts_for(QueryDict(query), tenant=current_tenant(), user=mailing.user, strict=True)
    except FilterError as error:
        raise MailingError(str(error), "query") from None


def copy_mailing(*, mailing: Mailing, by: User | None) -> Mailing:
    """Make a draft like this one, with the newest text of its template."""
    template = mailing.version.template
    return Mailing.objects.create(  # type: ignore[no-any-return]
        name=f"{mailing.name[:113]} (copy)",
        version_id=template.current_id or mailing.version_id,
        contact_ids=mailing.contact_ids,
        query=mailing.query,
        skip_empty_values=mailing.skip_empty_values,
        user_id=by.pk if by else None,
    )


def delete_mailing(*, mailing: Mailing, by: User | None) -> None:
    """Delete a draft. Raises MailingError for one that has been started: what was sent stays on record."""
    with transaction.atomic():
        deleted, _ = Mailing.objects.filter(pk=mailing.pk, state=MailingState.DRAFT).delete()
        if not deleted:
            raise MailingError("It has been started and stays on record.")
        _record(AuditAction.MAILING_CHANGED, by, mailing, "draft deleted")


def start_mailing(
    *, mailing: Mailing, when: SendWhen | str, send_at: datetime | None = None, by: User | None, now: datetime | None = None
) -> Mailing:
    """Start a draft: now, at `send_at`, or in each recipient's morning of `send_at`'s day (None: today).

    The text, the sender, and how far the list of contacts reaches are settled here. Raises MailingError.
    """
    now = now or timezone.now()
    if when not in SendWhen.values:
        raise MailingError("Choose when it is sent.", "when")
    if when == SendWhen.AT and send_at is None:
        raise MailingError("Say at what time.", "send_at")
    if when == SendWhen.AT and send_at is not None and send_at <= now:
        raise MailingError("This time has passed.", "send_at")
    with transaction.atomic():
        current = _locked(mailing)
        if current.state != MailingState.DRAFT:
            raise MailingError("It has been started already.")
        _freeze(current, now)
        current.when, current.send_at = when, None if when == SendWhen.NOW else send_at or now
        current.state = MailingState.SCHEDULED if when == SendWhen.AT else MailingState.PREPARING
        current.started_at = current.touched_at = now
        current.save()
        _record(AuditAction.MAILING_STARTED, by, current, "started")
        carry_on_later(current)
    return current


def _freeze(mailing: Mailing, now: datetime) -> None:
    template = mailing.version.template
    if not template.is_active or template.deleted_at is not None or template.current is None:
        raise MailingError("The template is switched off or deleted. Choose another one.", "template")
    mailing.version = template.current
    _check_selection(mailing.contact_ids, mailing.query, mailing)
    _set_sender(mailing)
    setup = email_settings()
    mailing.footer_html = setup.footer_html if needs_footer(template.current) else ""
    mailing.track_opens, mailing.track_clicks = setup.track_opens, setup.track_clicks
    mailing.newest = Contact.objects.aggregate(newest=Max("pk"))["newest"] or 0


def _set_sender(mailing: Mailing) -> dict[str, str]:
    chosen = sender()
    values = {"from_email": chosen.from_email, "from_name": chosen.from_name, "reply_to": chosen.reply_to}
    for name, value in values.items():
        setattr(mailing, name, value)
    return values


def renew_sender(*, mailing_id: int) -> bool:
    """Have a mailing come from today's sender if its own domain was lost or removed meanwhile; return whether it was."""
    with transaction.atomic():
        mailing = Mailing.objects.select_for_update().get(pk=mailing_id)
        if not mailing.from_email or may_send(mailing.from_email):
            return False
        values = _set_sender(mailing)
        mailing.save(update_fields=list(values))
        EmailMessage.objects.filter(mailing=mailing, state=MessageState.QUEUED).update(**values)
    return True


def pause_mailing(*, mailing: Mailing, reason: PauseReason | str, error: str = "", by: User | None = None) -> bool:
    """Stop a mailing where it is; False when it does not run. What the provider has been asked for is not stopped."""
    running = Mailing.objects.filter(pk=mailing.pk, state__in=PAUSABLE)
    with transaction.atomic():
        paused = running.update(state=MailingState.PAUSED, pause_reason=reason, error=error[:300])
        if paused:
            _record(AuditAction.MAILING_CHANGED, by, mailing, f"paused: {PauseReason(reason).label}")
    return bool(paused)


def resume_mailing(*, mailing: Mailing, by: User | None, now: datetime | None = None) -> bool:
    """Carry on with a paused mailing; False when it is not paused."""
    now = now or timezone.now()
    with transaction.atomic():
        current = _locked(mailing)
        if current.state != MailingState.PAUSED:
            return False
        current.state = MailingState.SENDING if current.prepared_at else MailingState.PREPARING
        waits = current.when == SendWhen.AT and current.send_at is not None and current.send_at > now
        if waits and not current.prepared_at:
            current.state = MailingState.SCHEDULED
        # Whoever goes on although many addresses do not exist is not stopped for that again.
        current.pause_reason = PauseReason.BOUNCES if current.pause_reason == PauseReason.BOUNCES else ""
        current.error, current.touched_at = "", now
        current.save(update_fields=["state", "pause_reason", "error", "touched_at"])
        renew_sender(mailing_id=current.pk)
        _record(AuditAction.MAILING_CHANGED, by, current, "resumed")
        carry_on_later(current)
    return True


def cancel_mailing(*, mailing: Mailing, by: User | None, now: datetime | None = None) -> bool:
    """End a mailing: whoever has not got it will not; False when it is over already, or was never started."""
    now = now or timezone.now()
    with transaction.atomic():
        ended = Mailing.objects.filter(pk=mailing.pk, state__in=CANCELABLE)
        if not ended.update(state=MailingState.CANCELED, finished_at=now, touched_at=now):
            return False
        # What is claimed at this moment is given back, or goes: the claim looks at the mailing before it asks.
        EmailMessage.objects.filter(mailing=mailing, state=MessageState.QUEUED).update(state=MessageState.CANCELED)
        _record(AuditAction.MAILING_CHANGED, by, mailing, "cancelled")
    return True


def _locked(mailing: Mailing) -> Mailing:
    try:
        return Mailing.objects.select_for_update().get(pk=mailing.pk)  # type: ignore[no-any-return]
    except Mailing.DoesNotExist:
        raise MailingError("It has been deleted meanwhile.") from None


def _record(action: AuditAction, by: User | None, mailing: Mailing, what: str) -> None:
    audit.record(action, tenant=current_tenant(), actor=by, target=f"mailing {mailing.pk} {what}")


def carry_on_later(mailing: Mailing) -> None:
    """Have a worker go on with it, after commit."""
    from crm.email.tasks import sending

    tasks = {MailingState.PREPARING: sending.prepare_mailing, MailingState.SENDING: sending.send_mailing}
    if task := tasks.get(MailingState(mailing.state)):
        transaction.on_commit(lambda: publish(task, mailing_id=mailing.pk))
