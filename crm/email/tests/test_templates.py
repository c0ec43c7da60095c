"""Templates: what they may say, what is said about them, and what happens to them."""

from __future__ import annotations

import threading

import pytest
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from crm.email.models import EmailSettings, EmailTemplate, EmailTemplateVersion, Sequence, SequenceStep
from crm.email.rendering import checks, markup
from crm.email.rendering.checks import Emptiness, check, empty_values, errors
from crm.email.rendering.renderer import render
from crm.email.rendering.sources import Source
from crm.email.rendering.variables import LINKS, Use, catalogue, found_in, values_for
from crm.email.selectors.changes import changes
from crm.email.selectors.templates import example, find_contacts, versions
from crm.email.services.templates import (
    TESTS_PER_HOUR,
    TemplateConflictError,
    TemplateError,
    copy_template,
    delete_template,
    differences,
    preview,
    restore_version,
    save_template,
    send_test,
    switch_template,
    taken,
    undelete_template,
)
from crm.models import CustomField
from crm.tests.factories import make_contact
from sandbox.sendgrid.faults import Fault, Kind
from tenants.context import entered, in_public
from tenants.enums import AuditAction
from tenants.models import AuditEvent, PhoneNumber

HTML = "<p>Hello {{ contact_name }}</p>"


def make_template(by=None, *, name="News", subject="Hi", html=HTML, text="", is_active=True, **more):
    return save_template(
        template=more.pop("template", None),
        name=name,
        subject=subject,
        html=html,
        text=text,
        is_active=is_active,
        by=by,
        **more,
    )


def words_of(source):
    return [(finding.level, finding.part, finding.line, finding.text) for finding in check(source)]


def of_html(html):
    """The findings without the one about the footer."""
    return [finding for finding in words_of(Source("A subject", html)) if "footer" not in finding[3]]


@pytest.fixture
def custom(in_alice):
    CustomField.objects.create(key="visits", label="Visits", type="number", position=1)
    CustomField.objects.create(key="is_vip", label="VIP", type="boolean", position=2)
    CustomField.objects.create(
        key="interests", label="Interests", type="multi_select", options=["Hair", "Beard"], position=3
    )
    CustomField.objects.create(key="next_visit", label="Next visit", type="date_time", position=4)
    CustomField.objects.create(key="city", label="Home town", type="text", position=5)
    CustomField.objects.create(key="old", label="Old", type="text", is_active=False, position=6)


# --- what there is to write about ------------------------------------------------------------------------------------


def test_the_catalogue_has_fields_own_fields_organisation_and_links(custom, in_alice):
    found = catalogue()

    by_kind = {kind: [v.name for v in found.values() if v.kind == kind] for kind in ("custom", "organization", "link")}
    assert by_kind == {
        "custom": ["visits", "is_vip", "interests", "next_visit", "custom_city"],
        "organization": ["organization_name", "organization_phone", "sender_name", "postal_address"],
        "link": list(LINKS),
    }
    assert {"contact_name", "first_name", "business_name", "contact_email", "phone", "website", "city"} <= set(found)
    assert not {"notes", "tags", "stripe_customer_id", "do_not_mail", "phones"} & set(found)
    assert (found["custom_city"].label, found["organization_name"].example) == ("Home town", in_alice.name)


def test_each_organisation_has_its_own(custom, in_alice, bob):
    make_contact("Ann", contact_email="ann@example.com")
    with in_public():
        PhoneNumber.objects.filter(tenant=bob).update(number="+15559999")

    with entered(bob):
        EmailSettings.objects.update(from_name="Bob & Co", postal_address="Bob Street")
        CustomField.objects.create(key="bobs", label="Bob's secret", type="text")
        contact = make_contact("Bea")
        names = ["organization_name", "organization_phone", "sender_name", "postal_address"]
        assert values_for(contacts=[contact], names=names) == [
            {
                "organization_name": bob.name,
                "organization_phone": "+15559999",
                "sender_name": "Bob & Co",
                "postal_address": "Bob Street",
            }
        ]
        assert "visits" not in catalogue()
    assert "bobs" not in catalogue()


