"""What is lost on the way is found by the sweep, in each organization apart."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from crm.models import Interaction
from telephony.texting import tasks
from telephony.texting.enums import Author, State
from telephony.texting.models import Message
from telephony.texting.services import conversations
from telephony.texting.services.sending import write_text
from telephony.texting.tests.factories import BOBS, OURS, THEIRS, receive
from tenants.context import entered

pytestmark = pytest.mark.django_db


@pytest.fixture
def published(monkeypatch):
    """What is put into queues: by name of the task, whose it is, and which message."""
    found = []
    monkeypatch.setattr(
        tasks, "publish", lambda task, *, headers, **kwargs: found.append((task.name, headers["tenant_schema"], kwargs))
    )
    return found


def test_a_text_whose_task_was_lost_is_published_again(alice, bob, published):
    made = {}
    for tenant, number in ((alice, OURS), (bob, BOBS)):
        with entered(tenant):
            message, _ = write_text(own_number=number, to=THEIRS, text="Hello", author=Author.PROGRAM)
            Message.objects.update(changed_at=timezone.now() - timedelta(minutes=5))
            made[tenant.schema_name] = message.pk
    tasks.sweep.apply()
    assert published == [("telephony_texting.send", schema, {"message_id": pk}) for schema, pk in made.items()]


def test_a_text_that_missed_the_timeline_comes_to_it_later(alice, monkeypatch, published, caplog):
    def broken(**_):
        raise RuntimeError("no timeline")

    with monkeypatch.context() as patch:
        patch.setattr(conversations, "add_interaction", broken)
        assert receive("Hello").status_code == 200
    with entered(alice):
        assert Message.objects.get().state == State.RECEIVED and not Interaction.objects.exists()
        Message.objects.update(changed_at=timezone.now() - timedelta(minutes=5))
    tasks.sweep.apply()
    tasks.sweep.apply()
    with entered(alice):
        assert Interaction.objects.get().content == "Hello"
