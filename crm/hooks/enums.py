from __future__ import annotations

from django.db.models import TextChoices


class Event(TextChoices):
    """What happens in an organisation and may be told to other programs."""

    CONTACT_CREATED = "contact.created", "Contact created"
    CONTACT_CHANGED = "contact.changed", "Contact changed"
    CONTACT_MERGED = "contact.merged", "Contacts merged"
    CONTACT_DELETED = "contact.deleted", "Contact deleted"
    INTERACTION_ADDED = "interaction.added", "Interaction added"
    CALL_STARTED = "call.started", "Call started"
    CALL_FINISHED = "call.finished", "Call finished"
    MAILING_FINISHED = "mailing.finished", "E-mail to many finished"
    EMAIL_BOUNCED = "email.bounced", "E-mail bounced"
    EMAIL_UNSUBSCRIBED = "email.unsubscribed", "Recipient unsubscribed"
    EMAIL_REPLIED = "email.replied", "Recipient replied"
    BUDGET_REACHED = "budget.reached", "Budget reached a level"
    IMPORT_FINISHED = "import.finished", "Import finished"
    TEST = "webhook.test", "Test"  # sent by the button on the page; nobody subscribes to it


SUBSCRIBABLE = tuple(event for event in Event if event != Event.TEST)


class DeliveryState(TextChoices):
    PENDING = "pending", "Waiting"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"
    ABANDONED = "abandoned", "Not sent"


class Problem(TextChoices):
    """Why an attempt failed, in one word; the label is what the page says."""

    NONE = "", "None"
    BAD_URL = "bad-url", "The address is not usable"
    UNKNOWN_HOST = "unknown-host", "The host name could not be found"
    FORBIDDEN_ADDRESS = "forbidden-address", "The host is at an address that is not on the public internet"
    CONNECTION = "connection", "No connection, or it broke off"
    CERTIFICATE = "certificate", "The certificate could not be verified"
    TLS = "tls", "No encrypted connection could be made"
    TIMEOUT = "timeout", "No answer in time"
    PROTOCOL = "protocol", "The answer was not HTTP"
    REDIRECT = "redirect", "A redirect, which is not followed"
    STATUS = "status", "The answer was not a success"
    GONE = "gone", "The receiver said that it is gone for good"
    INTERRUPTED = "interrupted", "Our worker was stopped before the answer came"
    SWITCHED_OFF = "switched-off", "The webhook was switched off"


class PauseReason(TextChoices):
    NONE = "", "Not paused"
    BY_HAND = "by-hand", "Somebody paused it"
    FAILING = "failing", "The receiver has failed for days"
    GONE = "gone", "The receiver said that it is gone for good (410)"
