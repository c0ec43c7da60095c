from django.db.models import TextChoices


class VersionState(TextChoices):
    DRAFT = "draft", "Draft"
    PUBLISHED = "published", "Published"
    FORMER = "former", "Former"
