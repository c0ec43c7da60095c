from datetime import timedelta

import pytest
from django.utils import timezone

from telephony.enums import CallStatus
from telephony.services.tokens import TokenError, issue_token, schema_of, spend_token
from telephony.tests.factories import make_call


def issue(call, tenant):
    token = issue_token(call, tenant.schema_name)
    call.save()
    return token


def test_a_token_lets_one_socket_in_and_marks_the_call_answered(in_alice):
    call = make_call()
    token = issue(call, in_alice)

    answered = spend_token(token=token, call_sid=call.call_sid, stream_sid="MZ1")

    assert (answered.status, answered.stream_count, answered.stream_sid) == (CallStatus.IN_PROGRESS, 1, "MZ1")
    assert answered.answered_at is not None
    with pytest.raises(TokenError):
        spend_token(token=token, call_sid=call.call_sid, stream_sid="MZ2")


def test_a_token_of_another_call_is_refused(in_alice):
    token = issue(make_call(), in_alice)
    other = make_call()

    with pytest.raises(TokenError):
        spend_token(token=token, call_sid=other.call_sid, stream_sid="MZ1")


def test_an_expired_token_is_refused(in_alice):
    call = make_call()
    token = issue(call, in_alice)
    type(call).objects.update(token_expires_at=timezone.now() - timedelta(seconds=1))

    with pytest.raises(TokenError):
        spend_token(token=token, call_sid=call.call_sid, stream_sid="MZ1")


def test_a_token_of_an_ended_call_is_refused(in_alice):
    call = make_call()
    token = issue(call, in_alice)
    type(call).objects.update(status=CallStatus.COMPLETED)

    with pytest.raises(TokenError):
        spend_token(token=token, call_sid=call.call_sid, stream_sid="MZ1")


def test_a_second_token_voids_the_first(in_alice):
    call = make_call()
    first = issue(call, in_alice)
    issue(call, in_alice)

    with pytest.raises(TokenError):
        spend_token(token=first, call_sid=call.call_sid, stream_sid="MZ1")


def test_only_the_hash_is_stored(in_alice):
    call = make_call()
    token = issue(call, in_alice)

    assert token not in str(type(call).objects.values().get())


@pytest.mark.parametrize("token", ["", "x", ".secret", "t_1."])
def test_a_malformed_token_names_no_schema(token):
    with pytest.raises(TokenError):
        schema_of(token)
