"""What happened with a contact, and what is to be done. Everything here runs inside the tenant."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.db.models import Count, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from base.text import to_stored
from crm.enums import TASK_KINDS, TOUCH_KINDS, InteractionKind
from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit
from crm.models import Contact, Interaction
from crm.models.interactions import OPEN_TASK
from crm.models.setup import crm_settings
from crm.services.attachments import delete_attachment
from crm.services.payloads import interaction_payload
from crm.services.scoring import rescore_later
from tenants.context import current_tenant
from tenants.models import User


def add_interaction(
    *,
    contact: Contact | None,
    kind: InteractionKind | str,
    subject: str = "",
    content: str = "",
    by: User | None = None,
    at: datetime | None = None,
    due_on: date | None = None,
    remind_at: datetime | None = None,
    metadata: dict[str, Any] | None = None,
    natural_key: str | None = None,
) -> Interaction:
    """Put something on a contact's timeline. With a `natural_key` the same news twice is one entry.

    Without a contact it must be a task; the list of tasks shows it to everybody.
    """
    entry = Interaction(
        kind=InteractionKind(kind),
        subject=to_stored(subject)[:200],
        content=to_stored(content),
        user=by,
        interaction_date=at or timezone.now(),
        due_on=due_on if kind in TASK_KINDS else None,
        remind_at=remind_at if kind in TASK_KINDS else None,
        metadata=metadata or {},
        natural_key=natural_key,
    )
    try:
        with transaction.atomic():
            entry.contact = None if contact is None else lock_contact(contact.pk)
            entry.save(force_insert=True)
            touch(entry.contact_id)
            emit(event=Event.INTERACTION_ADDED, data=interaction_payload(entry), key=f"interaction:{entry.pk}")
    except IntegrityError:
        known: Interaction | None = Interaction.objects.filter(natural_key=natural_key).first() if natural_key else None
        if known is None:
            raise
        return known
    _rescore(entry.contact_id)
    return entry


def leave_message(text: str, number: str = "", name: str = "", *, natural_key: str | None = None) -> Interaction:
    """Return a task for everybody, made of a message that belongs to no contact. With a `natural_key`, made once.

    `number` and `name` are what the caller said of themselves; nothing is looked up by them, as nobody has proved them.
    """
    name, number, text = (to_stored(value).strip() for value in (name, number, text))
    texts = crm_settings()
    caller = ", ".join(filter(None, (name, number))) or texts.new_lead_name
    return add_interaction(
        contact=None,
        kind=InteractionKind.TASK,
        subject=texts.message_subject.replace("{caller}", caller[:120]),
        content=text,
        due_on=timezone.localdate(timezone=ZoneInfo(current_tenant().time_zone)),
        metadata={"caller": {"name": name, "number": number}},
        natural_key=natural_key,
    )


def _rescore(contact_id: int | None) -> None:
    if contact_id is not None:
        rescore_later([contact_id])


def lock_contact(pk: int) -> Contact:
    """Return a contact, held until the transaction ends; of one that was merged, the one it went into."""
    contact: Contact = Contact.objects.select_for_update().get(pk=pk)
    while contact.merged_into_id is not None:
        contact = Contact.objects.select_for_update().get(pk=contact.merged_into_id)
    return contact


def update_interaction(*, interaction: Interaction, values: dict[str, Any]) -> Interaction:
    """Change an entry, and return it as it is then. A reminder that is moved reminds again."""
    with transaction.atomic():
        if interaction.contact_id is not None:
            lock_contact(interaction.contact_id)  # before the entry, as merging does
        current: Interaction = Interaction.objects.select_for_update(of=("self",)).get(pk=interaction.pk)
        changed = dict(values)
        given = changed.pop("contact", None)
        if given is not None and current.contact_id is None:  # a message finds whose it was
            changed["contact"] = lock_contact(given.pk)
        if "remind_at" in values:
            changed["reminded_at"] = None
        if values.get("kind", current.kind) not in TASK_KINDS:
            changed |= {"due_on": None, "remind_at": None, "done_at": None}
        for name, value in changed.items():
            setattr(current, name, value)
        current.updated_at = timezone.now()
        current.save(update_fields=[*changed, "updated_at"])
        touch(current.contact_id)
    _rescore(current.contact_id)
    return current


def set_task_done(*, interaction: Interaction, done: bool, now: datetime | None = None) -> bool:
    """Tick a task off, or open it again; return whether that changed anything. Safe to repeat."""
    now = now or timezone.now()
    with transaction.atomic():
        changed = Interaction.objects.filter(pk=interaction.pk, kind__in=TASK_KINDS, done_at__isnull=done).update(
            done_at=now if done else None, updated_at=now
        )
        if changed:
            touch(interaction.contact_id)
    return bool(changed)


def delete_interaction(*, interaction: Interaction) -> None:
    contact_id = interaction.contact_id
    with transaction.atomic():
        for attachment in interaction.attachments.all():
            delete_attachment(attachment=attachment)
        interaction.delete()
        touch(contact_id)
    _rescore(contact_id)


def touch(*contacts: int | None) -> None:
    """Bring what contacts know of their timeline up to date: when somebody was last in touch, how much is to do.

    Must run in the transaction that changed the timeline.
    """
    contact_ids = [pk for pk in contacts if pk is not None]
    if not contact_ids:
        return
    # A statement of its own: one that waited for the row would count what there was before it waited.
    list(Contact.objects.select_for_update().filter(pk__in=contact_ids).order_by("pk").values_list("pk"))
    mine = Interaction.objects.filter(contact=OuterRef("pk")).order_by().values("contact")
    last = mine.filter(kind__in=TOUCH_KINDS).annotate(last=Max("interaction_date")).values("last")
    todo = mine.filter(OPEN_TASK).annotate(n=Count("pk")).values("n")
    Contact.objects.filter(pk__in=contact_ids).update(
        last_interaction_at=Subquery(last), open_task_count=Coalesce(Subquery(todo), 0)
    )


def due_reminders(*, now: datetime, people: Collection[int]) -> list[Interaction]:
    """Return open tasks of these people whose reminder is due and was not sent."""
    due = Q(remind_at__lte=now, reminded_at=None, user__in=people)
    return list(Interaction.objects.open_tasks().filter(due).select_related("contact", "user")[:200])


def claim_reminder(*, interaction: Interaction, now: datetime) -> bool:
    """Of several who want to send a reminder, let one."""
    mine = Interaction.objects.filter(pk=interaction.pk, reminded_at=None, done_at=None)
    return bool(mine.update(reminded_at=now))


def give_back_reminder(*, interaction: Interaction, claimed_at: datetime) -> None:
    """It could not be sent: the next round tries again."""
    Interaction.objects.filter(pk=interaction.pk, reminded_at=claimed_at).update(reminded_at=None)
