from __future__ import annotations

import pytest

from telephony.texting import tasks
from telephony.texting.enums import State
from telephony.texting.models import Conversation, Message
from telephony.texting.services.sending import CONFIRMS_STOP
from telephony.texting.tests.factories import OURS, THEIRS, make_conversation, make_message, receive
from tenants.context import entered
from tenants.models import Membership, PhoneNumber, Tenant
from tenants.services.tokens import create_token

pytestmark = pytest.mark.django_db
TEXTS = "/api/v1/texts/"


@pytest.fixture
def conversation(in_alice):
    made = make_conversation(is_unread=True)
    make_message(made, "One")
    make_message(made, "Two", way="out", state=State.UNDELIVERED, error_code=30006)
    return made


def post(client, **values):
    headers = {"Idempotency-Key": values.pop("idempotency")} if "idempotency" in values else {}
    return client.post(TEXTS, values, content_type="application/json", headers=headers)


def test_who_may_use_it(conversation, visit, owner, admin, member, stranger):
    one = f"{TEXTS}{conversation.pk}/"
    for address in (TEXTS, one, f"{one}messages/"):
        assert visit().get(address).status_code == 401
        assert visit(member).get(address).status_code == 403
        assert visit(stranger).get(address).status_code == 404
        assert visit(admin).get(address).status_code == 200
    assert post(visit(member), to=THEIRS, text="x").status_code == 403
    assert visit(stranger, "bob.test").get(one).status_code == 404
    assert visit(stranger, "bob.test").get(TEXTS).json()["results"] == []


def test_conversations_and_what_was_said(conversation, visit, owner):
    make_conversation("+15557002")
    client = visit(owner)
    results = client.get(TEXTS).json()["results"]
    assert {result["number"] for result in results} == {THEIRS, "+15557002"}
    (found,) = client.get(TEXTS, {"number": THEIRS}).json()["results"]
    assert (found["own_number"], found["is_unread"], found["last_message"]["text"]) == (OURS, True, "Two")
    assert len(client.get(TEXTS, {"unread": "true"}).json()["results"]) == 1
    said = client.get(f"{TEXTS}{conversation.pk}/messages/").json()["results"]
    assert [(one["direction"], one["text"], one["state"]) for one in said] == [
        ("out", "Two", "undelivered"),
        ("in", "One", "received"),
    ]
    assert said[0]["problem"] == "The number is a landline, or cannot get texts."
    assert client.post(f"{TEXTS}{conversation.pk}/read/").status_code == 204
    assert client.get(TEXTS, {"unread": "true"}).json()["results"] == []


@pytest.mark.parametrize("query", [{"contact": "x"}, {"contact": "9" * 30}, {"unread": "maybe"}, {"unread": "null"}])
def test_filters_that_make_no_sense_are_named(conversation, visit, owner, query):
    answer = visit(owner).get(TEXTS, query)

    assert (answer.status_code, list(answer.json())) == (400, list(query))


@pytest.mark.parametrize("query", [{"unread": "0"}, {"unread": ""}, {"contact": ""}, {"number": "+1"}])
def test_filters_that_ask_for_nothing_are_no_error(conversation, visit, owner, query):
    assert visit(owner).get(TEXTS, query).status_code == 200


def test_a_text_is_taken_once_and_sent_by_a_worker(in_alice, visit, owner, providers, django_capture_on_commit_callbacks):
    client = visit(owner)
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        first = post(client, to="+1 555-7001", text="Hello", idempotency="a")
        again = post(client, to="+1 555-7001", text="Hello", idempotency="a")
    assert (first.status_code, first.json()["state"], len(callbacks)) == (201, "waiting", 1)
    assert again.json() == first.json() and providers.network.sent_messages == []
    tasks.send.apply(kwargs={"message_id": first.json()["id"]})
    tasks.send.apply(kwargs={"message_id": first.json()["id"]})
    (sent,) = providers.network.sent_messages
    assert (sent["To"], sent["Body"]) == (THEIRS, "Hello")
    message = Message.objects.get()
    assert (message.state, message.user_id, message.author) == (State.QUEUED, owner.pk, "program")


def test_what_forbids_it_is_said_by_code(in_alice, visit, owner, providers):
    receive("STOP")
    response = post(visit(owner), to=THEIRS, text="Hello")
    assert (response.status_code, response.json()["code"]) == (409, "opted-out")
    response = post(visit(owner), to="+493012345678", text="Hello")
    assert (response.status_code, response.json()["code"]) == (409, "country")
    sent_by_program = Message.objects.filter(way="out").exclude(key__startswith=CONFIRMS_STOP)
    assert not sent_by_program.exists()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"to": "nonsense", "text": "x"}, "to"),
        ({"to": THEIRS, "text": ""}, "text"),
        ({"to": THEIRS, "text": "x" * 1601}, "text"),
        ({"to": THEIRS, "text": 5}, "text"),
        ({"to": THEIRS, "text": "x", "from_number": "+15550200"}, "from_number"),
        ({"text": "x"}, "to"),
    ],
)
def test_bad_input_is_said_beside_its_field(in_alice, visit, owner, values, field):
    response = post(visit(owner), **values)
    assert response.status_code == 400 and field in response.json()


def test_without_a_number_nothing_can_be_sent(in_alice, visit, owner):
    PhoneNumber.objects.filter(number=OURS).update(is_active=False)
    assert "from_number" in post(visit(owner), to=THEIRS, text="x").json()


def test_tokens_need_the_scope(conversation, visit, owner, alice):
    def client(*scopes):
        actor = Membership.objects.get(tenant=alice, user=owner)
        _, secret = create_token(tenant=alice, actor=actor, name="t", scopes=list(scopes))
        made = visit()
        made.defaults["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
        return made

    assert client("texts:read").get(TEXTS).status_code == 200
    assert post(client("texts:read"), to=THEIRS, text="x").status_code == 403
    assert client("calls:read", "interactions:write").get(TEXTS).status_code == 403
    assert post(client("interactions:write"), to=THEIRS, text="x").status_code == 403
    assert post(client("texts:write"), to=THEIRS, text="x").status_code == 201


def test_bobs_numbers_send_nothing_for_alice(alice, bob, visit, stranger, owner):
    with entered(bob):
        assert post(visit(stranger, "bob.test"), to=THEIRS, text="x").json()["state"] == "waiting"
        assert Conversation.objects.get().own_number == "+15550200"
    with entered(alice):
        assert not Message.objects.exists()
    assert Tenant.objects.count() >= 2
