from django.db.models import TextChoices


class Author(TextChoices):
    USER = "user", "You"
    ASSISTANT = "assistant", "Agent"


class State(TextChoices):
    DONE = "done", "Done"
    WAITING = "waiting", "Waiting"
    ANSWERING = "answering", "Being written"
    STOPPED = "stopped", "Stopped"
    FAILED = "failed", "Failed"


UNFINISHED = (State.WAITING, State.ANSWERING)


class ChosenBy(TextChoices):
    MODERATOR = "moderator", "Chosen for each question"
    HAND = "hand", "Chosen by hand"
