"""Conversations by text message, what was said in them, and who wants none."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from crm.phones import is_e164
from telephony.texting.enums import Answering, Author, Consent, ConsentSource, State, Stopped, Way
from telephony.twilio.texterrors import explain
from thanos.encryption import EncryptedTextField, blind_index, blind_indexes

NEVER_SENT = (State.WAITING, State.BLOCKED)


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def with_number(self, number: str) -> ConversationQuerySet:
        return self.filter(other_index__in=blind_indexes(number))

    def unread(self) -> ConversationQuerySet:
        return self.filter(is_unread=True)


class Conversation(models.Model):
    """Everything between one of our numbers and one other, which is a number, or a word or short code that only sends."""

    own_number = models.CharField(max_length=16)
    other = EncryptedTextField()
    other_index = models.CharField(max_length=32, editable=False)
    contact = models.ForeignKey("crm.Contact", models.SET_NULL, null=True, blank=True, related_name="text_conversations")
    is_unread = models.BooleanField(default=False)
    last_message = models.ForeignKey("Message", models.SET_NULL, null=True, editable=False, related_name="+")
    last_at = models.DateTimeField(default=timezone.now)
    agent_stopped = models.CharField(max_length=10, choices=Stopped, blank=True, default=Stopped.NONE)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[Any] = ConversationQuerySet.as_manager()

    class Meta:
        ordering = ["-is_unread", "-last_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["own_number", "other_index"], name="text_conversation_once")]
        indexes = [
            models.Index(fields=["-is_unread", "-last_at", "-id"], name="text_conversation_order"),
            models.Index(fields=["other_index"], name="text_conversation_other"),
            models.Index(fields=["id"], name="text_conversation_unread", condition=Q(is_unread=True)),
        ]

    def __str__(self) -> str:
        return f"Text conversation {self.pk}"

    def get_absolute_url(self) -> str:
        # A webhook comes in on the public host, whose addresses are others.
        return reverse("texting:thread", urlconf=settings.ROOT_URLCONF, args=[self.pk])

    @property
    def can_be_answered(self) -> bool:
        """Tell whether the other side is a number; words and short codes only send."""
        return is_e164(self.other)


class Message(models.Model):
    """One text message. The row comes first: one that may have been sent is not sent again."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)  # in the address of its callbacks
    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages")
    way = models.CharField(max_length=3, choices=Way)
    author = models.CharField(max_length=10, choices=Author)
    # Users live in the public schema, where a cascade could not see this table: whoever is gone shows as nobody.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, blank=True, db_constraint=False, related_name="+"
    )
    call = models.ForeignKey("telephony.Call", models.SET_NULL, null=True, blank=True, related_name="texts")
    key = models.CharField(max_length=100, null=True, unique=True)  # the same order twice is one message
    text = EncryptedTextField(blank=True)
    media = models.JSONField(default=list, blank=True)  # types only, such as "image/jpeg": nothing is fetched
    state = models.CharField(max_length=12, choices=State)
    error_code = models.PositiveIntegerField(null=True, blank=True)  # the carrier's
    refusal = models.CharField(max_length=30, blank=True)  # why it was not sent: a code for programs
    why = models.CharField(max_length=300, blank=True)  # and a sentence for people
    message_sid = models.CharField(max_length=64, blank=True)
    segments = models.PositiveSmallIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    claimed_at = models.DateTimeField(null=True, editable=False)  # when the carrier was asked to send it
    changed_at = models.DateTimeField(default=timezone.now, editable=False)  # when its state changed last
    logged_at = models.DateTimeField(null=True, editable=False)  # on the contact's timeline
    answering = models.CharField(max_length=10, choices=Answering, blank=True, default=Answering.NONE)
    answer_until = models.DateTimeField(null=True, editable=False)
    answer_attempts = models.PositiveSmallIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["message_sid"], condition=~Q(message_sid=""), name="text_sid_once")]
        indexes = [
            models.Index(fields=["claimed_at"], name="text_claimed", condition=Q(way=Way.OUT, claimed_at__isnull=False)),
            models.Index(fields=["id"], name="text_open", condition=Q(state__in=[State.WAITING, State.SENDING])),
            models.Index(fields=["created_at"], name="text_unlogged", condition=Q(logged_at=None)),
            models.Index(
                fields=["id"],
                name="text_unanswered",
                condition=Q(answering__in=[Answering.WANTED, Answering.RUNNING]),
            ),
        ]

    def __str__(self) -> str:
        return f"Text message {self.pk}"

    @property
    def is_in(self) -> bool:
        return self.way == Way.IN

    @property
    def problem(self) -> str:
        """Return why it did not arrive, for people; empty while nothing is wrong, or nobody says what."""
        return self.why or explain(self.error_code)

    @property
    def pictures(self) -> str:
        """Name what came with it, such as “2 pictures, 1 file”."""
        counts: dict[str, int] = {}
        for kind in self.media:
            word = {"image": "picture", "audio": "sound", "video": "video"}.get(str(kind).split("/", 1)[0], "file")
            counts[word] = counts.get(word, 0) + 1
        return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts.items())


