"""Values a column holds, to choose from: read off an index one by one, whatever the number of contacts."""

from __future__ import annotations

from django.db import connection

# Column, as its index has it.
_COLUMNS = {"source": "source", "city": "lower(city)", "state": "lower(state)"}
COLUMNS = frozenset(_COLUMNS)
LIMIT = 30


def distinct_values(column: str, prefix: str = "", limit: int = LIMIT) -> list[str]:
    """Return the first values of a column that begin with `prefix`, each by one step down the index."""
    expression = _COLUMNS[column]
    low = prefix.lower() if expression != column else prefix
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH RECURSIVE found AS (
              (SELECT {expression} AS value FROM crm_contact
               WHERE deleted_at IS NULL AND {expression} > '' AND {expression} >= %(low)s ORDER BY 1 LIMIT 1)
              UNION ALL
              SELECT (SELECT {expression} FROM crm_contact WHERE deleted_at IS NULL AND {expression} > found.value
                      ORDER BY 1 LIMIT 1) FROM found WHERE starts_with(found.value, %(low)s)
            )
            SELECT value FROM found WHERE value IS NOT NULL AND starts_with(value, %(low)s) LIMIT %(limit)s
            """,
            {"low": low, "limit": limit},
        )
        found = [row[0] for row in cursor.fetchall()]
    return [value.title() if expression != column else value for value in found]
