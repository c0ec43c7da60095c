from django.db.models import TextChoices


class Stage(TextChoices):
    """Where a collaboration is: the states of `machine`."""

    IDLE = "idle", "Idle"
    DETECTING_COMPLEXITY = "detecting-complexity", "Judging how hard the question is"
    REQUESTING_CONSENT = "requesting-consent", "Asking for consent"
    AWAITING_CONSENT = "awaiting-consent", "Waiting for consent"
    COLLABORATING = "collaborating", "Specialists are working"
    RESUMING = "resuming", "Going on"
    COMPLETED = "completed", "Completed"


class Trigger(TextChoices):
    CALLER = "caller", "The caller asked for a specialist"
    AGENT = "agent", "The agent asked"
    COMPLEXITY = "complexity", "The question is hard"


class Outcome(TextChoices):
    ANSWERED = "answered", "Answered"
    DECLINED = "declined", "The caller said no"
    UNANSWERED = "unanswered", "The caller said nothing"
    NOT_ASKED = "not-asked", "The caller could not be asked"
    FAILED = "failed", "No specialist could help"
    TOO_SLOW = "too-slow", "The specialists took too long"
    WITHDRAWN = "withdrawn", "The caller changed their mind"
    HUNG_UP = "hung-up", "The call ended"
    INTERRUPTED = "interrupted", "Interrupted by a fault of ours"