def test_values_are_what_a_person_would_read_and_numbers_can_be_compared(custom, in_alice):
    in_alice.time_zone = "America/New_York"
    in_alice.save()
    fields = {"visits": 3, "is_vip": False, "interests": ["Hair", "Beard"], "next_visit": "2026-11-20T19:30:00+00:00"}
    contact = make_contact(
        "Ann van Dyke", value="1200", phone="+15550100", city="Springfield", custom_fields={**fields, "city": "Shelbyville"}
    )
    names = ["first_name", "contact_name", "value", "phone", "city", "custom_city", *fields, "business_name", "old"]

    with entered(in_alice):
        (found,) = values_for(contacts=[contact], names=[*names, *LINKS])

    assert found == {
        "first_name": "Ann",
        "contact_name": "Ann van Dyke",
        "value": "1200",
        "phone": "+15550100",
        "city": "Springfield",
        "custom_city": "Shelbyville",
        "visits": 3,
        "is_vip": False,
        "interests": "Hair; Beard",
        "next_visit": "2026-11-20 14:30",
        "business_name": "",
        "old": "",
    }


def test_what_is_unknown_is_empty_and_what_does_not_exist_is_absent(custom, in_alice):
    contact = make_contact("", business_name="Miller")

    (found,) = values_for(contacts=[contact], names=["first_name", "visits", "is_vip", "deleted_field"])

    assert found == {"first_name": "", "visits": "", "is_vip": ""}


def test_values_of_many_take_no_more_queries_than_of_one(custom, in_alice):
    contacts = [make_contact(f"C{n}") for n in range(3)]
    names = ["visits", "organization_phone", "postal_address", "contact_name"]
    counts = []
    for some in (contacts[:1], contacts):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            values_for(contacts=some, names=names)
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_variables_are_found_with_where_they_stand():
    source = Source(
        "{{ first_name }}",
        "{{ city|title }}\n{% if phone %}{{ phone }}{% endif %}\n{{ website or 'x' }}{% set own = value %}{{ own }}\n"
        "{{ 'to ' ~ country }}{{ state|default('-') }}{% for i in range(2) %}{{ i }}{{ status }}{% endfor %}",
        "{{ first_name }}",
    )

    assert found_in(source) == [
        Use("first_name", "subject", 1, True),
        Use("city", "html", 1, True),
        Use("phone", "html", 2, False),
        Use("phone", "html", 2, False),
        Use("website", "html", 3, False),
        Use("value", "html", 3, False),
        Use("country", "html", 4, True),
        Use("state", "html", 4, False),
        Use("status", "html", 4, True),
        Use("first_name", "text", 1, True),
    ]


# --- what is said about a text ---------------------------------------------------------------------------------------


def test_an_unknown_name_is_an_error_with_its_line_and_what_may_be_meant(in_alice):
    found = errors(check(Source("Hi {{ frist_name }}", "<p>\n{{ contact_nam }} {{ zzz }}</p>", "\n\n{{ zzz }}")))

    assert [(finding.part, finding.line, finding.text) for finding in found] == [
        ("subject", 1, "There is nothing called “frist_name”. Is “first_name” meant?"),
        ("html", 2, "There is nothing called “contact_nam”. Is “contact_name” meant?"),
        ("html", 2, "There is nothing called “zzz”."),
        ("text", 3, "There is nothing called “zzz”."),
    ]
    assert found[1].place == "HTML, line 2"


def test_every_part_has_its_say(in_alice):
    found = errors(check(Source("{{ ", "<p>\n{% if %}</p>", "{% include 'x' %}")))

    assert [(finding.part, finding.line) for finding in found] == [("subject", 1), ("html", 2), ("text", 1)]


def test_a_good_template_is_told_of_the_footer_only(in_alice):
    assert words_of(Source("News", "<p>Hello</p>")) == [
        ("info", "html", None, "It has no link to unsubscribe. E-mail to many gets your footer under it, which has one.")
    ]
    assert words_of(Source("News", '<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>')) == []


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "empty address"),
        ("#", "leads nowhere"),
        ("/prices", "needs a whole address"),
        ("prices.html", "needs a whole address"),
        ("www.example.com", "needs a whole address"),
        ("//example.com/", "needs a whole address"),
        ("http//example.com", "mistyped"),
        ("http:/example.com", "mistyped"),
        ("htp://example.com", "mistyped"),
        ("htps://example.com", "mistyped"),
        ("httpss://example.com", "mistyped"),
        ("hhttps://example.com", "mistyped"),
        ("https;//example.com", "mistyped"),
        ("http://https://example.com", "mistyped"),
        ("https:///example.com", "mistyped"),
        ("https.//example.com", "mistyped"),
        ("javascript:alert(1)", "which mail programs do not open"),
        ("ftp://example.com/", "which mail programs do not open"),
        ("https://[::1", "cannot be read"),
        ("https://localhost/", "no web server"),
        ("https://example..com/", "no web server"),
        ("https://example.com/a b", "a space"),
    ],
)
def test_broken_links_are_found(in_alice, address, words):
    ((level, part, line, text),) = of_html(f'<p>\n<a href="{address}">x</a></p>')

    assert (level, part, line) == ("warning", "html", 2)
    assert words in text


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com",
        "http://example.com/?a=1&amp;b=2#c",
        "https://xn--mnchen-3ya.de",
        "https://http.example.com/",
        "mailto:a@example.com",
        "tel:+15550100",
        "sms:+15550100",
        "#prices",
        "{{ website }}",
        "{{ unsubscribe_url }}",
        "https://{{ city }}.example.com/{{ first_name }}",
        "https://example.com/{% if city %}a{% endif %}",
    ],
)
def test_good_links_are_left_alone(in_alice, address):
    assert of_html(f'<a href="{address}">x</a>') == []


