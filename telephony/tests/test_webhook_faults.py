"""Whatever a signed webhook holds, and however late everything is, the carrier gets an answer it can use, in time."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.etree import ElementTree

import pytest
from django.db import DataError, OperationalError
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.twilio.signing import sign
from telephony import deadline
from telephony import webhooks as module
from telephony.deadline import within_deadline
from telephony.enums import CallStatus, EndedReason, NextStep
from telephony.models import Call
from telephony.tests.factories import call_sid, incoming_form, make_call
from telephony.tests.test_webhooks import BASE, TOKEN, post, verbs
from telephony.transcripts.batch import write_pending
from tenants.context import entered

NAMES = ["incoming-call", "call-continue", "call-briefing", "call-status", "recording-status", "sms-status", "incoming-sms"]

# --- fuzzed forms ----------------------------------------------------------------------------------------------------

_odd = st.one_of(
    st.text(max_size=30),
    st.text(st.characters(max_codepoint=0x1F), max_size=5),
    st.sampled_from(
        ["\x00", "+1\x00555", "A" * 5000, "9" * 5000, "²", "-1", "99999999999999", "true", "[]", "💥" * 90, ""]
    ),
)
_FIELDS = ["CallSid", "AccountSid", "From", "To", "CallStatus", "CallDuration", "StirVerstat", "Direction", "Digits"]
_FIELDS += [
    "DialCallStatus",
    "DialCallDuration",
    "RecordingSid",
    "RecordingStatus",
    "RecordingDuration",
    "RecordingChannels",
]
_changes = st.dictionaries(st.sampled_from(_FIELDS) | st.text(min_size=1, max_size=8), _odd, max_size=5)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(NAMES), changes=_changes, is_known=st.booleans())
def test_no_form_with_a_valid_signature_is_our_fault(alice, name, changes, is_known):
    form = {**incoming_form(), "RecordingSid": "RE1", **changes}
    if is_known:
        with entered(alice):
            form["CallSid"] = make_call(next_step=NextStep.TRANSFER).call_sid

    headers = {"host": "10.0.0.7:8000", **sign(TOKEN, BASE + name, form)}
    encoded = "application/x-www-form-urlencoded"  # as the carrier does; multipart would change odd names
    response = Client(headers=headers).post(f"/api/webhooks/{name}", urlencode(form), content_type=encoded)

    assert response.status_code in (200, 204, 400)
    if response.status_code == 200:
        assert ElementTree.fromstring(response.content).tag == "Response"


@pytest.mark.parametrize("field", ["From", "To", "CallerName", "StirVerstat"])
def test_a_nul_in_a_text_is_left_out_of_it(alice, field):
    form = incoming_form()
    response = post("incoming-call", {**form, field: form.get(field, "") + "\x00"})

    assert response.status_code in (200, 400)


@pytest.mark.parametrize("account", ["A" * 65, "AC\x00", "AC-1", "AC²"])
def test_an_account_that_is_no_identifier_is_refused(alice, account):
    assert post("incoming-call", incoming_form(AccountSid=account)).status_code == 400
    with entered(alice):
        assert not Call.objects.exists()


@pytest.mark.parametrize("length", ["99999999999999", "-5", "²", "9" * 5000])
def test_a_length_nobody_can_have_talked_is_unknown(alice, length, django_capture_on_commit_callbacks):
    with entered(alice):
        call = make_call()
    with django_capture_on_commit_callbacks(execute=True):
        form = incoming_form(CallSid=call.call_sid, CallStatus="completed", CallDuration=length)
        assert post("call-status", form).status_code == 204

    with entered(alice):
        call.refresh_from_db()
        assert (call.status, call.duration_is_measured) == (CallStatus.COMPLETED, False)


def test_what_the_database_refuses_is_a_bad_request(alice, monkeypatch):
    def refuse(**_):
        raise DataError("value too long")

    monkeypatch.setattr(module, "answer_call", refuse)

    assert post("incoming-call", incoming_form()).status_code == 400


# --- the database is away --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["call-status", "recording-status"])
def test_news_that_cannot_be_stored_is_refused_not_lost(alice, monkeypatch, name):
    def away(form):
        raise OperationalError("gone")

    monkeypatch.setattr(module, "tenant_of_call", away)

    assert post(name, incoming_form(RecordingSid="RE1")).status_code == 503


def test_what_the_carrier_says_once_is_asked_for_again_with_it(alice, monkeypatch):
    """A caller who has talked to a person must not be put through once more because the database blinked."""
    with entered(alice):
        call = make_call(status=CallStatus.IN_PROGRESS, next_step=NextStep.TRANSFER, stream_count=1)
    form = incoming_form(CallSid=call.call_sid, DialCallStatus="completed", DialCallDuration="70")
    real = module.tenant_of_call
    monkeypatch.setattr(module, "tenant_of_call", lambda form: (_ for _ in ()).throw(OperationalError("gone")))
    url = ElementTree.fromstring(post("call-continue", form).content).find("Redirect").text
    monkeypatch.setattr(module, "tenant_of_call", real)

    again = incoming_form(CallSid=call.call_sid)
    path = url.removeprefix(BASE)
    assert verbs(post(path, again)) == ["Hangup"]

    write_pending()
    with entered(alice):
        call.refresh_from_db()
        assert call.closing_reason == EndedReason.TRANSFERRED


# --- the deadline ----------------------------------------------------------------------------------------------------


class Exchange:
    """One signed request over ASGI, and what was answered."""

    def __init__(self, name: str, form: dict[str, str], *, query: str = "", token: str = TOKEN) -> None:
        self.body = urlencode(form).encode()
        url = BASE + name + (f"?{query}" if query else "")
        headers = {"content-type": "application/x-www-form-urlencoded", **sign(token, url, form)}
        self.scope = {
            "type": "http",
            "path": f"/api/webhooks/{name}",
            "query_string": query.encode(),
            "headers": [(key.lower().encode(), value.encode()) for key, value in headers.items()],
        }
        self.sent: list[dict] = []

    async def receive(self):
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message):
        self.sent.append(message)

    async def over(self, application) -> float:
        begun = time.perf_counter()
        await within_deadline(application)(self.scope, self.receive, self.send)
        return time.perf_counter() - begun

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def redirect(self) -> str:
        return ElementTree.fromstring(self.sent[1]["body"]).find("Redirect").text


async def answer(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"<Response/>"})


@pytest.fixture
def stuck(monkeypatch):
    """An application that waits for something until it is let go."""
    monkeypatch.setattr(deadline, "DEADLINE_S", 0.1)
    gate = asyncio.Event()

    async def application(scope, receive, send):
        await receive()
        await gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"too late"})

    application.gate = gate
    return application


async def finish_late() -> None:
    while deadline._late:
        await asyncio.sleep(0.01)


async def test_an_answer_in_time_is_passed_on():
    exchange = Exchange("incoming-call", incoming_form())
    await exchange.over(answer)

    assert [message.get("body") for message in exchange.sent] == [None, b"<Response/>"]


async def test_at_the_deadline_the_carrier_is_told_to_ask_again(stuck):
    form = incoming_form(DialCallStatus="no-answer")
    exchange = Exchange("call-continue", form, query="attempt=4")
    took_s = await exchange.over(stuck)

    assert took_s < 1 and exchange.status == 200
    asked = parse_qs(urlsplit(exchange.redirect).query)
    assert asked == {"attempt": ["5"], "DialCallStatus": ["no-answer"]}

    stuck.gate.set()
    await finish_late()
    assert len(exchange.sent) == 2  # what came late is not sent after the answer


async def test_who_has_asked_often_enough_is_sent_to_the_fallback_address(stuck):
    exchange = Exchange("incoming-call", incoming_form(), query="attempt=15")
    await exchange.over(stuck)

    assert exchange.status == 503
    stuck.gate.set()
    await finish_late()


async def test_a_late_status_is_not_said_to_be_taken(stuck):
    exchange = Exchange("call-status", incoming_form())
    await exchange.over(stuck)

    assert exchange.status == 503
    stuck.gate.set()
    await finish_late()


async def test_a_stranger_learns_nothing_at_the_deadline(stuck):
    exchange = Exchange("incoming-call", incoming_form(), token="another")
    await exchange.over(stuck)

    assert exchange.status == 403
    stuck.gate.set()
    await finish_late()


async def test_too_many_late_requests_begin_no_more(stuck, monkeypatch):
    monkeypatch.setattr(deadline, "MAX_LATE", 3)
    await asyncio.gather(*(Exchange("incoming-call", incoming_form()).over(stuck) for _ in range(3)))
    begun = []

    async def application(scope, receive, send):
        begun.append(scope)

    exchange = Exchange("incoming-call", incoming_form())
    assert await exchange.over(application) < 0.1
    assert exchange.status == 200 and "attempt=1" in exchange.redirect and begun == []

    stuck.gate.set()
    await finish_late()
    await Exchange("incoming-call", incoming_form()).over(answer)  # and they begin again


async def test_other_addresses_have_no_such_deadline(stuck):
    exchange = Exchange("stripe", {"a": "1"})
    task = asyncio.create_task(exchange.over(stuck))
    await asyncio.sleep(0.3)
    assert not task.done()

    stuck.gate.set()
    await task
    assert exchange.sent[1]["body"] == b"too late"


def test_every_webhook_of_the_carrier_has_the_deadline():
    assert {f"/api/webhooks/{name}" for name in NAMES} == module.CARRIER_PATHS
    assert {f"/{route.pattern}" for route in module.urlpatterns} <= module.CARRIER_PATHS


def test_a_call_whose_answer_came_late_is_answered_at_the_next_question(alice):
    """The late request has stored the call; the one that follows our redirect gets a token that is good."""
    form = {**incoming_form(), "CallSid": call_sid()}
    assert verbs(post("incoming-call", form)) == ["Connect", "Redirect"]  # nobody heard this one

    url = BASE + "incoming-call?attempt=1"
    again = Client(headers=sign(TOKEN, url, form)).post("/api/webhooks/incoming-call?attempt=1", form)

    assert verbs(again) == ["Connect", "Redirect"]
    with entered(alice):
        assert Call.objects.count() == 1
