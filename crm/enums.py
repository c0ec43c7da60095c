from django.db.models import TextChoices


class Status(TextChoices):
    """Where a contact stands. How each is called, coloured and weighed is the tenant's (models.ContactStatus)."""

    LEAD = "lead", "Lead"
    PROSPECT = "prospect", "Prospect"
    QUALIFIED = "qualified", "Qualified"
    CUSTOMER = "customer", "Customer"
    CLOSED_WON = "closed_won", "Closed, won"
    CLOSED_LOST = "closed_lost", "Closed, lost"


class Colour(TextChoices):
    """Names of colour pairs in static/css/tokens.css."""

    GREY = "grey", "Grey"
    BLUE = "blue", "Blue"
    VIOLET = "violet", "Violet"
    GREEN = "green", "Green"
    AMBER = "amber", "Amber"
    RED = "red", "Red"


class InteractionKind(TextChoices):
    PHONE_CALL = "phone_call", "Phone call"
    EMAIL = "email", "E-mail"
    SMS = "sms", "Text message"
    MEETING = "meeting", "Meeting"
    NOTE = "note", "Note"
    TASK = "task", "Task"
    FOLLOW_UP = "follow_up", "Follow-up"


TASK_KINDS = (InteractionKind.TASK, InteractionKind.FOLLOW_UP)
# What counts as having been in touch: a note or a plan is not.
TOUCH_KINDS = (InteractionKind.PHONE_CALL, InteractionKind.EMAIL, InteractionKind.SMS, InteractionKind.MEETING)


class FieldType(TextChoices):
    TEXT = "text", "Text"
    LONG_TEXT = "long_text", "Long text"
    NUMBER = "number", "Number"
    MONEY = "money", "Money"
    DATE = "date", "Date"
    DATE_TIME = "date_time", "Date and time"
    EMAIL = "email", "E-mail address"
    PHONE = "phone", "Phone number"
    URL = "url", "Web address"
    SELECT = "select", "One of several"
    MULTI_SELECT = "multi_select", "Several of several"
    BOOLEAN = "boolean", "Yes or no"


class JobKind(TextChoices):
    SET_STATUS = "set-status", "Change status"
    SET_OWNER = "set-owner", "Change owner"
    ADD_TAGS = "add-tags", "Add tags"
    REMOVE_TAGS = "remove-tags", "Remove tags"
    DELETE = "delete", "Delete"


class JobState(TextChoices):
    QUEUED = "queued", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    CANCELED = "canceled", "Cancelled"
    FAILED = "failed", "Failed"
    UNDOING = "undoing", "Being undone"
    UNDONE = "undone", "Undone"


class RuleKind(TextChoices):
    """What a scoring rule looks at."""

    FIELD_FILLED = "field-filled", "A field is filled in"
    FIELD_IS = "field-is", "A field has a value"
    TAGGED = "tagged", "Has a tag"
    CALLS_ANSWERED = "calls-answered", "Calls answered"
    ACTIVITY = "activity", "Interactions of a kind"
    EMAIL_ENGAGED = "email-engaged", "Opened or clicked an e-mail"
    QUIET = "quiet", "No contact for some days"
    DO_NOT_CONTACT = "do-not-contact", "Does not want to be contacted"


class FactSource(TextChoices):
    """Where a do-not-contact fact comes from."""

    CALL = "call", "Said in a call"
    PERSON = "person", "Entered by a person"
    IMPORT = "import", "Came with an import"
    API = "api", "Came through the API"
    EMAIL = "email", "Unsubscribed from e-mail"
    MERGE = "merge", "Came with a merged contact"