@pytest.mark.parametrize(
    ("html", "line", "words"),
    [
        ("<p>\n<img src='https://example.com/a.png'></p>", 2, "no alt text"),
        ("<img alt='' src='a.png'>", 1, "needs a whole address"),
        ("<img alt=''>", 1, "no address"),
        (f"<img alt='' src='data:image/png;base64,{'A' * 100_001}'>", 1, "100 kB"),
        ("<img alt='' src='data:image/png;base64,AAAA'>", 1, "do not show images that are inside"),
        ("x" * 104_449, None, "102 kB"),
        ("a\n<script>alert(1)</script>", 2, "Scripts do not run"),
        ("<style>p {}</style>", 1, "style sheets"),
        ("<form></form>", 1, "forms"),
        ("<iframe></iframe>", 1, "embedded pages"),
        ("<p onclick='x()'>a</p>", 1, "“onclick” does nothing"),
        ("<div>\n<b>bold</div>", 2, "<b> is not closed"),
        ("\n<div>", 2, "<div> is not closed"),
        ("a\n</div>", 2, "</div> closes nothing"),
        ('<a href="https://example.com>x</a><p class="b">y</p>', 1, "quotation mark"),
        ('<a href="https://example.com', None, "not closed"),
    ],
)
def test_what_commonly_goes_wrong_is_found(in_alice, html, line, words):
    found = of_html(html)

    assert [(finding[0], finding[1], finding[2]) for finding in found if words in finding[3]] == [("warning", "html", line)]


@pytest.mark.parametrize(
    "html",
    [
        "<p>a<p>b",
        "<ul><li>a<li>b</ul>",
        "<table><tr><td>a<td>b</table>",
        "a<br>b<hr/>",
        "{% if city %}<b>{{ city }}</b>{% endif %}",
    ],
)
def test_what_html_allows_is_left_alone(in_alice, html):
    assert of_html(html) == []


@pytest.mark.parametrize(
    ("subject", "level", "words"),
    [
        ("", "error", "Write a subject"),
        ("BUY THIS NOW", "warning", "capitals"),
        ("x" * 79, "warning", "longer than 78"),
        ("Now!!!", "warning", "exclamation"),
        ("x" * 401, "error", "more than 400"),
    ],
)
def test_subjects_are_looked_at(in_alice, subject, level, words):
    found = [finding for finding in words_of(Source(subject, "<p>x</p>")) if finding[1] == "subject"]

    assert [(finding[0], words in finding[3]) for finding in found] == [(level, True)]


@given(st.text(alphabet="<>ab/=\"' !-&;{%}\n", max_size=60))
def test_no_markup_breaks_the_checks(html):
    found = markup.findings(html)

    assert all(level in ("error", "warning") and text for level, _, text in found)


def test_empty_values_are_counted(in_alice, bob):
    for number in range(5):
        make_contact(f"C{number}", contact_email=f"c{number}@example.com", city="X" if number else "")
    make_contact("No address")
    with entered(bob):
        make_contact("Bea", contact_email="bea@example.com")
    source = Source("{{ contact_name }}", "{{ city }} {{ website or 'x' }}{% if phone %}{{ phone }}{% endif %}")

    assert empty_values(source) == [Emptiness("city", 1, 5, is_all=True)]


def test_counting_empty_values_has_an_end(in_alice, monkeypatch):
    monkeypatch.setattr(checks, "LOOKED_AT", 3)
    for number in range(5):
        make_contact(f"C{number}", contact_email=f"c{number}@example.com")

    assert empty_values(Source("s", "{{ city }}")) == [Emptiness("city", 3, 3, is_all=False)]


