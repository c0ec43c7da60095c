"""How words stand in the index: cut by `base.words`, their endings cut off by PostgreSQL's dictionary of the language.

PostgreSQL's own parser is not asked: it takes vowel signs for blanks and a sentence without blanks for a word, so that
question and passage would be cut differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import connection

from base.words import index_words

VERSION = 1  # of how passages are read and indexed; a document of another version is read again


def lexemes_of(words: Iterable[str], *, languages: Sequence[str]) -> dict[str, list[list[str]]]:
    """Return each word's lexemes, once for each of the languages; none where the word is only filling there."""
    found: dict[str, list[list[str]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT word, coalesce(ts_lexize(dictionary::regdictionary, word), ARRAY[word])"
            " FROM unnest(%s::text[]) AS word, unnest(%s::text[]) AS dictionary",
            [list(words), ["simple" if language == "simple" else f"{language}_stem" for language in languages]],
        )
        for word, lexemes in cursor.fetchall():
            found.setdefault(word, []).append(lexemes)
    return found


def as_vector(head: str, body: str, lexemes: dict[str, list[list[str]]]) -> str:
    """Return what a passage is found by, as PostgreSQL reads a `tsvector`: words of its heads weigh A, others B."""
    places = [(word, "A") for word in index_words(head)] + [(word, "B") for word in index_words(body)]
    return " ".join(f"'{lexeme}':1{weight}" for word, weight in places for lexeme in lexemes[word][0])


def as_query(lexemes: Iterable[str]) -> str:
    """Return the `tsquery` that finds any of the lexemes. What `base.words` cuts holds no quotes."""
    return " | ".join(f"'{lexeme}'" for lexeme in sorted(set(lexemes)))
