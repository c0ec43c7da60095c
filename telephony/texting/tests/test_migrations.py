"""Texts that agents sent before there were conversations are kept."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

import pytest
from django.utils import timezone

from telephony.tests.factories import make_call
from telephony.texting.models import Conversation, Message

pytestmark = pytest.mark.django_db
migration = import_module("telephony.texting.migrations.0002_texts_of_calls")


class Old:
    """The table that is gone, with what was in it."""

    def __init__(self, rows):
        self.objects, self.rows = self, rows

    def select_related(self, *_):
        return self

    order_by = select_related

    def iterator(self):
        return iter(self.rows)


def test_texts_of_calls_become_conversations(in_alice):
    call, other = make_call(), make_call(from_number="+15557002")
    now = timezone.now()

    def old(call, key, text, state, sid=""):
        return SimpleNamespace(call=call, key=key, text=text, state=state, message_sid=sid, created_at=now)

    rows = [old(call, "a", "One", "sent", "SM1"), old(call, "b", "Two", "refused"), old(other, "a", "Three", "uncertain")]
    models = {"TextMessage": Old(rows), "Conversation": Conversation, "Message": Message}

    migration.move(SimpleNamespace(get_model=lambda _, name: models[name]), None)

    kept = Message.objects.order_by("id").values_list("conversation__own_number", "state", "message_sid", "key")
    assert list(kept) == [
        ("+15550100", "sent", "SM1", f"call:{call.pk}:a"),
        ("+15550100", "failed", "", f"call:{call.pk}:b"),
        ("+15550100", "uncertain", "", f"call:{other.pk}:a"),
    ]
    assert [message.text for message in Message.objects.order_by("id")] == ["One", "Two", "Three"]
    first = Conversation.objects.with_number("+15557001").get()
    assert (first.other, first.last_message.text) == ("+15557001", "Two")
    assert not Message.objects.filter(logged_at=None).exists()