def test_links_are_never_counted_as_empty(in_alice):
    make_contact(contact_email="a@example.com")

    assert empty_values(Source("s", "{{ unsubscribe_url }}")) == []
    assert empty_values(Source("s", "{{ broken")) == []


# --- saving ----------------------------------------------------------------------------------------------------------


def test_saving_makes_a_version_with_what_it_asks_for(in_alice, owner):
    template = make_template(owner, name="  Spring   news ", html="<p>{{ city }} {{ contact_name }}</p>\r\n", text=" \n ")

    version = template.current
    assert (template.name, version.number, version.html, version.text) == (
        "Spring news",
        1,
        "<p>{{ city }} {{ contact_name }}</p>\n",
        "",
    )
    assert (version.variables, version.created_by_id) == (["city", "contact_name"], owner.pk)


def test_only_changed_words_make_another_version(in_alice, owner, admin):
    template = make_template(owner)
    renamed = make_template(owner, template=template, name="Other", is_active=False)
    changed = make_template(admin, template=template, name="Other", subject="New subject")

    assert (renamed.current.number, renamed.is_active) == (1, False)
    assert [(v.number, v.subject, v.created_by_id) for v in template.versions.all()] == [
        (2, "New subject", admin.pk),
        (1, "Hi", owner.pk),
    ]
    assert changed.current.number == 2
    assert [(saved.version.number, saved.author, saved.is_current) for saved in versions(changed)] == [
        (2, "Ada Admin", True),
        (1, owner.get_full_name(), False),
    ]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"html": "{{ zzz }}"}, "html"),
        ({"subject": "{% if %}"}, "subject"),
        ({"text": "{{ x.y }}"}, "text"),
        ({"subject": " "}, "subject"),
    ],
)
def test_what_cannot_be_sent_cannot_be_saved(in_alice, change, part):
    before = EmailTemplate.objects.count(), EmailTemplateVersion.objects.count()

    with pytest.raises(TemplateError) as caught:
        make_template(**change)

    assert [finding.part for finding in caught.value.findings] == [part]
    assert (EmailTemplate.objects.count(), EmailTemplateVersion.objects.count()) == before


def test_names_are_bounded(in_alice):
    for name in ("", "   ", "x" * 121):
        with pytest.raises(TemplateError, match="a name"):
            make_template(name=name)


