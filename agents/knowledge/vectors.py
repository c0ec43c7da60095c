"""Passages' vectors, where the server has pgvector. Their length is the model's: one table takes them all.

Exact search, no index of neighbours: over ten thousand passages it takes a few milliseconds, misses nothing, and needs
no index to be built when the model changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from django.db import connection

TABLE = "agents_knowledge_vector"
# Run by the migration, inside the tenant's schema. Without pgvector there is no table, and words alone find passages.
CREATE = f"""
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
        CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
        CREATE TABLE {TABLE} (
            passage_id bigint PRIMARY KEY REFERENCES agents_knowledge_passage (id) ON DELETE CASCADE,
            model varchar(80) NOT NULL,
            embedding public.halfvec NOT NULL
        );
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
            f"INSERT INTO {TABLE} (passage_id, model, embedding) VALUES (%s, %s, %s::halfvec)"
            " ON CONFLICT (passage_id) DO UPDATE SET model = EXCLUDED.model, embedding = EXCLUDED.embedding",
            [(passage_id, model, as_text(vector)) for passage_id, vector in rows],
        )


def nearest(vector: Sequence[float], *, model: str, limit: int) -> list[tuple[int, float]]:
    """Return passages of active documents with their cosine similarity, the nearest first."""
    if not is_possible():
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT near.passage_id, 1 - (near.embedding <=> %s::halfvec) FROM {TABLE} near"
            " JOIN agents_knowledge_passage passage ON passage.id = near.passage_id"
            " JOIN agents_knowledge_document document ON document.id = passage.document_id AND document.is_active"
            f" WHERE near.model = %s AND vector_dims(near.embedding::vector) = %s"
            " ORDER BY near.embedding <=> %s::halfvec LIMIT %s",
            [as_text(vector), model, len(vector), as_text(vector), limit],
        )
        return [(passage_id, float(similarity)) for passage_id, similarity in cursor.fetchall()]


def as_text(vector: Sequence[float]) -> str:
    return "[" + ",".join(f"{value:.6g}" for value in vector) + "]"
