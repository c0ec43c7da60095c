from __future__ import annotations


class FileError(ValueError):
    """The file cannot be read; the text says why, and what would help, for the person who sent it."""


class ImportStateError(ValueError):
    """That cannot be done with the import as it is now; the text says why."""