def test_whoever_began_from_an_older_version_is_told(in_alice, owner, admin):
    template = make_template(owner)
    make_template(admin, template=template, subject="Theirs", number=1)

    with pytest.raises(TemplateConflictError) as caught:
        make_template(owner, template=template, subject="Mine", html="<p>Mine</p>", number=1)

    current = caught.value.current
    mine = {"name": "News", "subject": "Mine", "html": "<p>Mine</p>", "text": ""}
    found = {difference.label: (difference.saved, difference.mine) for difference in differences(mine, current)}
    assert found == {"Subject": ("Theirs", "Mine"), "HTML": (HTML, "<p>Mine</p>")}
    assert taken(mine, current, {"take_subject": "on", "other": "x"}) == {**mine, "subject": "Theirs"}
    assert template.versions.count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_two_at_the_same_moment_one_is_told(alice, owner):
    with entered(alice):
        template = make_template(owner)
    found = []
    barrier = threading.Barrier(2)

    def save(subject):
        try:
            with entered(alice):
                barrier.wait(10)
                make_template(owner, template=template, subject=subject, number=1)
            found.append("saved")
        except TemplateConflictError:
            found.append("conflict")
        finally:
            connection.close()

    threads = [threading.Thread(target=save, args=(f"S{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == ["conflict", "saved"]
    with entered(alice):
        assert template.versions.count() == 2
        EmailTemplate.objects.filter(pk=template.pk).update(current=None)
        template.delete()


def test_an_old_version_counts_again_as_a_new_one(in_alice, owner):
    template = make_template(owner)
    make_template(owner, template=template, subject="Second")

    restored = restore_version(template=template, version=template.versions.get(number=1), by=owner)

    assert (restored.current.number, restored.current.subject) == (3, "Hi")
    assert template.versions.get(number=2).subject == "Second"


def test_an_old_version_that_asks_for_a_field_that_is_gone_stays_old(in_alice, custom, owner):
    template = make_template(owner, html="<p>{{ visits }}</p>")
    make_template(owner, template=template)
    CustomField.objects.filter(key="visits").update(is_active=False)

    with pytest.raises(TemplateError) as caught:
        restore_version(template=template, version=template.versions.get(number=1), by=owner)

    assert "visits" in caught.value.findings[0].text
    template.refresh_from_db()
    assert template.current.number == 2


def test_a_copy_is_switched_off_and_goes_its_own_way(in_alice, owner):
    template = make_template(owner, name="x" * 120)

    copy = copy_template(template=template, by=owner)
    make_template(owner, template=copy, name="Copy", subject="Changed")

    assert len(EmailTemplate.objects.get(pk=copy.pk).name) <= 120
    assert (copy.is_active, copy.key) == (False, None)
    assert template.versions.count() == 1


def test_switching_deleting_and_bringing_back(in_alice, owner):
    template = make_template(owner)

    assert switch_template(template=template, is_active=False, by=owner)
    assert not switch_template(template=template, is_active=False, by=owner)
    assert list(EmailTemplate.objects.usable().filter(pk=template.pk)) == []
    assert delete_template(template=template, by=owner)
    assert not delete_template(template=template, by=owner)
    assert list(EmailTemplate.objects.kept().filter(pk=template.pk)) == []
    with pytest.raises(TemplateError, match="deleted meanwhile"):
        make_template(owner, template=template)
    assert undelete_template(template=template, by=owner)
    assert not undelete_template(template=template, by=owner)
    assert list(EmailTemplate.objects.kept().filter(pk=template.pk)) == [template]


def test_a_template_that_a_sequence_sends_stays(in_alice, owner):
    template = make_template(owner)
    sequence = Sequence.objects.create(name="Welcome series")
    step = SequenceStep.objects.create(sequence=sequence, position=1, wait_hours=1, template=template)

    with pytest.raises(TemplateError, match="Welcome series"):
        delete_template(template=template, by=owner)

    SequenceStep.objects.filter(pk=step.pk).update(removed_at=template.created_at)
    assert delete_template(template=template, by=owner)


def test_everything_done_to_a_template_is_in_the_audit_trail(in_alice, owner):
    template = make_template(owner)
    make_template(owner, template=template, subject="Again")
    switch_template(template=template, is_active=False, by=owner)
    copy = copy_template(template=template, by=owner)
    delete_template(template=template, by=owner)
    undelete_template(template=template, by=owner)

    with in_public():
        found = list(AuditEvent.objects.filter(action=AuditAction.TEMPLATE_CHANGED).order_by("pk"))
    assert [event.target for event in found] == [
        f"template {template.pk}: made",
        f"template {template.pk}: saved",
        f"template {template.pk}: switched off",
        f"template {copy.pk}: copied from {template.pk}",
        f"template {template.pk}: deleted",
        f"template {template.pk}: brought back",
    ]
    assert {(event.tenant_id, event.actor_id) for event in found} == {(in_alice.pk, owner.pk)}


# --- what every organisation starts with -----------------------------------------------------------------------------


def test_the_first_templates_can_be_sent_as_they_are(in_alice, bob):
    contact = make_contact("Ann Miller", business_name="Miller & Sons", contact_email="ann@example.com")
    for tenant in (in_alice, bob):
        with entered(tenant):
            keys = {template.key for template in EmailTemplate.objects.usable().exclude(key=None)}
            assert keys == {"welcome", "follow-up", "invoice-reminder"}
    for template in EmailTemplate.objects.exclude(key=None).select_related("current"):
        version = template.current
        source = Source(version.subject, version.html, version.text)
        assert errors(check(source)) == []
        assert sorted({use.name for use in found_in(source)}) == version.variables
        assert "Ann Miller" in preview(source=source, contact=contact).text
        assert "Hello there" in preview(source=source, contact=make_contact("", business_name="B")).text


def test_the_first_footer_can_be_sent_too(in_alice):
    footer = EmailSettings.objects.get().footer_html
    source = Source("s", footer)

    assert errors(check(source)) == []
    values = {
        "organization_name": "A & B",
        "postal_address": "",
        "unsubscribe_url": "https://u",
        "preferences_url": "https://p",
    }
    assert render(source=source, values=values).text == "A & B\nUnsubscribe (https://u) · Preferences (https://p)"


# --- trying it out ---------------------------------------------------------------------------------------------------


def test_the_example_is_the_newest_with_an_address_and_has_neighbours(in_alice, bob):
    first, second, third = (make_contact(f"C{n}", contact_email=f"c{n}@example.com") for n in range(3))
    lone = make_contact("No address")
    with entered(bob):
        bobs = make_contact("Bob's", contact_email="b@example.com", deleted_at=None)

    assert (example(None).contact, example(None).previous, example(None).next) == (third, None, second)
    middle = example(second.pk)
    assert (middle.contact, middle.previous, middle.next) == (second, third, first)
    assert example(lone.pk).contact == lone
    assert example(bobs.pk + 10_000).contact == third
    assert [contact.contact_name for contact in find_contacts("c1", tenant=in_alice, user=None)] == ["C1"]


def test_without_contacts_there_are_examples(in_alice):
    assert example(None).contact is None
    assert preview(source=Source("{{ first_name }}", "<p>{{ organization_name }}</p>"), contact=None).subject == "Ann"


def test_a_test_goes_to_whoever_asked_for_it_as_the_contact_would_get_it(in_alice, owner):
    contact = make_contact("Ann <Miller>", contact_email="ann@example.com")
    source = Source("Hi {{ contact_name }}", '<p>{{ contact_name }} <a href="{{ unsubscribe_url }}">U</a></p>')

    send_test(source=source, contact=contact, to=owner)

    (message,) = mail.outbox
    assert (message.to, message.subject) == ([owner.email], "Hi Ann <Miller>")
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    assert "Ann &lt;Miller&gt;" in html
    assert message.body.startswith("Ann <Miller> U (http")


def test_with_sendgrid_alone_a_test_goes_through_it(in_alice, owner, providers, settings):
    settings.EMAIL_IS_DELIVERED = False

    send_test(source=Source("Hi", "<p>Hello</p>"), contact=None, to=owner)

    letter = providers.mail.to(owner.email).letter()
    assert (letter.subject, letter.html, letter.text) == ("Hi", "<p>Hello</p>", "Hello")
    assert mail.outbox == []


def test_a_test_that_went_nowhere_says_so(in_alice, owner, providers, settings, monkeypatch):
    providers.mail.faults.order(Fault(Kind.STATUS, status=403))
    with pytest.raises(TemplateError):
        send_test(source=Source("Hi", "x"), contact=None, to=owner)
    settings.EMAIL_IS_DELIVERED = False
    with monkeypatch.context() as patched, pytest.raises(TemplateError, match="no way of sending"):
        patched.setattr(settings.ENV, "sendgrid_api_key", "")
        send_test(source=Source("Hi", "x"), contact=None, to=owner)
    assert mail.outbox == []


def test_tests_are_limited_for_each_person(in_alice, owner, admin):
    for _ in range(TESTS_PER_HOUR):
        send_test(source=Source("s", "x"), contact=None, to=owner)

    with pytest.raises(TemplateError, match="in an hour"):
        send_test(source=Source("s", "x"), contact=None, to=owner)
    send_test(source=Source("s", "x"), contact=None, to=admin)
    assert len(mail.outbox) == TESTS_PER_HOUR + 1
    cache.clear()


# --- what changed ----------------------------------------------------------------------------------------------------


def test_changes_are_lines_with_the_words_that_differ():
    found = changes("a\nb\nc\nHello dear friend\nd", "a\nb\nc\nHello old friend\nd")

    assert [(line.kind, line.number, line.pieces) for line in found] == [
        ("gap", None, ()),
        ("same", 2, (("b", False),)),
        ("same", 3, (("c", False),)),
        ("gone", 4, (("Hello ", False), ("dear", True), (" friend", False))),
        ("new", 4, (("Hello ", False), ("old", True), (" friend", False))),
        ("same", 5, (("d", False),)),
    ]


def test_changes_of_nothing_and_of_too_much():
    assert changes("a\nb", "a\nb") == []
    assert changes("a\n" * 3000, "b") is None
    assert [line.kind for line in changes("a", "a\nb\nc")] == ["same", "new", "new"]
    assert [line.kind for line in changes("one two three", "quite another thing")] == ["gone", "new"]


@given(
    st.lists(st.sampled_from(["a", "b b", "c", ""]), max_size=12),
    st.lists(st.sampled_from(["a", "b c", "c", ""]), max_size=12),
)
def test_the_new_lines_are_those_of_the_new_text(old, new):
    found = changes("\n".join(old), "\n".join(new))

    for line in found:
        text = "".join(piece for piece, _ in line.pieces)
        side = "\n".join(old).split("\n") if line.kind == "gone" else "\n".join(new).split("\n")
        assert line.kind == "gap" or side[line.number - 1] == text
