from __future__ import annotations

import pytest

from crm.email.enums import SkipReason, SuppressionReason
from crm.email.models import Mailing, Suppression
from crm.email.services.audiences import Audience, audience_of, audience_page
from crm.email.services.suppressing import suppress
from crm.email.services.templates import save_template
from crm.email.tests.mailroom import make_contacts, make_mailing, make_template, started
from crm.models import CustomField
from crm.tests.factories import make_contact
from tenants.context import entered
from thanos.encryption import blind_index


@pytest.fixture
def people(in_alice, bob):
    """Two receive it, and of each who do not, one more than of the one before."""
    with entered(bob):
        make_contacts(5)
        for n in range(5):
            suppress(address=f"ann{n}@example.com", reason=SuppressionReason.SPAM)
    make_contacts(2)
    make_contact("No address")
    for n in range(2):
        make_contact(f"Unwilling {n}", contact_email=f"u{n}@example.com", do_not_mail=True)
    for n in range(3):
        make_contact(f"Bounced {n}", contact_email=f"b{n}@example.com")
        suppress(address=f"b{n}@example.com", reason=SuppressionReason.BOUNCED)
    for n in range(4):
        make_contact(f"Twin {n}", contact_email="ann1@example.com")
    for n in range(5):
        make_contact("", business_name=f"Nameless {n}", contact_email=f"n{n}@example.com")


EXPECTED = Audience(
    17,
    2,
    {
        SkipReason.EMPTY_VALUE: 5,
        SkipReason.SAME_ADDRESS: 4,
        SkipReason.BOUNCED: 3,
        SkipReason.DO_NOT_MAIL: 2,
        SkipReason.NO_ADDRESS: 1,
    },
)


def test_before_and_after_it_is_prepared_the_figures_are_the_same(people):
    mailing = make_mailing()

    assert audience_of(mailing=mailing) == EXPECTED
    assert audience_of(mailing=started(mailing)) == EXPECTED
    assert EXPECTED.left_out_count == 15


def test_each_list_can_be_looked_at_page_by_page(people):
    draft, prepared = make_mailing(), started(make_mailing())
    for mailing in (draft, prepared):
        assert [c.name for c in audience_page(mailing=mailing, reason=None)] == ["Ann 0", "Ann 1"]
        first = audience_page(mailing=mailing, reason=SkipReason.SAME_ADDRESS, size=3)
        rest = audience_page(mailing=mailing, reason=SkipReason.SAME_ADDRESS, after=first[-1].pk, size=3)
        assert [c.name for c in first + rest] == [f"Twin {n}" for n in range(4)]
        assert audience_page(mailing=mailing, reason=SkipReason.SPAM) == []


def test_counting_takes_the_same_few_queries_for_many(in_alice, django_assert_max_num_queries):
    make_contacts(60)
    mailing = make_mailing(template=make_template("Hi", "<p>Hi {{ unsubscribe_url }}</p>"))
    audience_of(mailing=mailing)  # reads the template once

    with django_assert_max_num_queries(8) as queries:
        assert audience_of(mailing=mailing).receiving == 60
    assert sum("crm_contact" in query["sql"] for query in queries.captured_queries) == 1


def test_of_several_reasons_the_gravest_is_counted_and_everybody_once(in_alice):
    make_contacts(1)
    for reason in SuppressionReason.values:
        Suppression.objects.create(email="x", email_index=blind_index("ann0@example.com"), reason=reason)

    assert audience_of(mailing=make_mailing()).left_out == {SkipReason.SPAM: 1}


def test_a_twin_of_one_who_is_left_out_receives_it(in_alice):
    make_contact("", business_name="Nameless", contact_email="ann@example.com")
    make_contact("Ann", contact_email="ann@example.com")
    mailing = make_mailing()

    assert audience_of(mailing=mailing) == Audience(2, 1, {SkipReason.EMPTY_VALUE: 1})
    assert audience_of(mailing=started(mailing)) == Audience(2, 1, {SkipReason.EMPTY_VALUE: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("city", {"city": "Rome"}),
        ("first_name", {}),
        ("phone", {"phone": "+15550100"}),
        ("plan", {"custom_fields": {"plan": "A"}}),
    ],
)
def test_gaps_are_foreseen(in_alice, name, value):
    CustomField.objects.create(key="plan", label="Plan", type="text")
    template = make_template("Hi", f"<p>{{{{ {name} }}}} {{{{ unsubscribe_url }}}}</p>", variables=[name])
    make_contact("", business_name="B", contact_email="a@example.com")
    make_contact("Ann", contact_email="b@example.com", **value)
    mailing = make_mailing(template=template)

    expected = Audience(2, 1, {SkipReason.EMPTY_VALUE: 1})
    assert audience_of(mailing=mailing) == expected
    Mailing.objects.update(skip_empty_values=False)
    mailing.refresh_from_db()
    assert audience_of(mailing=mailing) == Audience(2, 2, {})
    Mailing.objects.update(skip_empty_values=True)
    assert audience_of(mailing=started(mailing)) == expected


def test_a_draft_is_counted_for_the_text_that_will_be_sent(in_alice):
    make_contact("", business_name="B", contact_email="a@example.com")
    make_contact("Ann", contact_email="b@example.com")
    template = make_template("Hi", "<p>Hi {{ unsubscribe_url }}</p>", variables=["unsubscribe_url"])
    mailing = make_mailing(template=template)
    assert audience_of(mailing=mailing) == Audience(2, 2, {})

    words = {"subject": "Hi", "html": "<p>{{ contact_name }}</p>", "text": ""}
    save_template(template=template, name="News", **words, is_active=True, by=None)
    mailing = Mailing.objects.get()

    expected = Audience(2, 1, {SkipReason.EMPTY_VALUE: 1})
    assert audience_of(mailing=mailing) == expected
    assert [contact.contact_email for contact in audience_page(mailing=mailing, reason=None)] == ["b@example.com"]
    assert audience_of(mailing=started(mailing)) == expected


def test_nobody(in_alice):
    assert audience_of(mailing=make_mailing()) == Audience(0, 0, {})
