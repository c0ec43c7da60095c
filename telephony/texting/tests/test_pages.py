from __future__ import annotations

import re
from uuid import uuid4

import pytest

from crm.enums import FactSource
from crm.services.contacts import create_contact, set_do_not_contact
from telephony.texting.enums import State, Stopped
from telephony.texting.models import Conversation, Message
from telephony.texting.services.consent import has_opted_out
from telephony.texting.services.setup import texting_settings
from telephony.texting.tests.factories import OURS, THEIRS, make_conversation, make_message, receive
from tenants.context import entered
from tenants.models import AuditEvent

pytestmark = pytest.mark.django_db
LIST = "/calls/texts/"


def known(name="Ann", number=THEIRS, **values):
    phones = [{"label": "", "number": number}]
    return create_contact(values={"contact_name": name, "phones": phones, **values}, by=None)


@pytest.fixture
def conversation(in_alice):
    made = make_conversation(contact=known(), is_unread=True)
    make_message(made, "Do you open at nine?")
    return made


def key():
    return str(uuid4())


def paths(conversation):
    mine = f"{LIST}{conversation.pk}/"
    return {
        "get": [LIST, f"{LIST}new/", f"{LIST}settings/", mine],
        "post": [mine, f"{mine}unread/", f"{mine}agent/", f"{mine}wish/", f"{LIST}new/", f"{LIST}settings/"],
    }


def test_who_may_see_texts(conversation, visit, owner, admin, member, stranger):
    for method, addresses in paths(conversation).items():
        for address in addresses:
            ask = getattr(visit(), method)
            assert ask(address).status_code == 302, address
            assert getattr(visit(member), method)(address).status_code == 403, address
            assert getattr(visit(stranger), method)(address).status_code == 404, address
            for user in (owner, admin):
                assert getattr(visit(user), method)(address).status_code in (200, 302, 422), address


def test_bobs_page_of_alices_conversation_is_none(conversation, bob, visit, stranger):
    for address in paths(conversation)["get"][3:]:
        assert visit(stranger, "bob.test").get(address).status_code == 404
    page = visit(stranger, "bob.test").get(LIST).content.decode()
    assert "Ann" not in page and "No texts yet" in page
    assert visit(stranger, "bob.test").post(f"{LIST}{conversation.pk}/wish/").status_code == 404


def test_wrong_methods_and_ids(conversation, visit, owner):
    client = visit(owner)
    assert client.get(f"{LIST}{conversation.pk}/wish/").status_code == 405
    assert client.post(LIST).status_code == 405
    assert client.get(f"{LIST}999999/").status_code == 404


def test_the_list_shows_unread_ones_first_with_name_and_words(conversation, visit, owner):
    other = make_conversation("+15557002")
    make_message(other, "Thanks, bye", way="out", state=State.DELIVERED)
    page = visit(owner).get(LIST).content.decode()
    assert page.index("Ann") < page.index("+15557002")
    assert "Do you open at nine?" in page and "Unread" in page and "Delivered" in page
    assert 'title="1 unread"' in page  # in the navigation


