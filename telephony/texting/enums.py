from django.db.models import TextChoices


class Way(TextChoices):
    IN = "in", "Received"
    OUT = "out", "Sent"


class State(TextChoices):
    """Where a text message is. What the carrier tells comes in any order: `fates.py` ranks it."""

    WAITING = "waiting", "Waiting"
    SENDING = "sending", "Being sent"
    UNCERTAIN = "uncertain", "Perhaps sent"
    QUEUED = "queued", "With the carrier"
    SENT = "sent", "Sent"
    FAILED = "failed", "Failed"
    UNDELIVERED = "undelivered", "Not delivered"
    DELIVERED = "delivered", "Delivered"
    BLOCKED = "blocked", "Not sent"
    RECEIVED = "received", "Received"


class Author(TextChoices):
    CONTACT = "contact", "The other side"
    PERSON = "person", "A person"
    PROGRAM = "program", "A program"
    AGENT = "agent", "The agent"
    AUTOMATIC = "automatic", "Automatic"


class Keyword(TextChoices):
    """What a whole text of one such word means to carriers everywhere."""

    STOP = "stop", "Stop"
    START = "start", "Start"
    HELP = "help", "Help"


class Consent(TextChoices):
    STOP = "stop", "Wants no text messages"
    START = "start", "Takes text messages again"


class ConsentSource(TextChoices):
    TEXT = "text", "Written in a text message"
    CARRIER = "carrier", "Told by the carrier"
    PERSON = "person", "Entered by a person"


class Answering(TextChoices):
    """Whether the line's agent is to answer a message that came in."""

    NONE = "", "Not by the agent"
    WANTED = "wanted", "Waits for the agent"
    RUNNING = "running", "The agent is writing"
    DONE = "done", "Answered by the agent"
    SKIPPED = "skipped", "Left to a person"
    FAILED = "failed", "The agent could not answer"


class Stopped(TextChoices):
    """Why the agent no longer answers a conversation."""

    NONE = "", "It answers"
    PERSON = "person", "A person has answered"
    ASKED = "asked", "A person was asked for"
