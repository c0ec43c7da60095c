"""Sums of the ledger, kept by PostgreSQL, and the guard that keeps the ledger as it was written.

After each statement that adds to the ledger a trigger adds the statement's own sums as new rows: by everything reports
ask for, and by day alone for whoever only needs to know what was spent. So writers never wait for one another, and what
is read is exact the moment it is committed; `compact` folds rows of one key together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django.db import connection


@dataclass(frozen=True, slots=True)
class _Sums:
    """A table of sums: what a row is about, and the columns that are added up, each as the ledger has it."""

    table: str
    key: str
    columns: dict[str, str]

    @property
    def names(self) -> str:
        return ", ".join(self.columns)

    @property
    def of_ledger(self) -> str:
        return ", ".join(self.columns.values())

    @property
    def added(self) -> str:
        return ", ".join(f"sum({name})" for name in self.columns)

    def insert(self, source: str) -> str:
        return (
            f"INSERT INTO public.{self.table} ({self.key}, {self.names})\n"
            f"  SELECT {self.key}, {self.of_ledger} FROM {source} GROUP BY {self.key}"
        )


_TALLY = _Sums(
    "billing_tally",
    "tenant_id, day, kind, leg, provider, item, unit, currency, line_id, agent_id, campaign",
    {
        "quantity": "coalesce(sum(quantity), 0)",
        "amount": "coalesce(sum(amount), 0)",
        "entries": "count(*)",
        "unknown": "sum(unknown)",
    },
)
_DAY = _Sums("billing_daytotal", "tenant_id, day, currency", {"amount": "coalesce(sum(amount), 0)"})

FUNCTION = f"""
CREATE OR REPLACE FUNCTION billing_tally_ledger() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
  {_TALLY.insert("new_rows")};
  {_DAY.insert("new_rows")};
  RETURN NULL;
END $body$;
"""
INSTALL = f"""
{FUNCTION}
CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
  RAISE EXCEPTION 'the ledger is only ever added to: a correction is another entry';
END $body$;
CREATE TRIGGER tally AFTER INSERT ON public.billing_ledgerentry REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION billing_tally_ledger();
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE ON public.billing_ledgerentry
  FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
"""
REMOVE = "DROP FUNCTION billing_tally_ledger CASCADE; DROP FUNCTION billing_refuse_change CASCADE;"
# For a ledger that has entries already: nobody writes between the sum and the trigger that keeps it.
ADD_DAY_TOTALS = f"""
LOCK TABLE public.billing_ledgerentry IN SHARE ROW EXCLUSIVE MODE;
{_DAY.insert("public.billing_tally")};
{FUNCTION}
"""


def compact() -> int:
    """Fold the sums together; return how many rows that saved. Safe beside writers, readers and itself."""
    return sum(_fold(sums) for sums in (_TALLY, _DAY))


def _fold(sums: _Sums) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH gone AS (
              DELETE FROM public.{sums.table} WHERE (tenant_id, day) IN (
                SELECT tenant_id, day FROM public.{sums.table} GROUP BY {sums.key} HAVING count(*) > 1
              ) RETURNING *
            ), kept AS (
              INSERT INTO public.{sums.table} ({sums.key}, {sums.names})
              SELECT {sums.key}, {sums.added} FROM gone GROUP BY {sums.key} RETURNING 1
            )
            SELECT (SELECT count(*) FROM gone) - (SELECT count(*) FROM kept)
            """
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def differences(*, since: date | None = None) -> list[tuple[int, date, str]]:
    """Return (tenant, day, what it is about) of sums that are not the ledger's: none, or something is broken."""
    return [
        *_differences(_TALLY, "theirs.provider || ' ' || theirs.item", since),
        *_differences(_DAY, "'the whole day in ' || theirs.currency", since),
    ]


def _differences(sums: _Sums, about: str, since: date | None) -> list[tuple[int, date, str]]:
    bound = "WHERE day >= %(since)s" if since else ""
    with connection.cursor() as cursor:
        # What one side has and the other has not, in either direction: a key with other sums is on both lists.
        cursor.execute(
            f"""
            WITH ledger AS (
              SELECT {sums.key}, {sums.of_ledger} FROM public.billing_ledgerentry {bound} GROUP BY {sums.key}
            ), kept AS (
              SELECT {sums.key}, {sums.added} FROM public.{sums.table} {bound} GROUP BY {sums.key}
            )
            SELECT DISTINCT tenant_id, day, {about} FROM (
              (TABLE ledger EXCEPT TABLE kept) UNION ALL (TABLE kept EXCEPT TABLE ledger)
            ) theirs ORDER BY 1, 2, 3
            """,
            {"since": since},
        )
        return [(int(row[0]), row[1], str(row[2])) for row in cursor.fetchall()]