def test_lists_ask_the_same_number_of_questions_for_one_and_many(conversation, visit, owner, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = visit(owner)
    client.get(LIST)
    with CaptureQueriesContext(connection) as one:
        client.get(LIST)
    for n in range(5):
        make_message(make_conversation(f"+1555800{n}", contact=known(f"N{n}", f"+1555800{n}")), "x")
    with CaptureQueriesContext(connection) as many:
        client.get(LIST)
    assert len(many) == len(one)


def test_pages_of_the_list_leave_nobody_out(in_alice, visit, owner, monkeypatch):
    from telephony.texting import selectors

    monkeypatch.setattr(selectors.page_of_conversations, "__defaults__", (2,))
    for n in range(7):
        make_message(make_conversation(f"+1555800{n}", is_unread=n % 3 == 0), f"words {n}")
    client, seen, address = visit(owner), [], LIST
    while address:
        page = client.get(address).content.decode()
        seen += re.findall(r"words \d", page)
        found = re.search(r'href="([^"]*cursor=[^"]*)"', page)
        address = found.group(1).replace("&amp;", "&") if found else ""
    assert sorted(seen) == [f"words {n}" for n in range(7)]
    assert seen[:3] == ["words 6", "words 3", "words 0"]


@pytest.mark.parametrize("cursor", ["x", "W10", "eyJhIjoxfQ", "W3RydWUsICJ4IiwgMV0"])
def test_a_cursor_of_nobodys_shows_the_first_page(conversation, visit, owner, cursor):
    assert "Ann" in visit(owner).get(f"{LIST}?cursor={cursor}").content.decode()


@pytest.mark.parametrize(("query", "found"), [("ann", True), (THEIRS, True), ("+1 555-7001", True), ("Zoe", False)])
def test_search_by_name_and_number(conversation, visit, owner, query, found):
    from urllib.parse import quote

    page = visit(owner).get(f"{LIST}?q={quote(query, safe='%')}").content.decode()
    assert ("Do you open at nine?" in page) is found


def test_whoever_opens_it_has_read_it(conversation, visit, owner):
    page = visit(owner).get(conversation.get_absolute_url()).content.decode()
    assert "Do you open at nine?" in page
    conversation.refresh_from_db()
    assert not conversation.is_unread
    visit(owner).post(f"{conversation.get_absolute_url()}unread/")
    conversation.refresh_from_db()
    assert conversation.is_unread


def test_an_answer_is_sent_once_however_often_the_form_comes(conversation, visit, owner, providers):
    form = {"text": "Yes, at nine.\r\nSee you.", "key": key()}
    for _ in range(2):
        assert visit(owner).post(conversation.get_absolute_url(), form).status_code == 302
    (sent,) = providers.network.sent_messages
    assert (sent["To"], sent["Body"]) == (THEIRS, "Yes, at nine.\nSee you.")
    page = visit(owner).get(conversation.get_absolute_url()).content.decode()
    assert "With the carrier" in page and owner.get_full_name() in page
    conversation.refresh_from_db()
    assert (conversation.is_unread, conversation.agent_stopped) == (False, Stopped.PERSON)


@pytest.mark.parametrize("text", ["", "   ", "x" * 1601])
def test_nothing_and_too_much_are_refused_beside_the_field(conversation, visit, owner, providers, text):
    response = visit(owner).post(conversation.get_absolute_url(), {"text": text, "key": key()})
    assert response.status_code == 422 and providers.network.sent_messages == []


def test_what_they_wrote_is_text_and_nothing_else(conversation, visit, owner):
    make_message(conversation, "<script>alert(1)</script>")
    for address in (LIST, conversation.get_absolute_url()):
        page = visit(owner).get(address).content.decode()
        assert "<script>alert" not in page and "&lt;script&gt;" in page


def test_instead_of_a_form_stands_why_not(conversation, visit, owner, providers):
    receive("STOP")
    page = visit(owner).get(conversation.get_absolute_url()).content.decode()
    assert "They asked for no more text messages" in page and "<textarea" not in page
    visit(owner).post(conversation.get_absolute_url(), {"text": "But wait", "key": key()})
    page = visit(owner).get(conversation.get_absolute_url()).content.decode()
    assert "Not sent" in page and providers.network.sent_messages == []


def test_a_wish_is_noted_and_taken_back_by_people_but_theirs_stays(conversation, visit, owner):
    wish = f"{conversation.get_absolute_url()}wish/"
    visit(owner).post(wish)
    assert has_opted_out(THEIRS)
    visit(owner).post(wish)
    assert not has_opted_out(THEIRS)
    trail = AuditEvent.objects.filter(action="do-not-contact", actor=owner)
    assert trail.count() == 2 and all("entered by a person" in event.target for event in trail)
    receive("stop")
    visit(owner).post(wish)
    assert has_opted_out(THEIRS)


def test_the_agent_is_stopped_and_let_go_on(conversation, visit, owner):
    address = f"{conversation.get_absolute_url()}agent/"
    visit(owner).post(address)
    conversation.refresh_from_db()
    assert conversation.agent_stopped
    visit(owner).post(address)
    conversation.refresh_from_db()
    assert not conversation.agent_stopped


def test_a_contact_is_written_to_from_its_page(in_alice, visit, owner, providers):
    ann = known()
    page = visit(owner).get(ann.get_absolute_url()).content.decode()
    assert f"/calls/texts/new/?contact={ann.pk}" in page
    address = f"/calls/texts/new/?contact={ann.pk}"
    assert THEIRS in visit(owner).get(address).content.decode()
    response = visit(owner).post(address, {"to": THEIRS, "from_number": OURS, "text": "Hello Ann", "key": key()})
    conversation = Conversation.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"/calls/texts/{conversation.pk}/")
    page = visit(owner).get(ann.get_absolute_url()).content.decode()
    assert "Hello Ann" in page and conversation.get_absolute_url() in page and "show the conversation" in page


def test_a_contact_that_wants_no_contact_has_no_text_button(in_alice, visit, owner):
    ann = known()
    set_do_not_contact(contact=ann, source=FactSource.CALL)
    page = visit(owner).get(ann.get_absolute_url()).content.decode()
    assert "texts/new" not in page and "no calls and no texts since" in page


@pytest.mark.parametrize("contact", ["999999", "x"])
def test_a_contact_nobody_has(in_alice, visit, owner, contact):
    assert visit(owner).get(f"/calls/texts/new/?contact={contact}").status_code == (404 if contact.isdigit() else 200)


@pytest.mark.parametrize("changes", [{"to": "nonsense"}, {"to": ""}, {"from_number": "+15550200"}])
def test_a_new_text_with_a_wrong_number_is_refused(in_alice, visit, owner, providers, changes):
    form = {"to": THEIRS, "from_number": OURS, "text": "Hello", "key": key(), **changes}
    assert visit(owner).post(f"{LIST}new/", form).status_code == 422
    assert providers.network.sent_messages == [] and not Message.objects.exists()


def test_settings_are_changed_and_in_the_trail(in_alice, bob, line, visit, owner):
    page = visit(owner).get(f"{LIST}settings/")
    form = {name: value for name, value in page.context["form"].initial.items() if not isinstance(value, list)}
    form |= {"countries": "us, de", "stop_words": "STOP, Halt", "start_words": "START", "help_words": "", "per_call": 1}
    form["agent_lines"] = [line.pk]
    assert visit(owner).post(f"{LIST}settings/", form).status_code == 302
    settings = texting_settings()
    assert (settings.countries, settings.stop_words, settings.help_words) == (["US", "DE"], ["STOP", "Halt"], [])
    assert list(settings.agent_lines.all()) == [line]
    assert AuditEvent.objects.get(action="settings-changed").target.startswith("texts: ")
    with entered(bob):
        assert texting_settings().countries == []
    assert visit(owner).post(f"{LIST}settings/", {**form, "countries": "Germany"}).status_code == 422
    assert visit(owner).post(f"{LIST}settings/", {**form, "per_hour": "-1"}).status_code == 422
