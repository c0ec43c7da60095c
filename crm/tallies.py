"""Running totals for the dashboard, kept by PostgreSQL.

Counting a million contacts takes longer than anybody wants to wait for a page, and totals kept by the application
would miss what a bulk statement changes. So statement triggers write the difference each statement made, as one row
for each key, and reading sums them up. Rows are only ever added, so writers never wait for one another; `compact`
folds them together now and then.
"""

from __future__ import annotations

from django.db import connection

# The table's own schema is put in when it runs: a trigger may fire under any search path.
INSTALL = """
CREATE OR REPLACE FUNCTION crm_tally_contacts() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
  added text := 'SELECT status, created_at, value, 1 AS sign FROM new_rows WHERE deleted_at IS NULL';
  removed text := 'SELECT status, created_at, value, -1 AS sign FROM old_rows WHERE deleted_at IS NULL';
  moved text;
BEGIN
  moved := CASE TG_OP WHEN 'INSERT' THEN added WHEN 'DELETE' THEN removed ELSE added || ' UNION ALL ' || removed END;
  EXECUTE format($sql$
    INSERT INTO %I.crm_tally (metric, key, bucket, count, amount)
    SELECT 'contacts', status, NULL, sum(sign), coalesce(sum(sign * value), 0) FROM (%s) moved
    GROUP BY status HAVING sum(sign) <> 0 OR coalesce(sum(sign * value), 0) <> 0
    UNION ALL
    SELECT 'created', '', date_bin(interval '15 minutes', created_at, timestamptz '2000-01-01 00:00+00'), sum(sign), 0
    FROM (%s) moved GROUP BY 3 HAVING sum(sign) <> 0
  $sql$, TG_TABLE_SCHEMA, moved, moved);
  RETURN NULL;
END $body$;

CREATE OR REPLACE FUNCTION crm_tally_interactions() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
  added text := 'SELECT *, 1 AS sign FROM new_rows';
  removed text := 'SELECT *, -1 AS sign FROM old_rows';
  moved text;
BEGIN
  moved := CASE TG_OP WHEN 'INSERT' THEN added WHEN 'DELETE' THEN removed ELSE added || ' UNION ALL ' || removed END;
  EXECUTE format($sql$
    INSERT INTO %I.crm_tally (metric, key, bucket, count, amount)
    SELECT 'interactions', kind,
           date_bin(interval '15 minutes', interaction_date, timestamptz '2000-01-01 00:00+00'), sum(sign), 0
    FROM (%s) moved GROUP BY 2, 3 HAVING sum(sign) <> 0
    UNION ALL
    SELECT 'answered', '',
           date_bin(interval '15 minutes', interaction_date, timestamptz '2000-01-01 00:00+00'), sum(sign), 0
    FROM (%s) moved WHERE kind = 'phone_call' AND metadata ->> 'answered' = 'true' GROUP BY 3 HAVING sum(sign) <> 0
  $sql$, TG_TABLE_SCHEMA, moved, moved);
  RETURN NULL;
END $body$;
""" + "".join(
    f"""
CREATE OR REPLACE TRIGGER tally_{event.lower()} AFTER {event} ON crm_{table} REFERENCING {rows}
FOR EACH STATEMENT EXECUTE FUNCTION crm_tally_{table}s();
"""
    for table in ("contact", "interaction")
    for event, rows in (
        ("INSERT", "NEW TABLE AS new_rows"),
        ("DELETE", "OLD TABLE AS old_rows"),
        ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    )
)
REMOVE = "DROP FUNCTION IF EXISTS crm_tally_contacts CASCADE; DROP FUNCTION IF EXISTS crm_tally_interactions CASCADE;"


def install() -> None:
    """Make the triggers of the entered tenant. Cloning a schema copies tables, but not this kind of trigger."""
    with connection.cursor() as cursor:
        cursor.execute(INSTALL)


def compact() -> int:
    """Fold the differences of the entered tenant together; return how many rows that saved."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH gone AS (DELETE FROM crm_tally WHERE id <= (SELECT max(id) FROM crm_tally) RETURNING *),
            kept AS (
              INSERT INTO crm_tally (metric, key, bucket, count, amount)
              SELECT metric, key, bucket, sum(count), sum(amount) FROM gone GROUP BY 1, 2, 3
              HAVING sum(count) <> 0 OR sum(amount) <> 0 RETURNING 1
            )
            SELECT (SELECT count(*) FROM gone) - (SELECT count(*) FROM kept)
            """
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0
