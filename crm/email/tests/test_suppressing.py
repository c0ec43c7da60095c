from __future__ import annotations

import pytest
from django.utils import timezone

from crm.email.enums import SkipReason, SuppressionReason
from crm.email.models import Suppression
from crm.email.providers.suppression_api import SuppressionApiError
from crm.email.services.suppressing import lift, lift_at_provider, reason_for, skip_reasons, suppress
from crm.enums import FactSource
from crm.models import Contact
from crm.tests.factories import make_contact
from tenants.context import entered
from tenants.enums import AuditAction
from tenants.models import AuditEvent
from thanos.encryption import blind_index

ANN = "ann@example.com"


@pytest.fixture
def ann(in_alice):
    return make_contact(contact_email=ANN)


@pytest.fixture
def bobs_ann(bob):
    with entered(bob):
        return make_contact(contact_email=ANN)


def test_unsubscribing_is_noted_with_everybody_of_that_address(ann, bob, bobs_ann):
    twin, other = make_contact("Twin", contact_email="ANN@Example.com"), make_contact(contact_email="else@example.com")

    assert suppress(address=" Ann@example.com ", reason=SuppressionReason.UNSUBSCRIBED)

    for contact in (ann, twin, other):
        contact.refresh_from_db()
    assert [contact.do_not_mail_source for contact in (ann, twin, other)] == [FactSource.EMAIL, FactSource.EMAIL, ""]
    assert ann.do_not_call_at is None
    row = Suppression.objects.get()
    assert (row.email, row.reason, row.lifted_at) == ("Ann@example.com", SuppressionReason.UNSUBSCRIBED, None)
    with entered(bob):
        bobs_ann.refresh_from_db()
        assert bobs_ann.do_not_mail_at is None
        assert reason_for(contact=bobs_ann, address=ANN) is None


def test_twice_is_once(ann):
    assert suppress(address=ANN, reason=SuppressionReason.BOUNCED, detail="550 no such user")
    assert not suppress(address="ANN@example.com", reason=SuppressionReason.BOUNCED)
    assert suppress(address=ANN, reason=SuppressionReason.SPAM)
    assert Suppression.objects.count() == 2


def test_a_domain_in_unicode_and_as_dns_has_it_are_one_address(in_alice):
    written, in_dns = "kontakt@bücher-idn.example", "kontakt@xn--bcher-idn-q9a.example"
    one, other = make_contact("One", contact_email=written), make_contact("Other", contact_email=in_dns)

    assert suppress(address=in_dns, reason=SuppressionReason.BOUNCED)
    assert not suppress(address=written, reason=SuppressionReason.BOUNCED)

    assert [reason_for(contact=one, address=written), reason_for(contact=other, address=in_dns)] == [SkipReason.BOUNCED] * 2


def test_a_bounce_is_no_wish(ann):
    suppress(address=ANN, reason=SuppressionReason.BOUNCED)

    ann.refresh_from_db()
    assert ann.do_not_mail_at is None
    assert reason_for(contact=ann, address=ANN) == SkipReason.BOUNCED


def test_nothing_is_no_address(in_alice):
    assert not suppress(address="  ", reason=SuppressionReason.PERSON)
    assert Suppression.objects.count() == 0


def test_whoever_changes_their_mind_may_be_written_to(ann):
    suppress(address=ANN, reason=SuppressionReason.UNSUBSCRIBED)
    ann.refresh_from_db()
    assert reason_for(contact=ann, address=ANN) == SkipReason.DO_NOT_MAIL

    assert lift(address=ANN) == 1

    ann.refresh_from_db()
    assert (ann.do_not_mail_at, reason_for(contact=ann, address=ANN)) == (None, None)
    row = Suppression.objects.get()
    assert row.lifted_at is not None and row.lifted_by is None
    assert lift(address=ANN) == 0
    assert suppress(address=ANN, reason=SuppressionReason.UNSUBSCRIBED)  # and once more


def test_lifting_leaves_what_was_said_elsewhere(ann):
    Contact.objects.filter(pk=ann.pk).update(do_not_mail_at=timezone.now(), do_not_mail_source=FactSource.CALL)
    suppress(address=ANN, reason=SuppressionReason.UNSUBSCRIBED)

    lift(address=ANN)

    ann.refresh_from_db()
    assert ann.do_not_mail_source == FactSource.CALL
    assert reason_for(contact=ann, address=ANN) == SkipReason.DO_NOT_MAIL


