"""What was said is found by its words, in every script; transcripts are encrypted, so by blind indexes alone."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from telephony.models import Call, CallMessage
from telephony.tests.factories import add_message, make_finished_call
from tenants.context import entered
from thanos.encryption import blind_word, blind_words, words

SAID = [
    ("我想了解你们的退款政策", "退款"),
    ("予約をキャンセルしたいのですが", "キャンセル"),
    ("ฉันต้องการขอเงินคืน", "เงินคืน"),
    ("मुझे धनवापसी चाहिए", "धनवापसी"),
    ("எனக்கு பணத்தைத் திரும்ப வேண்டும்", "திரும்ப"),
    ("환불 정책이 궁금합니다", "정책"),
    ("أريد استرداد المال", "استرداد"),
    ("Где мой возврат?", "ВОЗВРАТ"),
    ("Θέλω επιστροφή χρημάτων", "επιστροφη"),
    ("Ein Café in der Straße", "cafe strasse"),
    ("I want a refund", "Refund"),
]


@pytest.mark.parametrize(("said", "query"), SAID)
def test_words_are_found_in_every_script(in_alice, bob, visit, owner, said, query):
    with entered(bob):
        add_message(make_finished_call(), 1, "user", said)
    call, other = make_finished_call(), make_finished_call()
    add_message(call, 1, "user", said)
    add_message(other, 1, "user", "Completely something else, 天気")

    assert list(Call.objects.with_words(query)) == [call]
    found = visit(owner).get("/api/v1/calls/", {"q": query}).json()["results"]
    assert [one["id"] for one in found] == [str(call.pk)]


def test_every_word_must_have_been_said(in_alice):
    call = make_finished_call()
    add_message(call, 1, "user", "我想了解你们的退款政策")

    assert list(Call.objects.with_words("退款 天气")) == []
    assert list(Call.objects.with_words("退")) == [call]
    assert list(Call.objects.with_words("?!")) == []


def test_a_search_is_bounded(in_alice, visit, owner):
    response = visit(owner).get("/api/v1/calls/", {"q": "a " * 200})

    assert response.status_code == 400 and "200" in str(response.json())


@given(text=st.text(max_size=80))
def test_whatever_was_said_is_found_by_all_of_its_own_words(text):
    assert all(set(blind_word(word)) & set(blind_words(text)) for word in words(text))


def test_older_transcripts_are_indexed_again(in_alice, bob, capsys):
    call = make_finished_call()
    add_message(call, 1, "user", "退款政策")
    add_message(call, 2, "user", "refund")
    CallMessage.objects.filter(sequence=1).update(words=["0123456789ab"])  # by an older rule
    with entered(bob):
        add_message(make_finished_call(), 1, "user", "Bob")
    assert not Call.objects.with_words("退款")

    call_command("reindex_transcripts")

    assert list(Call.objects.with_words("退款")) == [call]
    assert f"{in_alice.schema_name}: 1 sentences" in capsys.readouterr().out
    call_command("reindex_transcripts")
    assert f"{in_alice.schema_name}: 0 sentences" in capsys.readouterr().out
