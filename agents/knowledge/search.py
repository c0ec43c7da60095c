"""Finding passages. Words first: every passage that shares some with the question, weighed by how rare they are; words
nobody ever wrote are taken for misspellings of similar ones. Then, where there are vectors, meaning; the two orders are
joined by rank (reciprocal rank fusion). Measured by `python -m bench knowledge`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import connection
from django.db.models import Sum

from agents.knowledge import vectors
from agents.knowledge.lexemes import as_query, lexemes_of
from agents.knowledge.models import Document, Passage
from agents.knowledge.terms import EARLIER_TURNS, Term, terms_of
from agents.llm import embedding
from base.words import is_unspaced, query_words

CANDIDATES = 40
RANK_CONSTANT = 60  # of the fusion, as in its paper (Cormack et al., 2009)
MIN_SHARE = 0.4  # of the question's weight, that a passage must account for; words in headings count more
UNSEEN = 0.5  # what a word that stands nowhere weighs, against one that stands once
UNSEEN_PAIR = 0.3  # the same of a pair of characters, which may straddle two words
TYPO_SIMILARITY = 0.45
TYPO_WEIGHT = 0.7
SHORTEST_TYPO = 3  # letters: shorter words look like too many others
WELL_ANSWERED = 0.75
MOST_TYPOS = 4  # of a question; who misspells more is not understood
HEADING_BONUS = 0.5  # for a word that stands in title or heading

_SHOWN = ("document__title", "heading", "place", "text")


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
    earlier = earlier[-EARLIER_TURNS:]
    extent = _extent()
    if not extent.languages:
        return Search(question, (), {}, used_vectors=False)
    words = list(dict.fromkeys(word for text in (question, *earlier) for word in query_words(text)))
    queries = _queries({word: (word,) for word in words}, extent.languages)
    terms = terms_of(question, earlier, stop=frozenset(words) - frozenset(queries))
    hits, worth, total, corrected = _by_words(terms, queries, extent)
    near = dict(vectors.nearest(vector, model=embedding.model_in_use(), limit=CANDIDATES)) if vector else {}
    order = _fuse(hits, near)[: limit * 4]
    passages = Passage.objects.select_related("document").only(*_SHOWN).in_bulk([passage_id for passage_id, _ in order])
    found: list[Found] = []
    missed: list[Found] = []
    for passage_id, fused in order:
        passage = passages.get(passage_id)
        if passage is None:
            continue
        hit = hits.get(passage_id, _Hit(0.0, ()))
        covered = sum(worth[word] for word in hit.words) / total if total else 0.0
        one = _found(passage, hit, covered, near.get(passage_id), fused)
        good = hit.score >= MIN_SHARE * total > 0 or (one.similarity or 0.0) >= embedding.least_similarity()
        (found if good else missed).append(one)
    return Search(question, tuple(terms), corrected, bool(near), found[:limit], (missed + found[limit:])[:limit])


def _found(passage: Passage, hit: _Hit, covered: float, similarity: float | None, fused: float) -> Found:
    document = passage.document
    return Found(
        passage_id=passage.pk,
        document_id=str(document.pk),
        title=document.title,
        heading=passage.heading,
        place=passage.place,
        text=passage.text,
        score=fused,
        coverage=min(1.0, covered),
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


@dataclass(frozen=True, slots=True)
class _Extent:
    """What can be found: its languages, how many passages it is, and the documents that are not used."""

    languages: tuple[str, ...]
    count: int
    unused: tuple[UUID, ...]


def _extent() -> _Extent:
    read = Document.objects.filter(read_revision__gt=0).order_by()
    rows = list(read.values_list("language", "is_active").annotate(count=Sum("passage_count"), ids=ArrayAgg("pk")))
    used = [(language, count) for language, is_active, count, _ in rows if is_active]
    unused = [pk for _, is_active, _, ids in rows if not is_active for pk in ids]
    return _Extent(tuple(sorted(language for language, _ in used)), sum(count for _, count in used), tuple(unused))


# Words go by their number: what each row carries is a few bytes, and the words of a passage are bits of one integer.
_SCORED = """
WITH asked AS MATERIALIZED (
    SELECT n::int, weight, query::tsquery, in_heading::tsquery
    FROM unnest(%s::text[], %s::text[], %s::float[]) WITH ORDINALITY AS one(query, in_heading, weight, n)
), hits AS MATERIALIZED (
    SELECT asked.n, passage.id,
           CASE WHEN passage.search @@ asked.in_heading THEN asked.weight * %s ELSE asked.weight END AS weight
    FROM asked JOIN agents_knowledge_passage passage ON passage.search @@ asked.query
    WHERE passage.document_id <> ALL (%s::uuid[])
), rare AS MATERIALIZED (
    SELECT n, ln(1 + (%s - count(*) + 0.5) / (count(*) + 0.5))::float AS worth FROM hits GROUP BY n
)
SELECT hits.id, sum(rare.worth * hits.weight) AS score, bit_or(1::bigint << hits.n),
       (SELECT json_object_agg(n, worth) FROM rare)
