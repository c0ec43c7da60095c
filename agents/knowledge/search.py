"""Finding passages. Words first: every passage that shares some with the question, weighed by how rare they are; words
nobody ever wrote are taken for misspellings of similar ones. Then, where there are vectors, meaning; the two orders are
joined by rank (reciprocal rank fusion). Measured by `python -m bench knowledge`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection

from agents.knowledge import vectors
from agents.knowledge.models import Document, Passage
from agents.knowledge.terms import Term, terms_of, words_of

CANDIDATES = 40
RANK_CONSTANT = 60  # of the fusion, as in its paper (Cormack et al., 2009)
MIN_COVERAGE = 0.34  # share of the question's weight that a passage must account for
MIN_SIMILARITY = 0.45  # cosine, for a passage that shares hardly a word
TYPO_SIMILARITY = 0.45
TYPO_WEIGHT = 0.7
HEADING_BONUS = 0.5  # for a word that stands in title or heading


@dataclass(frozen=True, slots=True)
class Found:
    """A passage with its source, and why it was found."""

    passage_id: int
    document_id: str
    title: str
    heading: str
    place: str
    text: str
    score: float
    coverage: float  # 0 to 1, of the question's words by weight
    similarity: float | None  # cosine; None without vectors
    matched: tuple[str, ...]

    @property
    def source(self) -> str:
        return ", ".join(filter(None, [self.title, self.heading, self.place]))


@dataclass(frozen=True, slots=True)
class Search:
    """A question, what it was looked up by, and what was found: nothing, if nothing answers it."""

    question: str
    terms: tuple[Term, ...]
    corrected: dict[str, tuple[str, ...]]
    used_vectors: bool
    found: list[Found] = field(default_factory=list)
    near_misses: list[Found] = field(default_factory=list)  # looked at, and not good enough


@dataclass(frozen=True, slots=True)
class _Hit:
    score: float
    words: tuple[str, ...]


def search(question: str, *, earlier: Sequence[str] = (), limit: int = 3, vector: Sequence[float] | None = None) -> Search:
    """Look a question up in the entered tenant's active documents. `vector` is the question's, if there is one."""
    languages = _languages()
    if not languages:
        return Search(question, (), {}, used_vectors=False)
    terms = terms_of(question, earlier, stop=_stop_words(question, earlier, languages))
    corrected = _corrections([term.word for term in terms])
    hits, total = _by_words(terms, corrected, languages)
    near = dict(vectors.nearest(vector, model=settings.ENV.embeddings_model, limit=CANDIDATES)) if vector else {}
    order = _fuse(hits, near)[:CANDIDATES]
    passages = Passage.objects.select_related("document").in_bulk([passage_id for passage_id, _ in order])
    found: list[Found] = []
    missed: list[Found] = []
    for passage_id, fused in order:
        passage = passages.get(passage_id)
        if passage is None:
            continue
        hit = hits.get(passage_id, _Hit(0.0, ()))
        one = _found(passage, hit, total, near.get(passage_id), fused)
        good = one.coverage >= MIN_COVERAGE or (one.similarity or 0.0) >= MIN_SIMILARITY
        (found if good else missed).append(one)
    return Search(question, tuple(terms), corrected, bool(near), found[:limit], (missed + found[limit:])[:limit])


def _found(passage: Passage, hit: _Hit, total: float, similarity: float | None, fused: float) -> Found:
    document = passage.document
    return Found(
        passage_id=passage.pk,
        document_id=str(document.pk),
        title=document.title,
        heading=passage.heading,
        place=passage.place,
        text=passage.text,
        score=fused,
        coverage=min(1.0, hit.score / total) if total else 0.0,
        similarity=similarity,
        matched=hit.words,
    )


def _fuse(hits: dict[int, _Hit], near: dict[int, float]) -> list[tuple[int, float]]:
    """Return passages, best first. With words alone the order is theirs."""
    by_words = sorted(hits, key=lambda passage_id: (-hits[passage_id].score, passage_id))
    if not near:
        return [(passage_id, hits[passage_id].score) for passage_id in by_words]
    by_meaning = sorted(near, key=lambda passage_id: (-near[passage_id], passage_id))
    scores: dict[int, float] = {}
    for order in (by_words, by_meaning):
        for rank, passage_id in enumerate(order, start=1):
            scores[passage_id] = scores.get(passage_id, 0.0) + 1 / (RANK_CONSTANT + rank)
    return sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))


def _languages() -> list[str]:
    active = Document.objects.filter(is_active=True, read_revision__gt=0)
    return sorted(active.order_by().values_list("language", flat=True).distinct())


def _stop_words(question: str, earlier: Sequence[str], languages: Sequence[str]) -> frozenset[str]:
    """Return the words that one of the languages in use takes for filling."""
    words = list(dict.fromkeys(word for text in (question, *earlier) for word in words_of(text)))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT word FROM unnest(%s::text[]) word, unnest(%s::text[]) config"
            " GROUP BY word HAVING bool_or(numnode(plainto_tsquery(config::regconfig, word)) = 0)",
            [words, list(languages)],
        )
        return frozenset(row[0] for row in cursor.fetchall())


def _corrections(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return for words that stand nowhere those that look like them, best first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('pg_trgm.similarity_threshold', %s, false)", [str(TYPO_SIMILARITY)])
        cursor.execute(
            "SELECT asked, array(SELECT known.word FROM agents_knowledge_word known WHERE known.word %% asked"
            "  ORDER BY similarity(known.word, asked) DESC, known.word LIMIT 3)"
            " FROM unnest(%s::text[]) asked"
            " WHERE length(asked) > 3 AND NOT EXISTS (SELECT FROM agents_knowledge_word WHERE word = asked)",
            [list(words)],
        )
        return {asked: tuple(known) for asked, known in cursor.fetchall() if known}


def _by_words(
    terms: Sequence[Term], corrected: dict[str, tuple[str, ...]], languages: Sequence[str]
) -> tuple[dict[int, _Hit], float]:
    """Return passages with the weight of the words they share, and the weight of all words together."""
    if not terms:
        return {}, 0.0
    queries = _queries(terms, corrected, languages)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM agents_knowledge_passage")
        count = cursor.fetchone()[0]  # type: ignore[index]
        cursor.execute(
            "SELECT asked.word, passage.id, passage.search @@ asked.in_heading::tsquery"
            " FROM unnest(%s::text[], %s::text[], %s::text[]) AS asked(word, query, in_heading)"
            " JOIN agents_knowledge_passage passage ON passage.search @@ asked.query::tsquery"
            " JOIN agents_knowledge_document document ON document.id = passage.document_id AND document.is_active",
            [list(queries), [query for query, _ in queries.values()], [heading for _, heading in queries.values()]],
        )
        rows = cursor.fetchall()
    return _weigh(terms, corrected, rows, count)


def _weigh(
    terms: Sequence[Term], corrected: dict[str, tuple[str, ...]], rows: Sequence[tuple[str, int, bool]], count: int
) -> tuple[dict[int, _Hit], float]:
    """Weigh words by rarity, as BM25 does; a word that stands nowhere weighs like one that stands once."""
    frequency: dict[str, int] = {}
    for word, _, _ in rows:
        frequency[word] = frequency.get(word, 0) + 1
    weights = {
        term.word: term.weight * math.log(1 + (count - (n := max(frequency.get(term.word, 0), 1)) + 0.5) / (n + 0.5))
        for term in terms
    }
    scores: dict[int, float] = {}
    shared: dict[int, list[str]] = {}
    for word, passage_id, in_heading in rows:
        factor = (TYPO_WEIGHT if word in corrected else 1.0) * (1.0 + (HEADING_BONUS if in_heading else 0.0))
        scores[passage_id] = scores.get(passage_id, 0.0) + weights[word] * factor
        shared.setdefault(passage_id, []).append(word)
    hits = {passage_id: _Hit(score, tuple(shared[passage_id])) for passage_id, score in scores.items()}
    # Words of earlier turns help where they are found; where they are not, they say nothing against a passage.
    return hits, sum(weights[term.word] for term in terms if term.weight >= 1.0 or term.word in frequency)


def _queries(
    terms: Sequence[Term], corrected: dict[str, tuple[str, ...]], languages: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Return for each word the query that finds it in any language, and the one that finds it in headings alone."""
    pairs = [(term.word, form) for term in terms for form in (corrected.get(term.word) or (term.word,))]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT word, string_agg(DISTINCT query, ' | ') FROM ("
            "  SELECT word, plainto_tsquery(config::regconfig, form)::text AS query"
            "  FROM unnest(%s::text[], %s::text[]) AS given(word, form), unnest(%s::text[]) AS config) AS made"
            " WHERE query <> '' GROUP BY word",
            [[word for word, _ in pairs], [form for _, form in pairs], list(languages)],
        )
        found = cursor.fetchall()
    return {word: (query, _in_heading(query)) for word, query in found}


def _in_heading(query: str) -> str:
    return " | ".join(f"{lexeme}:A" for lexeme in query.split(" | "))
