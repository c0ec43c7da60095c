from django.db.models import TextChoices


class MailingState(TextChoices):
    """One e-mail to many.

    draft ──▶ scheduled ──▶ preparing ──▶ sending ──▶ done
                  └──── canceled ◀── paused ◀──┘        failed: could not even be prepared
    """

    DRAFT = "draft", "Draft"
    SCHEDULED = "scheduled", "Scheduled"
    PREPARING = "preparing", "Being prepared"
    SENDING = "sending", "Being sent"
    PAUSED = "paused", "Paused"
    DONE = "done", "Sent"
    CANCELED = "canceled", "Cancelled"
    FAILED = "failed", "Failed"


class SendWhen(TextChoices):
    NOW = "now", "Now"
    AT = "at", "At a time"
    MORNING = "morning", "In each recipient's morning"


class PauseReason(TextChoices):
    PERSON = "person", "Paused by a person"
    REFUSED = "refused", "The provider refuses our messages"
    NO_PROVIDER = "no-provider", "No way of sending is configured"
    BOUNCES = "bounces", "Too many addresses do not exist"
    TEMPLATE = "template", "The template cannot be rendered"


class MessageState(TextChoices):
    """What became of one message, as far as is known. Opens, clicks and complaints are facts beside it."""

    QUEUED = "queued", "Waiting"
    CLAIMED = "claimed", "Being sent"
    SENT = "sent", "Handed over"  # accepted by the provider, or the SMTP server
    UNKNOWN = "unknown", "Unknown"  # the provider's answer never came: events tell
    DEFERRED = "deferred", "Delayed"
    DELIVERED = "delivered", "Delivered"
    BOUNCED = "bounced", "Bounced"
    BLOCKED = "blocked", "Refused for now"
    DROPPED = "dropped", "Not sent by the provider"
    FAILED = "failed", "Failed"  # refused at once, for a reason in the message itself
    SKIPPED = "skipped", "Left out"
    CANCELED = "canceled", "Cancelled"


# Before the provider has it.
OPEN_STATES = (MessageState.QUEUED, MessageState.CLAIMED)
# The provider has it, or may have it.
HANDED_OVER = (
    MessageState.SENT,
    MessageState.UNKNOWN,
    MessageState.DEFERRED,
    MessageState.DELIVERED,
    MessageState.BOUNCED,
    MessageState.BLOCKED,
    MessageState.DROPPED,
)


class SkipReason(TextChoices):
    """Why a contact does not receive a message."""

    NO_ADDRESS = "no-address", "No e-mail address"
    INVALID_ADDRESS = "invalid-address", "Not a valid address"
    DO_NOT_MAIL = "do-not-mail", "Does not want mail"
    UNSUBSCRIBED = "unsubscribed", "Unsubscribed"
    BOUNCED = "bounced", "Bounced before"
    SPAM = "spam", "Reported us as spam"
    SAME_ADDRESS = "same-address", "Same address as another contact"
    EMPTY_VALUE = "empty-value", "A value the text needs is missing"
    GONE = "gone", "Contact deleted meanwhile"


class SuppressionReason(TextChoices):
    UNSUBSCRIBED = "unsubscribed", "Unsubscribed"
    BOUNCED = "bounced", "Address does not exist"
    SPAM = "spam", "Reported us as spam"
    INVALID = "invalid", "Not a valid address"
    PERSON = "person", "Entered by a person"


class BatchState(TextChoices):
    """One request to the provider.

    claimed ──▶ asked ──▶ accepted │ refused        asked, and no answer: unknown ──▶ accepted │ released, as events show
    """

    CLAIMED = "claimed", "Claimed"
    ASKED = "asked", "On its way"
    ACCEPTED = "accepted", "Accepted"
    REFUSED = "refused", "Refused"
    UNKNOWN = "unknown", "No answer"
    RELEASED = "released", "Given back"


class EventKind(TextChoices):
    PROCESSED = "processed", "Taken by the provider"
    DEFERRED = "deferred", "Delayed"
    DELIVERED = "delivered", "Delivered"
    OPENED = "open", "Opened"
    CLICKED = "click", "Clicked"
    BOUNCED = "bounce", "Bounced"
    BLOCKED = "blocked", "Refused for now"
    DROPPED = "dropped", "Dropped"
    SPAM = "spamreport", "Reported as spam"
    UNSUBSCRIBED = "unsubscribe", "Unsubscribed"


class DomainState(TextChoices):
    REGISTERING = "registering", "Being registered"
    PENDING = "pending", "Waiting for DNS"
    VERIFIED = "verified", "Verified"
    LOST = "lost", "Verification lost"
    EXPIRED = "expired", "Not verified in time"
    REMOVING = "removing", "Being removed"


class EnrolmentState(TextChoices):
    ACTIVE = "active", "Running"
    DONE = "done", "Finished"
    REPLIED = "replied", "Stopped: replied"
    UNSUBSCRIBED = "unsubscribed", "Stopped: unsubscribed"
    STOPPED = "stopped", "Stopped by a person"
    BLOCKED = "blocked", "Stopped: cannot be written to"


class StepCondition(TextChoices):
    """What decides, once a step's wait is over, whether it is sent."""

    ALWAYS = "always", "Always"
    OPENED = "opened", "The previous e-mail was opened"
    NOT_OPENED = "not-opened", "The previous e-mail was not opened"
    CLICKED = "clicked", "A link in the previous e-mail was clicked"
    NOT_CLICKED = "not-clicked", "No link in the previous e-mail was clicked"
    REPLIED = "replied", "They have answered"
    NOT_REPLIED = "not-replied", "They have not answered"
    STATUS_CHANGED = "status-changed", "The contact's status has changed"
    STATUS_IS = "status-is", "The contact has a status"
    STATUS_IS_NOT = "status-is-not", "The contact has not a status"


class Otherwise(TextChoices):
    """What happens when a step's condition does not hold."""

    SKIP = "skip", "Go on with the next step"
    END = "end", "End the sequence"
