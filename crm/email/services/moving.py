"""E-mail follows its contact: into another one by a merge, and out of the records with a contact that is deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm.email.enums import EnrolmentState, MessageState, SkipReason
from crm.email.models import EmailMessage, Enrolment, InboundEmail
from crm.email.services.sequences import stop_enrolments


def move(*, merged_id: int, kept_id: int) -> dict[str, Any]:
    """Move messages, answers and enrolments to the kept contact; return what was moved, as JSON.

    Of a mailing both are in, or a sequence, the kept one's stays: nobody is sent the same text again for a merge.
    """
    theirs = EmailMessage.objects.filter(contact=merged_id)
    in_both = EmailMessage.objects.filter(contact=kept_id).exclude(mailing=None).values("mailing")
    messages = list(theirs.exclude(mailing__in=in_both).values_list("pk", flat=True))
    EmailMessage.objects.filter(pk__in=messages).update(contact=kept_id)
    _skip_doubles(merged_id, kept_id)
    answers = list(InboundEmail.objects.filter(contact=merged_id).values_list("pk", flat=True))
    InboundEmail.objects.filter(pk__in=answers).update(contact=kept_id)
    return {
        "messages": [str(pk) for pk in messages],
        "answers": answers,
        **_move_enrolments(merged_id, kept_id),
    }


def _skip_doubles(merged_id: int, kept_id: int) -> None:
    """Leave out what waits for the merged contact, where the kept one is written to by the same mailing."""
    kept = EmailMessage.objects.filter(contact=kept_id).exclude(mailing=None).exclude(state=MessageState.SKIPPED)
    doubles = EmailMessage.objects.filter(contact=merged_id, mailing__in=kept.values("mailing"), state=MessageState.QUEUED)
    doubles.update(state=MessageState.SKIPPED, skip_reason=SkipReason.SAME_ADDRESS)


def _move_enrolments(merged_id: int, kept_id: int) -> dict[str, list[int]]:
    known = Enrolment.objects.filter(contact=kept_id).values("sequence")
    moved = list(Enrolment.objects.filter(contact=merged_id).exclude(sequence__in=known).values_list("pk", flat=True))
    Enrolment.objects.filter(pk__in=moved).update(contact=kept_id)
    running = Enrolment.objects.filter(contact=merged_id, state=EnrolmentState.ACTIVE)
    stopped = list(running.values_list("pk", flat=True))
    stop_enrolments(enrolments=Enrolment.objects.filter(pk__in=stopped), state=EnrolmentState.STOPPED)
    return {"enrolments": moved, "stopped": stopped}


def move_back(*, kept_id: int, merged_id: int, moved: dict[str, Any]) -> None:
    """Put back what a merge moved. What it stopped stays stopped: its time has passed."""
    EmailMessage.objects.filter(pk__in=moved.get("messages", []), contact=kept_id).update(contact=merged_id)
    InboundEmail.objects.filter(pk__in=moved.get("answers", []), contact=kept_id).update(contact=merged_id)
    Enrolment.objects.filter(pk__in=moved.get("enrolments", []), contact=kept_id).update(contact=merged_id)


def forget(*, contact_ids: Sequence[int]) -> int:
    """Take personal data out of the messages of contacts that are deleted for good; the figures of mailings stay.

    Nothing of them is sent any more. The suppression list keeps their wish.
    """
    theirs = EmailMessage.objects.filter(contact__in=contact_ids)
    theirs.filter(state=MessageState.QUEUED).update(state=MessageState.SKIPPED, skip_reason=SkipReason.GONE)
    InboundEmail.objects.filter(contact__in=contact_ids).delete()
    texts = ("to_email", "to_name", "email_index", "subject", "html", "text", "error")
    return int(theirs.update(values=None, **dict.fromkeys(texts, "")))
