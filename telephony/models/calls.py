from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import connections, models
from django.db.models.constants import OnConflict
from django.db.models.sql import InsertQuery
from django.urls import reverse
from django.utils import timezone

from crm.phones import spellings
from telephony import happenings
from telephony.enums import (
    OPEN_STATUSES,
    CallStatus,
    Direction,
    EndedReason,
    EngineName,
    EventKind,
    Fault,
    NextStep,
    Role,
    SummaryStatus,
)
from telephony.twilio.callers import ATTESTED
from thanos.encryption import EncryptedJSONField, EncryptedTextField, blind_indexes, blind_word, words

ATTESTATION_LENGTH = 40


class CallQuerySet(models.QuerySet["Call"]):
    def insert_new(self, call: Call) -> bool:
        """Insert a call unless its SID is known, in one statement; return whether it is new."""
        query = InsertQuery(Call, on_conflict=OnConflict.IGNORE)
        query.insert_values(Call._meta.concrete_fields, [call])
        ((sql, params),) = query.get_compiler(self.db).as_sql()
        with connections[self.db].cursor() as cursor:
            cursor.execute(sql, params)
            return bool(cursor.rowcount == 1)

    def open(self) -> CallQuerySet:
        return self.filter(status__in=OPEN_STATUSES)

    def with_number(self, number: str) -> CallQuerySet:
        """Calls from or to a number in E.164 form, however the network spells it; or from a SIP address."""
        indexes = [index for spelling in spellings(number) for index in blind_indexes(spelling)]
        return self.filter(models.Q(from_index__in=indexes) | models.Q(to_index__in=indexes))

    def with_words(self, text: str) -> CallQuerySet:
        """Calls in which every word of `text` was said, by whole words (what was said is encrypted)."""
        wanted = words(text)
        if text.strip() and not wanted:  # only marks and signs: nobody said those
            return self.none()
        queryset = self
        for word in wanted:
            said = CallMessage.objects.filter(call=models.OuterRef("pk"), words__overlap=blind_word(word))
            queryset = queryset.filter(models.Exists(said))
        return queryset


class Call(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    call_sid = models.CharField(max_length=64, unique=True)
    account_sid = models.CharField(max_length=64, blank=True)
    direction = models.CharField(max_length=10, choices=Direction, default=Direction.INBOUND)
    line = models.ForeignKey("telephony.Line", models.SET_NULL, null=True, related_name="calls")
    engine = models.CharField(max_length=30, choices=EngineName, default=EngineName.VOICE_AGENT)
    # Which version of which agent answers; None for a line that is its own agent. Both live in the public schema.
    agent = models.ForeignKey("agents.Agent", models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    agent_version = models.ForeignKey(
        "agents.AgentVersion", models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )
    from_number = EncryptedTextField(blank=True)
    from_index = models.CharField(max_length=32, blank=True, db_index=True)
    # As the carrier wrote it, such as a SIP address, where that is not the number; and what it says of the number's truth.
    from_raw = EncryptedTextField(blank=True)
    attestation = models.CharField(max_length=ATTESTATION_LENGTH, blank=True)
    to_number = EncryptedTextField(blank=True)
    to_index = models.CharField(max_length=32, blank=True, db_index=True)

    status = models.CharField(max_length=12, choices=CallStatus, default=CallStatus.RINGING)
    started_at = models.DateTimeField(default=timezone.now)
    answered_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    duration_s = models.PositiveIntegerField(null=True)
    duration_is_measured = models.BooleanField(default=False)  # by the carrier; otherwise from our own evidence
    ended_reason = models.CharField(max_length=30, choices=EndedReason, blank=True)

    # The media stream: one fresh token per stream, spent by the first socket that shows it.
    token_hash = models.CharField(max_length=64, blank=True)
    token_expires_at = models.DateTimeField(null=True)
    stream_count = models.PositiveSmallIntegerField(default=0)
    resume_count = models.PositiveSmallIntegerField(default=0)
    stream_sid = models.CharField(max_length=64, blank=True)
    stream_ended_at = models.DateTimeField(null=True)
    # Why the stream was ended on purpose, and what the carrier is to do next.
    next_step = models.CharField(max_length=12, choices=NextStep, blank=True)
    next_number = EncryptedTextField(blank=True)
    # What the person who is rung is told of the call, and when they said that they take it.
    briefing = EncryptedTextField(blank=True)
    transfer_taken_at = models.DateTimeField(null=True)
    # Told to the agent that takes the call up again, such as that nobody took the transfer.
    agent_note = models.TextField(blank=True)
    closing_reason = models.CharField(max_length=30, choices=EndedReason, blank=True)

    contact = models.ForeignKey("crm.Contact", models.SET_NULL, null=True, related_name="calls")
    logged_at = models.DateTimeField(null=True)  # when it was put on the contact's timeline

    # Which tier of voice and model it was given, and why; and when its cost was written to the ledger.
    tier = models.CharField(max_length=10, blank=True)
    tier_reason = models.CharField(max_length=120, blank=True)
    metered_at = models.DateTimeField(null=True)
    reconciled_at = models.DateTimeField(null=True)  # with the carrier's own price

    summary = EncryptedTextField(blank=True)
    summary_status = models.CharField(max_length=16, choices=SummaryStatus, blank=True)
    summary_tried_at = models.DateTimeField(null=True)

    erased_at = models.DateTimeField(null=True)  # what is left is a shell without personal data

    objects: ClassVar[Any] = CallQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at", "-id"]
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="call_newest"),
            models.Index(fields=["status"], condition=models.Q(status__in=OPEN_STATUSES), name="call_open"),
            models.Index(fields=["agent", "-started_at"], name="call_agent"),
            models.Index(
                fields=["ended_at"], condition=models.Q(summary_status=SummaryStatus.PENDING), name="call_unsummarised"
            ),
            models.Index(
                fields=["ended_at"],
                condition=models.Q(logged_at=None, ended_at__isnull=False) & ~models.Q(direction=Direction.BROWSER),
                name="call_unlogged",
            ),
            models.Index(
                fields=["ended_at"], condition=models.Q(metered_at=None, ended_at__isnull=False), name="call_unmetered"
            ),
            models.Index(
                fields=["ended_at"],
                condition=models.Q(reconciled_at=None, ended_at__isnull=False),
                name="call_unreconciled",
            ),
        ]

    def __str__(self) -> str:
        return f"Call {self.call_sid}"

    def get_absolute_url(self) -> str:
        return reverse("telephony:call-detail", args=[self.pk])

    @property
    def is_attested(self) -> bool:
        """Tell whether the calling network vouches for the caller's number; otherwise anybody may have sent it."""
        return self.attestation == ATTESTED

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def fault(self) -> Fault | None:
        return EndedReason(self.ended_reason).fault if self.ended_reason else None

    @property
    def length(self) -> timedelta | None:
        return None if self.duration_s is None else timedelta(seconds=self.duration_s)

    @property
    def live_group(self) -> str:
        return live_group(self.pk)

    @property
    def control_group(self) -> str:
        return control_group(self.pk)


