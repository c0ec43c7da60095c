from django.db.models import TextChoices


class Kind(TextChoices):
    FILE = "file", "File"
    TEXT = "text", "Written here"
    QUESTIONS = "questions", "Questions and answers"


class State(TextChoices):
    WAITING = "waiting", "Waiting"
    READING = "reading", "Processing"
    READY = "ready", "Ready"  # read whole
    PARTLY = "partly", "Ready, in part"  # what was read is found; what was not, its warning says
    FAILED = "failed", "Could not be read"


class Language(TextChoices):
    """Those whose endings PostgreSQL can cut off; `simple` compares words as they are."""

    ENGLISH = "english", "English"
    GERMAN = "german", "German"
    FRENCH = "french", "French"
    SPANISH = "spanish", "Spanish"
    ITALIAN = "italian", "Italian"
    DUTCH = "dutch", "Dutch"
    PORTUGUESE = "portuguese", "Portuguese"
    DANISH = "danish", "Danish"
    SWEDISH = "swedish", "Swedish"
    NORWEGIAN = "norwegian", "Norwegian"
    FINNISH = "finnish", "Finnish"
    SIMPLE = "simple", "Another"