FROM hits JOIN rare USING (n) GROUP BY hits.id ORDER BY score DESC, hits.id LIMIT %s
"""


def _by_words(
    terms: Sequence[Term], queries: dict[str, str], extent: _Extent
) -> tuple[dict[int, _Hit], dict[str, float], float, dict[str, tuple[str, ...]]]:
    """Return passages with the weight of the words they share, each word's, all words' together, and what was corrected.

    Words are weighed by rarity, as BM25 does; one that stands nowhere weighs like one that stands once.
    """
    hits, worth = _score(terms, queries, extent)
    weights, total = _weights(terms, worth, extent.count)
    # Whoever is answered well without the words that stand nowhere has hardly misspelled them.
    is_answered = any(hit.score >= WELL_ANSWERED * total for hit in hits.values())
    corrected = {} if is_answered else _corrections([term.word for term in terms if term.word not in worth])
    if corrected:
        queries = {**queries, **_queries(corrected, extent.languages)}
        fainter = [
            Term(one.word, one.weight * TYPO_WEIGHT, one.is_earlier) if one.word in corrected else one for one in terms
        ]
        hits, worth = _score(fainter, queries, extent)
        weights, total = _weights(terms, worth, extent.count)
    return hits, weights, total, corrected


def _weights(terms: Sequence[Term], worth: dict[str, float], count: int) -> tuple[dict[str, float], float]:
    """Return what each word weighs, and all of them.

    Words of earlier turns help where they are found; where they are not, they say nothing against a passage.
    """
    once = math.log(1 + (count - 0.5) / 1.5) if count > 1 else 1.0 / UNSEEN
    counted = [term for term in terms if not term.is_earlier or term.word in worth]
    weights = {
        term.word: term.weight * worth.get(term.word, once * (UNSEEN_PAIR if is_unspaced(term.word) else UNSEEN))
        for term in counted
    }
    return weights, sum(weights.values())


def _score(terms: Sequence[Term], queries: dict[str, str], extent: _Extent) -> tuple[dict[int, _Hit], dict[str, float]]:
    """Return the best passages, and how rare each word is that was found."""
    wanted = [term for term in terms if term.word in queries]
    if not wanted:
        return {}, {}
    with connection.cursor() as cursor:
        cursor.execute(
            _SCORED,
            [
                [queries[term.word] for term in wanted],
                [_in_heading(queries[term.word]) for term in wanted],
                [term.weight for term in wanted],
                1.0 + HEADING_BONUS,
                list(extent.unused),
                extent.count,
                CANDIDATES,
            ],
        )
        rows = cursor.fetchall()
    names = {number: term.word for number, term in enumerate(wanted, start=1)}
    worth = {names[int(number)]: value for number, value in rows[0][3].items()} if rows else {}
    hits = {
        passage_id: _Hit(score, tuple(word for number, word in names.items() if bits >> number & 1))
        for passage_id, score, bits, _ in rows
    }
    return hits, worth


def _corrections(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return for words that were found nowhere those that look like them, best first."""
    unknown = [word for word in words if len(word) > SHORTEST_TYPO and not is_unspaced(word)][:MOST_TYPOS]
    if not unknown:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT asked, array(SELECT near.word FROM ("
            "   SELECT known.word, known.word <-> asked AS distance FROM agents_knowledge_word known"
            "   ORDER BY known.word <-> asked LIMIT 3) near WHERE near.distance <= %s ORDER BY near.distance, near.word)"
            " FROM unnest(%s::text[]) asked",
            [1 - TYPO_SIMILARITY, unknown],
        )
        return {asked: tuple(known) for asked, known in cursor.fetchall() if known}


def _queries(forms: dict[str, tuple[str, ...]], languages: Sequence[str]) -> dict[str, str]:
    """Return for each word the query that finds it, or what it is taken for, in any of the languages.

    Words that one of them takes for filling are left out.
    """
    lexemes = lexemes_of({form for all_forms in forms.values() for form in all_forms}, languages=languages)
    made = {}
    for word, all_forms in forms.items():
        known = [found for form in all_forms for found in lexemes[form]]
        if all(known):
            made[word] = as_query(lexeme for found in known for lexeme in found)
    return made


def _in_heading(query: str) -> str:
    return " | ".join(f"{lexeme}:A" for lexeme in query.split(" | "))