def live_group(call_id: object) -> str:
    """The channel-layer group that hears what happens in a call."""
    return f"call-live.{call_id}"


def control_group(call_id: object) -> str:
    """The channel-layer group in which the worker that holds the call listens for commands."""
    return f"call-control.{call_id}"


class CallMessage(models.Model):
    """One utterance. `sequence` is shared with the events, and unique in its call."""

    call = models.ForeignKey(Call, models.CASCADE, related_name="messages")
    sequence = models.PositiveIntegerField()
    role = models.CharField(max_length=10, choices=Role)
    text = EncryptedTextField()
    words = ArrayField(models.CharField(max_length=12), default=list, editable=False)
    spoken_at = models.DateTimeField()
    # Milliseconds by component, as the provider reports them: total, listen, think, speak. Absent: not reported.
    latency = models.JSONField(null=True)
    # How much of it the caller heard before they interrupted, from 0 to 1, by estimate. Null: nobody interrupted it.
    heard_share = models.FloatField(null=True)

    class Meta:
        ordering = ["sequence"]
        constraints = [models.UniqueConstraint(fields=["call", "sequence"], name="message_sequence")]
        indexes = [GinIndex(fields=["words"], name="message_words")]

    def __str__(self) -> str:
        return f"{self.role} {self.sequence}"

    @property
    def heard_text(self) -> str:
        """The words that the caller heard, all of them where nobody interrupted."""
        return split_heard(self.text, self.heard_share)[0]

    @property
    def unheard_text(self) -> str:
        return split_heard(self.text, self.heard_share)[1]


def split_heard(text: str, share: float | None) -> tuple[str, str]:
    """Return the part of a text that was heard, whole words only, and the rest."""
    if share is None:
        return text, ""
    cut = round(len(text) * share)
    if cut < len(text) and (blank := text.rfind(" ", 0, cut + 1)) >= 0:
        cut = blank  # a word broken off was not heard
    elif cut < len(text) and " " in text:
        cut = 0
    return text[:cut].rstrip(" "), text[cut:].lstrip(" ")


class CallEvent(models.Model):
    call = models.ForeignKey(Call, models.CASCADE, related_name="events")
    sequence = models.PositiveIntegerField()
    kind = models.CharField(max_length=20, choices=EventKind)
    at = models.DateTimeField()
    detail = EncryptedJSONField(null=True)

    class Meta:
        ordering = ["sequence"]
        constraints = [models.UniqueConstraint(fields=["call", "sequence"], name="event_sequence")]

    def __str__(self) -> str:
        return f"{self.kind} {self.sequence}"

    @property
    def facts(self) -> list[tuple[str, Any]]:
        return happenings.facts(self.detail)

    @property
    def technical(self) -> list[tuple[str, Any]]:
        return happenings.technical(self.detail)
