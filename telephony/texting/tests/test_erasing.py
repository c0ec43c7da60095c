from __future__ import annotations

import pytest

from crm.erasing import Person, erasers
from crm.models import Contact
from crm.services.merging import merge_contacts, undo_merge
from telephony.texting.models import ConsentEvent, Conversation, Message
from telephony.texting.tests.factories import BOBS, THEIRS, receive, send
from tenants.context import entered
from thanos.encryption import blind_index

pytestmark = pytest.mark.django_db


def test_a_person_is_forgotten_and_their_wish_is_not(in_alice, bob, providers):
    receive("My secret")
    receive("STOP")
    receive("Somebody else", From="+15557002")
    receive("To Bob", To=BOBS)
    contact = Contact.objects.with_phone(THEIRS).get()

    counts = erasers()["texts"](Person((contact.pk,), (THEIRS,), ()))

    assert counts["text conversations"] == 1 and counts["text messages"] >= 2 and counts["wishes about text messages"] == 1
    assert [one.text for one in Message.objects.all()] == ["Somebody else"]
    event = ConsentEvent.objects.get()
    assert (event.number, event.words, event.number_index) == ("", "", blind_index(THEIRS))
    assert send().refusal == "opted-out"
    with entered(bob):
        assert Message.objects.get().text == "To Bob"


def test_conversations_go_with_a_merge_and_come_back(in_alice, owner):
    receive("From the first")
    receive("From the second", From="+15557002")
    first, second = Contact.objects.order_by("id")
    record = merge_contacts(kept=first, merged=second, take={}, by=owner)
    assert set(Conversation.objects.values_list("contact", flat=True)) == {first.pk}
    undo_merge(record=record)
    assert set(Conversation.objects.values_list("contact", flat=True)) == {first.pk, second.pk}


def test_all_encrypted_rows_come_under_a_new_key(in_alice, monkeypatch):
    from cryptography.fernet import Fernet
    from django.conf import settings

    from telephony.texting.services.consent import has_opted_out
    from thanos.rotation import rotate_everything

    receive("STOP")
    monkeypatch.setattr(
        settings.ENV, "field_encryption_keys", [Fernet.generate_key().decode(), *settings.ENV.field_encryption_keys]
    )
    before = Conversation.objects.get().other_index
    assert has_opted_out(THEIRS)
    rotate_everything()
    with entered(in_alice):
        assert Conversation.objects.get().other_index not in (before, "") and has_opted_out(THEIRS)
        event = ConsentEvent.objects.get()
        assert event.number_index == blind_index(THEIRS)
