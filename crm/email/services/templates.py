"""Making and changing templates. Everything here runs inside the tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from crm.email.models import EmailTemplate, EmailTemplateVersion, SequenceStep
from crm.email.rendering.checks import Finding, check, errors
from crm.email.rendering.renderer import Rendering, render
from crm.email.rendering.sources import Source
from crm.email.rendering.variables import LINKS, catalogue, names_in, values_for
from crm.email.services.notices import NotDeliveredError, send_notice
from crm.email.services.senders import sender
from crm.models import Contact
from tenants.audit import record
from tenants.context import current_tenant
from tenants.enums import AuditAction
from tenants.models import User

MAX_NAME = 120
TESTS_PER_HOUR = 20  # of one person


class TemplateError(ValueError):
    """It cannot be saved, or not be done. `findings` say where, if it is the text's fault."""

    def __init__(self, text: str, findings: Sequence[Finding] = ()) -> None:
        super().__init__(text)
        self.findings = list(findings)


class TemplateConflictError(Exception):
    """Somebody else saved the template first; `current` is how it is now."""

    def __init__(self, current: EmailTemplate) -> None:
        super().__init__("the template was changed meanwhile")
        self.current = current


def save_template(
    *,
    template: EmailTemplate | None,
    name: str,
    subject: str,
    html: str,
    text: str,
    is_active: bool,
    by: User | None,
    number: int | None = None,
) -> EmailTemplate:
    """Make a template, or a new version of one if its words changed, and return it as it is then.

    With `number`, only if that is still the number of its newest version. Raises TemplateError, TemplateConflictError.
    """
    name, source = " ".join(name.split()), source_of(subject=subject, html=html, text=text)
    if not name or len(name) > MAX_NAME:
        raise TemplateError(f"Give the template a name of at most {MAX_NAME} characters.")
    faults = errors(check(source))
    if faults:
        raise TemplateError("It cannot be sent like this.", faults)
    names = names_in(source)
    with transaction.atomic():
        saved = _locked(template) if template else EmailTemplate.objects.create(name=name)
        if number is not None and saved.current is not None and saved.current.number != number:
            raise TemplateConflictError(saved)
        if saved.current is None or source != version_source(saved.current):
            saved.current = _add_version(saved, source, names, by)
        saved.name, saved.is_active, saved.updated_at = name, is_active, timezone.now()
        saved.save(update_fields=["name", "is_active", "updated_at", "current"])
        _note(saved, "saved" if template else "made", by)
    return saved


def source_of(*, subject: str, html: str, text: str) -> Source:
    """Browsers send line breaks as they like, and no database keeps a zero byte."""
    parts = (part.replace("\r\n", "\n").replace("\0", "") for part in (subject, html, text))
    subject, html, text = parts
    return Source(" ".join(subject.split()) if "\n" in subject else subject.strip(), html, text if text.strip() else "")


def version_source(version: EmailTemplateVersion) -> Source:
    return Source(version.subject, version.html, version.text)


def _locked(template: EmailTemplate) -> EmailTemplate:
    """Raises TemplateError for one that was deleted."""
    # Its version is read by a query of its own: one that waits for the lock would join the version of before.
    found: EmailTemplate | None = EmailTemplate.objects.kept().select_for_update().filter(pk=template.pk).first()
    if found is None:
        raise TemplateError("The template was deleted meanwhile.")
    return found


def _add_version(template: EmailTemplate, source: Source, names: list[str], by: User | None) -> EmailTemplateVersion:
    newest = template.versions.aggregate(Max("number"))["number__max"] or 0
    return EmailTemplateVersion.objects.create(
        template=template,
        number=newest + 1,
        subject=source.subject,
        html=source.html,
        text=source.text,
        variables=names,
        created_by=by,
    )


def restore_version(*, template: EmailTemplate, version: EmailTemplateVersion, by: User | None) -> EmailTemplate:
    """Make an old version the newest once more, as a new one. Raises TemplateError if it cannot be sent any more."""
    return save_template(
        template=template,
        name=template.name,
        subject=version.subject,
        html=version.html,
        text=version.text,
        is_active=template.is_active,
        by=by,
    )


def copy_template(*, template: EmailTemplate, by: User | None) -> EmailTemplate:
    """Return a copy, which is switched off until somebody has changed what it was copied for."""
    assert template.current is not None
    with transaction.atomic():
        made = EmailTemplate.objects.create(name=f"Copy of {template.name}"[:MAX_NAME], is_active=False)
        made.current = _add_version(made, version_source(template.current), template.current.variables, by)
        made.save(update_fields=["current"])
        _note(made, f"copied from {template.pk}", by)
    return made


