"""Finding passages: how fast among ten thousand, and how often the right one is among the first three.

The labelled sets are ours: bench/data/handbook.yaml, and bench/data/languages.yaml in ten languages. Among ten thousand
passages vectors are those of the stand-in, which hash words and know nothing of meaning: there hybrid figures show what
joining the two orders costs and that it does no harm. What meaning finds is measured with the model on this machine.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]

from bench.cpu import on_a_core_of_its_own
from bench.product import Product
from bench.report import Result, percentile

if TYPE_CHECKING:
    from agents.knowledge.models import Passage

DATA = Path(__file__).resolve().parent / "data" / "handbook.yaml"
LANGUAGES = DATA.with_name("languages.yaml")
PASSAGES = int(os.environ.get("BENCH_PASSAGES", "10000"))
ROUNDS = 4
MODEL = "sandbox-embedding"
A_DOCUMENT = 500  # passages of the filling
TARGET_MS = 30.0
FIRST = 3


def run(product: Product) -> list[Result]:
    import yaml

    data = yaml.safe_load(DATA.read_text())
    answered = [(question, heading) for question, heading in data["questions"] if heading]
    unanswerable = [question for question, heading in data["questions"] if not heading]
    from tenants.context import entered
    from tenants.services.tenants import create_tenant

    tenant = create_tenant(name="Bench", domain="knowledge.localhost", admin_email="knowledge@bench.localhost")
    with product.worker_paused(), on_a_core_of_its_own(), entered(tenant):
        _write(data["passages"])
        small = [_recall(answered, vectors) for vectors in (False, True)]
        quiet = sum(not _search(question, False).found for question in unanswerable)
        begun = time.perf_counter()
        _fill(data["passages"])
        filled = (PASSAGES - len(data["passages"])) / (time.perf_counter() - begun)
        large = [_recall(answered, vectors) for vectors in (False, True)]
        words, inside = _times([question for question, _ in answered], False)
        hybrid, hybrid_inside = _times([question for question, _ in answered], True)
    local = _by_meaning(product)
    many = f"among {PASSAGES:,} passages"
    return [
        Result(
            "knowledge", f"right one in the first {FIRST}, words", 100 * small[0], "%", note=f"{len(answered)} questions"
        ),
        Result("knowledge", f"right one in the first {FIRST}, hybrid", 100 * small[1], "%", note="the stand-in's vectors"),
        Result("knowledge", "the same, words, in a crowd", 100 * large[0], "%", note=many),
        Result("knowledge", "the same, hybrid, in a crowd", 100 * large[1], "%", note=many),
        Result("knowledge", "nothing found where nothing answers", 100 * quiet / len(unanswerable), "%"),
        Result("knowledge", "passages stored", filled, "a second", note="with vectors"),
        Result("knowledge", "by words, p50", percentile(words, 0.5), "ms", note=many),
        Result("knowledge", "by words, p95", percentile(words, 0.95), "ms", note="PostgreSQL and our part"),
        Result("knowledge", "by words, p95 in PostgreSQL", percentile(inside, 0.95), "ms", TARGET_MS),
        Result("knowledge", "hybrid, p50", percentile(hybrid, 0.5), "ms", note=many),
        Result("knowledge", "hybrid, p95", percentile(hybrid, 0.95), "ms", note="PostgreSQL and our part"),
        Result("knowledge", "hybrid, p95 in PostgreSQL", percentile(hybrid_inside, 0.95), "ms", TARGET_MS),
        *local,
    ]


def _by_meaning(product: Product) -> list[Result]:
    """What the model on this machine finds that words do not, in each language, and what it costs."""
    import yaml
    from django.conf import settings

    from agents.knowledge.services.asking import ask_knowledge
    from agents.llm import embedding, local
    from tenants.context import entered
    from tenants.services.tenants import create_tenant

    data = yaml.safe_load(LANGUAGES.read_text())["languages"]
    if not local.is_installed():
        return []
    settings.ENV.embeddings_model = ""
    begun = time.perf_counter()
    embedding.embed_now(["warm"], is_question=True, deadline_s=60)
    loaded_ms = (time.perf_counter() - begun) * 1000
    times, found, first, by_words, quiet, per_language = [], 0, 0, 0, 0, {}
    stored, spent = 0, 0.0
    with product.worker_paused():
        for code, one in data.items():
            tenant = create_tenant(name=code, domain=f"{code}.localhost", admin_email=f"{code}@bench.localhost")
            with entered(tenant):
                begun = time.perf_counter()
                texts = _store_whole(one["passages"], one.get("language", "simple"))
                spent += time.perf_counter() - begun
                stored += len(texts)
                here = 0
                for question, right in zip(one["questions"], texts, strict=True):
                    begun = time.perf_counter()
                    shown = [passage.text for passage in ask_knowledge(question=question, limit=FIRST).found]
                    times.append((time.perf_counter() - begun) * 1000)
                    first += shown[:1] == [right]
                    here += right in shown
                    by_words += right in [passage.text for passage in _search(question, False).found]
                quiet += sum(not ask_knowledge(question=question).found for question in one["unanswerable"])
                per_language[code] = here
                found += here
    asked = sum(len(one["questions"]) for one in data.values())
    silent = sum(len(one["unanswerable"]) for one in data.values())
    each = ", ".join(f"{code} {here}" for code, here in per_language.items())
    memory = psutil.Process(local.child_pid()).memory_full_info()
    return [
        Result(
            "knowledge",
            f"ten languages, in the first {FIRST}, words",
            100 * by_words / asked,
            "%",
            note=f"{asked} questions",
        ),
        Result("knowledge", f"the same, by meaning too, first {FIRST}", 100 * found / asked, "%", note=f"of 8: {each}"),
        Result("knowledge", "the same, by meaning too, first", 100 * first / asked, "%", note=local.TITLE),
        Result("knowledge", "ten languages, nothing where nothing answers", 100 * quiet / silent, "%"),
        Result(
            "knowledge", "question by meaning, p50", percentile(times, 0.5), "ms", note="model, PostgreSQL and our part"
        ),
        Result("knowledge", "question by meaning, p95", percentile(times, 0.95), "ms"),
        Result("knowledge", "short passages by meaning", stored / spent, "a second", note="one core"),
        Result("knowledge", "model ready after", loaded_ms, "ms"),
        Result(
            "knowledge", "model's own memory", memory.uss / 2**20, "MiB", note=f"{memory.rss / 2**20:.0f} with shared pages"
        ),
    ]


def _store_whole(passages: list[str], language: str) -> list[str]:
    """Store a document with vectors of the model in use; return the texts of its passages."""
    from agents.knowledge.enums import State
    from agents.knowledge.models import Document
    from agents.knowledge.reading.blocks import Block
    from agents.knowledge.reading.reader import Reading
    from agents.knowledge.services import indexing

    document = Document.objects.create(title="Info", kind="text", language=language, state=State.READING)
    indexing._store(document, Reading([Block(text, whole=True) for text in passages], []))
    indexing.add_vectors(document_id=str(document.pk), ends_at=time.monotonic() + 60)
    return [passage.text for passage in document.passages.all()]


def _write(passages: list[list[str]]) -> None:
    _store("Handbook", [(heading, text) for heading, text in passages])


def _fill(passages: list[list[str]]) -> None:
    """Other passages of the same language: sentences of words that the handbook uses too, and of many it does not."""
    chance = random.Random(5)
    used = sorted({word.strip(".,").lower() for _, text in passages for word in text.split()})
    made = [f"{chance.choice(used)[:4]}{chance.choice('aeiou')}{chance.choice(used)[-4:]}" for _ in range(12_000)]
    left = PASSAGES - len(passages)
    while left > 0:
        count = min(left, A_DOCUMENT)
        rows = [(f"Chapter {chance.randrange(9999)}", _sentence(chance, used, made)) for _ in range(count)]
        _store(f"Volume {left}", rows)
        left -= count


def _sentence(chance: random.Random, used: list[str], made: list[str]) -> str:
    words = [chance.choice(used) if chance.random() < 0.25 else chance.choice(made) for _ in range(60)]
    return " ".join(words).capitalize() + "."


def _store(title: str, rows: list[tuple[str, str]]) -> None:
    from django.conf import settings

    from agents.knowledge import vectors
    from agents.knowledge.enums import State
    from agents.knowledge.models import Document
    from agents.knowledge.reading.blocks import Block
    from agents.knowledge.reading.reader import Reading
    from agents.knowledge.services import indexing
    from sandbox.models.openai import vector_of

    settings.ENV.embeddings_model = MODEL
    document = Document.objects.create(title=title, kind="text", state=State.READING)
    blocks = [Block(text, heading) for heading, text in rows]
    indexing._store(document, Reading(blocks, []))
    made = [vector_of(f"{title} {heading} {text}") for heading, text in rows]
    vectors.store(list(zip(document.passages.values_list("pk", flat=True), made, strict=True)), model=MODEL)


def _search(question: str, vectors: bool) -> Any:
    from agents.knowledge.search import search
    from sandbox.models.openai import vector_of

    return search(question, limit=FIRST, vector=vector_of(question) if vectors else None)


def _recall(answered: list[tuple[str, str]], vectors: bool) -> float:
    """Return the share of questions whose passage is among the first."""
    hits = 0
    for question, heading in answered:
        found: list[Passage] = _search(question, vectors).found
        hits += any(one.heading == heading for one in found)
    return hits / len(answered)


def _times(questions: list[str], vectors: bool) -> tuple[list[float], list[float]]:
    """Return how long each search took, and how long of it the statements, in milliseconds."""
    from django.db import connection

    from agents.knowledge.search import search
    from sandbox.models.openai import vector_of

    inside = 0.0

    def clocked(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        nonlocal inside
        begun = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            inside += (time.perf_counter() - begun) * 1000

    asked = [(question, vector_of(question) if vectors else None) for question in questions]
    whole, statements = [], []
    with connection.execute_wrapper(clocked):
        for number in range(ROUNDS + 1):  # the first one is not counted
            for question, vector in asked:
                inside = 0.0
                begun = time.perf_counter()
                search(question, limit=FIRST, vector=vector)
                if number:
                    whole.append((time.perf_counter() - begun) * 1000)
                    statements.append(inside)
    return whole, statements
