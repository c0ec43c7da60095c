"""The ledger as CSV, a line at a time, however long it is."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from django.db.models import QuerySet

from billing.models import LedgerEntry

_COLUMNS = (
    "at", "kind", "subject", "leg", "provider", "item", "unit", "quantity", "amount", "currency", "source", "key",
)  # fmt: skip


class _Echo:
    """A file that hands back what is written to it: a csv.writer writes lines, and a response wants to yield them."""

    def write(self, text: str) -> str:
        return text


def lines_of(rows: QuerySet[LedgerEntry]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(_COLUMNS)
    for entry in rows.iterator(chunk_size=2_000):
        values = [getattr(entry, name) for name in _COLUMNS]
        values[0] = entry.at.isoformat()
        yield writer.writerow(["" if value is None else value for value in values])
