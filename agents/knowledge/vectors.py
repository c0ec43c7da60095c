"""Passages' vectors, where the server has pgvector. Their length is the model's: one table takes them all.

Exact search, no index of neighbours: over ten thousand passages it takes a few milliseconds, misses nothing, and needs
no index to be built when the model changes.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache

from django.db import connection

TABLE = "agents_knowledge_vector"
SPARE = 3  # times as many as wanted are looked at, since some are of documents that are not used
# Run by the migration, inside the tenant's schema. Without pgvector there is no table, and words alone find passages.
CREATE = f"""
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
        CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
        CREATE TABLE {TABLE} (
            passage_id bigint PRIMARY KEY REFERENCES agents_knowledge_passage (id) ON DELETE CASCADE,
            kind integer NOT NULL,
            embedding public.halfvec NOT NULL
        );
        -- In the row itself: fetched from beside it, ten thousand of them take ten times as long.
        ALTER TABLE {TABLE} ALTER COLUMN embedding SET STORAGE PLAIN;
    END IF;
END $$
"""
DROP = f"DROP TABLE IF EXISTS {TABLE}"


@lru_cache(maxsize=1)
def is_possible() -> bool:
    """Tell whether the server has pgvector. Must run inside a tenant."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [TABLE])
        return bool(cursor.fetchone()[0])  # type: ignore[index]


def store(rows: Sequence[tuple[int, Sequence[float]]], *, model: str) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {TABLE} (passage_id, kind, embedding) VALUES (%s, %s, %s::halfvec)"
            " ON CONFLICT (passage_id) DO UPDATE SET kind = EXCLUDED.kind, embedding = EXCLUDED.embedding",
            [(passage_id, _kind(model, vector), as_text(vector)) for passage_id, vector in rows],
        )


def nearest(vector: Sequence[float], *, model: str, limit: int) -> list[tuple[int, float]]:
    """Return passages of active documents with their cosine similarity, the nearest first."""
    if not is_possible():
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH near AS MATERIALIZED (SELECT passage_id, embedding <#> %s::halfvec AS distance FROM {TABLE}"
            "  WHERE kind = %s ORDER BY 2 LIMIT %s)"
            " SELECT near.passage_id, -near.distance FROM near"
            " JOIN agents_knowledge_passage passage ON passage.id = near.passage_id"
            " JOIN agents_knowledge_document document ON document.id = passage.document_id AND document.is_active"
            " ORDER BY near.distance LIMIT %s",
            [as_text(vector), _kind(model, vector), limit * SPARE, limit],
        )
        return [(passage_id, float(similarity)) for passage_id, similarity in cursor.fetchall()]


def _kind(model: str, vector: Sequence[float]) -> int:
    """Return a number for vectors that can be compared: of one model, and one length. Numbers are compared faster."""
    return zlib.crc32(f"{model}:{len(vector)}".encode()) & 0x7FFFFFFF


def as_text(vector: Sequence[float]) -> str:
    """Return a vector of length one as the database reads it: of such, the product is the cosine, and cheaper."""
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return "[" + ",".join(f"{value / length:.6g}" for value in vector) + "]"
