"""A worker is killed at each step of sending. Everybody gets the mail once, whatever it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.db import connection
from django.utils import timezone

from crm.email.enums import BatchState, MailingState
from crm.email.models import EmailEvent, EmailMessage, EmailSettings, Mailing, SendBatch, Suppression
from crm.email.services import limits, settling
from crm.email.services.applying import apply_events
from crm.email.services.preparing import prepare_mailing
from crm.email.tests.mailroom import (
    apart,
    deliver_events,
    make_contacts,
    make_mailing,
    remove_all,
    sent,
    started,
    states,
    take_news,
)
from crm.models import Contact
from tenants.context import entered
from thanos.encryption import blind_index
from thanos.env import BASE_DIR

pytestmark = pytest.mark.slow

PEOPLE = 6


@pytest.fixture
def mailing(alice, bob, providers):
    """Six recipients, of whom three go at once; and the same six of Bob's, who sends nothing."""

    def set_up():
        EmailSettings.objects.update(messages_per_minute=9)
        make_contacts(PEOPLE)
        return started(make_mailing())

    made = apart(alice, set_up)
    theirs = apart(bob, set_up)
    yield made

    def clean_up():
        remove_all()
        EmailSettings.objects.update(messages_per_minute=3000)

    assert apart(bob, lambda: states(theirs)) == {"queued": PEOPLE}
    for tenant in (alice, bob):
        apart(tenant, clean_up)


def killed(step, alice, mailing, settings, providers):
    """Send in another process, which does not live to see the end of it."""
    database = connection.settings_dict
    user = quote(database["USER"] or "", safe="")
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgresql://{user}@/{database['NAME']}?host={quote(database['HOST'], safe='')}",
        "REDIS_URL": settings.REDIS_URL,
        "SENDGRID_API_KEY": providers.mail.api_key,
        "SENDGRID_API_URL": providers.url,
    }
    command = [sys.executable, "-m", "crm.email.tests.dying", step, alice.schema_name, str(mailing.pk)]
    done = subprocess.run(command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    limits._redis().flushdb()  # the dead worker's turn ends, and the bucket fills again


def go_on(mailing):
    for _ in range(PEOPLE):
        limits._redis().flushdb()
        sent(mailing)
    return mailing


@pytest.mark.parametrize(
    ("step", "left"),
    [
        ("claiming", {"queued": 6}),
        ("claimed", {"claimed": 3, "queued": 3}),
        ("rendered", {"claimed": 3, "queued": 3}),
        ("begun", {"claimed": 3, "queued": 3}),
        ("accepted", {"claimed": 3, "queued": 3}),
        ("settling", {"claimed": 3, "queued": 3}),
        ("settled", {"sent": 3, "queued": 3}),
    ],
)
def test_whenever_a_worker_is_killed_everybody_gets_it_once(step, left, alice, mailing, settings, providers):
    killed(step, alice, mailing, settings, providers)
    assert apart(alice, lambda: states(mailing)) == left

    def recover():
        now = timezone.now()
        settling.settle_all(now=now + timedelta(minutes=3))
        go_on(mailing)
        settling.settle_all(now=now + timedelta(minutes=6))
        deliver_events(providers)
        settling.settle_all(now=now + settling.UNKNOWN_FOR + timedelta(minutes=1))
        mailing.refresh_from_db()
        go_on(mailing)
        deliver_events(providers)
        mailing.refresh_from_db()
        return states(mailing), set(SendBatch.objects.values_list("state", flat=True))

    found, batches = apart(alice, recover)

    assert found == {"delivered": PEOPLE}
    assert mailing.state == MailingState.DONE
    assert providers.mail.sends_per_address == Counter({f"ann{n}@example.com": 1 for n in range(PEOPLE)})
    assert set(providers.mail.sends_per_argument("thanos_message").values()) == {1}
    assert batches <= {BatchState.ACCEPTED, BatchState.RELEASED}


@pytest.mark.parametrize(("step", "left"), [("preparing", {}), ("prepared", {"queued": 2})])
def test_whoever_gathers_the_recipients_is_killed(step, left, alice, mailing, settings, providers):
    def begin_again():
        EmailMessage.objects.filter(mailing=mailing).delete()
        Mailing.objects.filter(pk=mailing.pk).update(state=MailingState.PREPARING, prepared_at=None, cursor=0)

    apart(alice, begin_again)
    killed(step, alice, mailing, settings, providers)
    assert apart(alice, lambda: states(mailing)) == left

    def go_on_preparing():
        while prepare_mailing(mailing_id=mailing.pk, chunk=2):
            pass
        return states(mailing), Mailing.objects.get(pk=mailing.pk).state

    assert apart(alice, go_on_preparing) == ({"queued": PEOPLE}, MailingState.SENDING)


@pytest.mark.parametrize("step", ["applying", "applied"])
def test_whoever_applies_the_news_is_killed(step, alice, mailing, settings, providers):
    def send_and_hear():
        one = EmailMessage.objects.filter(mailing=mailing).first()
        one.to_email, one.email_index = "nobody+bounce@example.com", blind_index("nobody+bounce@example.com")
        one.save()
        go_on(mailing)
        take_news(providers)

    apart(alice, send_and_hear)
    killed(step, alice, mailing, settings, providers)

    def go_on_applying():
        apply_events()
        return states(mailing), Suppression.objects.count(), EmailEvent.objects.filter(applied_at=None).count()

    try:
        assert apart(alice, go_on_applying) == ({"delivered": PEOPLE - 1, "bounced": 1}, 1, 0)
    finally:
        apart(alice, Suppression.objects.all().delete)


def test_an_edit_between_the_kill_and_the_second_try_changes_nothing(alice, mailing, settings, providers):
    killed("claimed", alice, mailing, settings, providers)

    def edit_and_go_on():
        Contact.objects.update(contact_name="Changed")
        settling.settle_all(now=timezone.now() + timedelta(minutes=3))
        go_on(mailing)

    apart(alice, edit_and_go_on)

    assert sorted(copy.letter().subject for copy in providers.mail.copies) == [f"News for Ann {n}" for n in range(PEOPLE)]


def test_several_workers_at_once_send_everything_once(alice, mailing, providers):
    from concurrent.futures import ThreadPoolExecutor

    from crm.email.services.claiming import claim_mailing
    from crm.email.services.sending import Run, send_claim
    from crm.email.tests.mailroom import _inside

    def work():
        from crm.email.providers.registry import provider

        run = Run(provider(), 1e12, lambda: 0.0)
        while claim := claim_mailing(mailing=Mailing.objects.get(pk=mailing.pk), provider="sendgrid", size=1):
            send_claim(claim, run)
        run.provider.close()

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(_inside, alice, work) for _ in range(4)]:
            each.result()

    assert set(providers.mail.sends_per_address.values()) == {1}
    assert len(providers.mail.sends_per_address) == PEOPLE
    with entered(alice):
        assert EmailMessage.objects.filter(mailing=mailing, state="sent").count() == PEOPLE