class ConsentEvent(models.Model):
    """Somebody asked for no text messages, or for them again. Rows are only added; the newest counts.

    When a person is erased the number and the words go, and the index stays: the wish outlives what we knew of them, for
    as long as the key it was made with is among the configured ones.
    """

    number = EncryptedTextField(blank=True)
    number_index = models.CharField(max_length=32)
    consent = models.CharField(max_length=10, choices=Consent)
    source = models.CharField(max_length=10, choices=ConsentSource)
    words = EncryptedTextField(blank=True)
    own_number = models.CharField(max_length=16, blank=True)
    message = models.ForeignKey(Message, models.SET_NULL, null=True, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["number_index", "-id"], name="text_consent_number")]
        constraints = [
            models.UniqueConstraint(fields=["message"], condition=Q(message__isnull=False), name="text_consent_once")
        ]

    def __str__(self) -> str:
        return f"{self.get_consent_display()} ({self.get_source_display()})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.number:
            self.number_index = blind_index(self.number)
        super().save(*args, **kwargs)


COUNTRY = RegexValidator(r"^[A-Z]{2}$", "Two capital letters, such as US or DE.")
_LIMIT = [MinValueValidator(0), MaxValueValidator(100_000)]


class TextingSettings(models.Model):
    """What an organization decides about its text messages: one row, from data/defaults.json."""

    per_call = models.PositiveIntegerField("texts in one call", validators=_LIMIT)
    per_number_day = models.PositiveIntegerField("texts to one number in 24 hours", validators=_LIMIT)
    per_hour = models.PositiveIntegerField("texts in an hour", validators=_LIMIT)
    per_day = models.PositiveIntegerField("texts in 24 hours", validators=_LIMIT)
    countries = ArrayField(
        models.CharField(max_length=2, validators=[COUNTRY]),
        default=list,
        blank=True,
        help_text="Countries texts may go to, such as US, CA. Empty: the countries of your own numbers.",
    )
    stop_words = ArrayField(models.CharField(max_length=40), help_text="A text that is one of these ends text messages.")
    start_words = ArrayField(models.CharField(max_length=40), help_text="One of these takes that back.")
    help_words = ArrayField(models.CharField(max_length=40), help_text="One of these asks for help.")
    stop_text = models.TextField(
        "answer to STOP", blank=True, max_length=320, help_text="Sent where the carrier does not answer by itself."
    )
    start_text = models.TextField("answer to START", blank=True, max_length=320)
    help_text = models.TextField("answer to HELP", blank=True, max_length=320)
    agent_lines = models.ManyToManyField(
        "telephony.Line",
        blank=True,
        related_name="+",
        verbose_name="lines whose agent answers texts",
        help_text="On other lines people answer.",
    )
    answers_per_hour = models.PositiveSmallIntegerField("answers of the agent in an hour", validators=_LIMIT[:1])
    answers_per_day = models.PositiveSmallIntegerField("answers of the agent in 24 hours", validators=_LIMIT[:1])
    agent_note = models.TextField("told to the agent", help_text="How to write text messages.")
    handover_text = models.TextField(
        "said when a person takes over", blank=True, max_length=320, help_text="Empty: nothing is said."
    )

    class Meta:
        verbose_name_plural = "texting settings"

    def __str__(self) -> str:
        return "Texting settings"
