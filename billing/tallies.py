"""Sums of the ledger, kept by PostgreSQL, and the guard that keeps the ledger as it was written.

After each statement that adds to the ledger a trigger adds the statement's own sums as new rows. So writers never wait
for one another, and what is read is exact the moment it is committed; `compact` folds rows of one key together.
"""

from __future__ import annotations

from datetime import date

from django.db import connection

_KEY = "tenant_id, day, kind, leg, provider, item, unit, currency, line_id, agent_id, campaign"
_COLUMNS = f"{_KEY}, quantity, amount, entries, unknown"

INSTALL = f"""
CREATE FUNCTION billing_tally_ledger() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
  INSERT INTO public.billing_tally ({_COLUMNS})
  SELECT {_KEY}, coalesce(sum(quantity), 0), coalesce(sum(amount), 0), count(*), sum(unknown)
  FROM new_rows GROUP BY {_KEY};
  RETURN NULL;
END $body$;
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


def compact() -> int:
    """Fold the sums together; return how many rows that saved. Safe beside writers, readers and itself."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH gone AS (
              DELETE FROM public.billing_tally WHERE (tenant_id, day) IN (
                SELECT tenant_id, day FROM public.billing_tally GROUP BY tenant_id, day, kind, leg, provider, item, unit,
                currency, line_id, agent_id, campaign HAVING count(*) > 1
              ) RETURNING *
            ), kept AS (
              INSERT INTO public.billing_tally ({_COLUMNS})
              SELECT {_KEY}, sum(quantity), sum(amount), sum(entries), sum(unknown) FROM gone GROUP BY {_KEY} RETURNING 1
            )
            SELECT (SELECT count(*) FROM gone) - (SELECT count(*) FROM kept)
            """
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def differences(*, since: date | None = None) -> list[tuple[int, date, str, str]]:
    """Return (tenant, day, provider, item) whose sums are not the ledger's: none, or something is broken."""
    bound = "WHERE day >= %(since)s" if since else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT tenant_id, day, provider, item FROM (
              SELECT {_KEY}, coalesce(sum(quantity), 0) q, coalesce(sum(amount), 0) a, count(*) n, sum(unknown) u
              FROM public.billing_ledgerentry {bound} GROUP BY {_KEY}
            ) ledger FULL JOIN (
              SELECT {_KEY}, sum(quantity) q, sum(amount) a, sum(entries) n, sum(unknown) u
              FROM public.billing_tally {bound} GROUP BY {_KEY}
            ) tally USING (tenant_id, day, kind, leg, provider, item, unit, currency, campaign)
            WHERE ledger.line_id IS NOT DISTINCT FROM tally.line_id AND ledger.agent_id IS NOT DISTINCT FROM tally.agent_id
              AND (ledger.q, ledger.a, ledger.n, ledger.u) IS DISTINCT FROM (tally.q, tally.a, tally.n, tally.u)
            """,
            {"since": since},
        )
        return [(int(row[0]), row[1], str(row[2]), str(row[3])) for row in cursor.fetchall()]