def test_lifting_one_reason_leaves_the_other(ann, owner):
    suppress(address=ANN, reason=SuppressionReason.UNSUBSCRIBED)
    suppress(address=ANN, reason=SuppressionReason.SPAM)

    lift(suppression=Suppression.objects.get(reason=SuppressionReason.UNSUBSCRIBED), by=owner)

    ann.refresh_from_db()
    assert ann.do_not_mail_source == FactSource.EMAIL  # the complaint stands
    assert Suppression.objects.standing().get().reason == SuppressionReason.SPAM
    assert Suppression.objects.get(reason=SuppressionReason.UNSUBSCRIBED).lifted_by == owner.pk


def test_what_people_do_to_the_list_leaves_a_trace_without_the_address(alice, ann, owner):
    suppress(address=ANN, reason=SuppressionReason.PERSON, by=owner)
    lift(address=ANN, by=owner)

    events = AuditEvent.objects.filter(tenant=alice, action=AuditAction.SUPPRESSION_CHANGED).order_by("pk")
    assert [(event.actor, event.target) for event in events] == [
        (owner, "suppression added: Entered by a person"),
        (owner, "suppression lifted: 1"),
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"contact_email": ""}, SkipReason.NO_ADDRESS),
        ({"contact_email": "no address"}, SkipReason.INVALID_ADDRESS),
        ({"contact_email": "jürgen@example.com"}, SkipReason.INVALID_ADDRESS),
        ({"contact_email": "ann@müller.example"}, None),
        # What the validator lets pass, and DNS cannot have.
        ({"contact_email": "ann@m\ufffdller.de"}, SkipReason.INVALID_ADDRESS),
        ({"contact_email": f"ann@{'ü' * 60}.de"}, SkipReason.INVALID_ADDRESS),
        ({"contact_email": "ann@aא.de"}, SkipReason.INVALID_ADDRESS),
        ({"contact_email": ANN, "do_not_mail": True}, SkipReason.DO_NOT_MAIL),
        ({"contact_email": ANN, "do_not_call": True}, None),
        ({"contact_email": ANN, "deleted_at": timezone.now()}, SkipReason.GONE),
    ],
)
def test_why_a_contact_is_not_written_to(in_alice, values, expected):
    contact = make_contact(**values)
    assert reason_for(contact=contact, address=contact.contact_email) == expected


def test_the_gravest_reason_is_shown_and_one_query_is_asked(in_alice, django_assert_num_queries):
    for reason in (SuppressionReason.INVALID, SuppressionReason.BOUNCED, SuppressionReason.SPAM):
        Suppression.objects.create(email=ANN, email_index=blind_index(ANN), reason=reason)
    Suppression.objects.create(
        email="x@example.com", email_index=blind_index("x@example.com"), reason="bounced", lifted_at=timezone.now()
    )

    with django_assert_num_queries(1):
        found = skip_reasons([(None, ANN), (None, "x@example.com"), (None, "y@example.com")])

    assert found == [SkipReason.SPAM, None, None]


# --- at the provider ---------------------------------------------------------------------------------------------------


@pytest.fixture
def bounced(ann, providers):
    providers.mail.suppressed[ANN] = "bounce"
    suppress(address=ANN, reason=SuppressionReason.BOUNCED)
    return Suppression.objects.get()


def test_what_is_lifted_here_is_lifted_there(bounced, providers, owner, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=False) as after:
        lift(suppression=bounced, by=owner)
    assert len(after) == 1

    lift_at_provider(suppression_id=bounced.pk)
    lift_at_provider(suppression_id=bounced.pk)  # already gone is as good

    assert ANN not in providers.mail.suppressed


def test_what_stands_again_is_not_lifted_there(bounced, providers, owner):
    lift(suppression=bounced, by=owner)
    suppress(address=ANN, reason=SuppressionReason.BOUNCED)

    lift_at_provider(suppression_id=bounced.pk)

    assert providers.mail.suppressed[ANN] == "bounce"


def test_a_provider_that_is_away_is_asked_again(bounced, providers, owner):
    lift(suppression=bounced, by=owner)

    with providers.away(), pytest.raises(SuppressionApiError):
        lift_at_provider(suppression_id=bounced.pk)


def test_a_wish_is_ours_alone(ann, owner, django_capture_on_commit_callbacks):
    suppress(address=ANN, reason=SuppressionReason.UNSUBSCRIBED)

    with django_capture_on_commit_callbacks(execute=False) as after:
        lift(address=ANN, by=owner)

    assert not [call for call in after if "lift_at_provider" in repr(call)]
