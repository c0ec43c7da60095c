from __future__ import annotations

from django.db.models import IntegerChoices, TextChoices


class Leg(TextChoices):
    """What part of the work a figure stands for: a call's cost is split by these."""

    CARRIER = "carrier", "Carrier"
    AGENT = "agent", "Voice agent"
    LISTENING = "listening", "Speech to text"
    THINKING = "thinking", "Language model"
    SPEAKING = "speaking", "Text to speech"
    MESSAGING = "messaging", "Text messages"
    EMAIL = "email", "E-mail"
    STORAGE = "storage", "Storage"


class Kind(TextChoices):
    """What was used for: the thing that `subject` names."""

    CALL = "call", "Calls"
    TEXT = "text", "Text messages"
    CHAT = "chat", "Chat"
    TRIAL = "trial", "Trials"
    KNOWLEDGE = "knowledge", "Knowledge"
    EMAIL = "email", "E-mail"
    STORAGE = "storage", "Storage"
    OTHER = "other", "Other"


class Unit(TextChoices):
    MINUTE = "minute", "minute"
    TOKEN = "token", "token"
    CHARACTER = "character", "character"
    SEGMENT = "segment", "segment"
    MESSAGE = "message", "message"
    GIGABYTE_DAY = "gigabyte-day", "gigabyte and day"


class Source(TextChoices):
    """Who says how much it was."""

    CARRIER = "carrier", "The carrier's record"
    PROVIDER = "provider", "The provider's answer"
    MEASURED = "measured", "Measured here"
    COUNTED = "counted", "Counted here"
    CORRECTION = "correction", "Correction"


class Period(TextChoices):
    CALL = "call", "One call"
    DAY = "day", "Day"
    WEEK = "week", "Week"
    MONTH = "month", "Month"


class Level(IntegerChoices):
    """How far a budget is used up. From CRITICAL on nothing new begins; at EMERGENCY what runs is ended."""

    NONE = 0, "Within the budget"
    INFO = 1, "Info"
    WARNING = 2, "Warning"
    CRITICAL = 3, "Critical"
    EMERGENCY = 4, "Emergency"


class AccountStatus(TextChoices):
    """A subscription as Stripe calls its states, and our own for whoever never had one."""

    NONE = "", "No subscription"
    TRIALING = "trialing", "Trial"
    ACTIVE = "active", "Active"
    PAST_DUE = "past_due", "Payment overdue"
    UNPAID = "unpaid", "Unpaid"
    CANCELED = "canceled", "Cancelled"
    INCOMPLETE = "incomplete", "First payment open"
    INCOMPLETE_EXPIRED = "incomplete_expired", "First payment never came"
    PAUSED = "paused", "Paused"


class MeterState(TextChoices):
    WAITING = "waiting", "To be reported"
    SENT = "sent", "Reported"
    REFUSED = "refused", "Refused by Stripe"
    TAKEN_BACK = "taken-back", "Taken back by a correction"


class EventState(TextChoices):
    WAITING = "waiting", "To be applied"
    DONE = "done", "Applied"
    IGNORED = "ignored", "Of a kind that changes nothing here"
    FAILED = "failed", "Could not be applied"