def switch_template(*, template: EmailTemplate, is_active: bool, by: User | None) -> bool:
    """Return whether that changed anything."""
    with transaction.atomic():
        changed = EmailTemplate.objects.kept().filter(pk=template.pk, is_active=not is_active)
        if not changed.update(is_active=is_active, updated_at=timezone.now()):
            return False
        _note(template, "switched on" if is_active else "switched off", by)
    return True


def delete_template(*, template: EmailTemplate, by: User | None) -> bool:
    """Put it away; what is being sent has its version. Raises TemplateError while a sequence sends it."""
    steps = SequenceStep.objects.filter(template=template, removed_at=None, sequence__deleted_at=None)
    step = steps.select_related("sequence").first()
    if step is not None:
        raise TemplateError(f"The sequence “{step.sequence.name}” sends it. Take it out there first.")
    with transaction.atomic():
        if not EmailTemplate.objects.kept().filter(pk=template.pk).update(deleted_at=timezone.now()):
            return False
        _note(template, "deleted", by)
    return True


def undelete_template(*, template: EmailTemplate, by: User | None) -> bool:
    with transaction.atomic():
        if not EmailTemplate.objects.filter(pk=template.pk, deleted_at__isnull=False).update(deleted_at=None):
            return False
        _note(template, "brought back", by)
    return True


def _note(template: EmailTemplate, what: str, by: User | None) -> None:
    record(AuditAction.TEMPLATE_CHANGED, tenant=current_tenant(), actor=by, target=f"template {template.pk}: {what}")


# --- trying it out ---------------------------------------------------------------------------------------------------


def preview(*, source: Source, contact: Contact | None) -> Rendering:
    """Return the message as this contact would get it, with links of nobody's. Without a contact, with the examples.

    Raises RenderError.
    """
    return render(source=source, values=_preview_values(names_in(source), contact))


def _preview_values(names: Sequence[str], contact: Contact | None) -> Mapping[str, Any]:
    if contact is None:
        values = {name: variable.example for name, variable in catalogue().items() if name in names}
    else:
        (values,) = values_for(contacts=[contact], names=names)
    return {**values, **dict.fromkeys(LINKS, f"{settings.PUBLIC_URL}/mail/p/preview")}


def send_test(*, source: Source, contact: Contact | None, to: User) -> None:
    """Send the message, as this contact would get it, to whoever asks for it. Raises RenderError, TemplateError."""
    rendering = preview(source=source, contact=contact)
    key = f"email:test:{to.pk}"
    cache.add(key, 0, timeout=3600)
    if cache.incr(key) > TESTS_PER_HOUR:
        raise TemplateError(f"{TESTS_PER_HOUR} tests in an hour are the limit. Try again later.")
    try:
        send_notice(to=to.email, sender=sender(), subject=rendering.subject, text=rendering.text, html=rendering.html)
    except NotDeliveredError as error:
        raise TemplateError(str(error)) from None


# --- two people at once ----------------------------------------------------------------------------------------------

TAKE = "take_"
_LABELS = {"name": "Name", "subject": "Subject", "html": "HTML", "text": "Plain text"}


@dataclass(frozen=True, slots=True)
class Difference:
    name: str  # of the checkbox that takes what is saved
    label: str
    saved: str
    mine: str


def differences(values: Mapping[str, Any], current: EmailTemplate) -> list[Difference]:
    """Return where what somebody wants to save differs from what somebody else has saved."""
    saved = _saved(current)
    mine = source_of(**{part: values[part] for part in ("subject", "html", "text")})
    wanted = {"name": values["name"], "subject": mine.subject, "html": mine.html, "text": mine.text}
    return [
        Difference(TAKE + name, label, saved[name], wanted[name])
        for name, label in _LABELS.items()
        if saved[name] != wanted[name]
    ]


def taken(values: Mapping[str, Any], current: EmailTemplate, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values to save, with the saved one wherever a person chose to keep it."""
    saved = _saved(current)
    return {**values, **{name: saved[name] for name in _LABELS if TAKE + name in answers}}


def _saved(current: EmailTemplate) -> dict[str, str]:
    version = current.current
    assert version is not None
    return {"name": current.name, "subject": version.subject, "html": version.html, "text": version.text}
