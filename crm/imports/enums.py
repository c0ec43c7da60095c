from __future__ import annotations

from django.db.models import TextChoices


class ImportState(TextChoices):
    UPLOADED = "uploaded", "Uploaded"
    CHECKING = "checking", "Being checked"
    ASKING = "asking", "Needs your answers"
    READY = "ready", "Ready to import"
    RUNNING = "running", "Being imported"
    DONE = "done", "Imported"
    CANCELED = "canceled", "Cancelled"
    FAILED = "failed", "Not imported"
    UNDOING = "undoing", "Being undone"
    UNDONE = "undone", "Undone"


# States in which a worker is, or should be, busy with the import.
BUSY = (ImportState.CHECKING, ImportState.RUNNING, ImportState.UNDOING)
# States in which columns and their meaning may still be changed.
OPEN = (ImportState.UPLOADED, ImportState.ASKING, ImportState.READY)


class OnDuplicate(TextChoices):
    """What happens with a row whose contact is there already."""

    SKIP = "skip", "Skip the row"
    UPDATE = "update", "Update the contact"
    CREATE = "create", "Create another contact"


class OnShared(TextChoices):
    """What happens with a row that shares a number or an address with a contact of another name."""

    CREATE = "create", "Import it as a contact of its own"
    SKIP = "skip", "Leave the row out"


class FileKind(TextChoices):
    CSV = "csv", "CSV"
    XLSX = "xlsx", "XLSX"


class Outcome(TextChoices):
    """What becomes of one row. The values are names of counters of ContactImport."""

    CREATED = "created", "New"
    UPDATED = "updated", "Changed"
    UNCHANGED = "unchanged", "Unchanged"
    SKIPPED = "skipped", "Skipped, already there"
    DUPLICATE = "duplicates", "Duplicate in file"
    BAD = "bad", "Invalid"
