import hashlib
import hmac
import time

import pytest

from crm.hooks.signing import VERIFICATION_SNIPPET, new_secret, signature, verify

BODY = b'{"id":"1"}'


def signed(*keys, at=None, body=BODY):
    return signature(keys=keys, timestamp=int(time.time() if at is None else at), body=body)


def test_the_signature_is_what_the_page_says():
    digest = hmac.new(b"key", b'1700000000.{"id":"1"}', hashlib.sha256).hexdigest()

    assert signature(keys=["key"], timestamp=1700000000, body=BODY) == f"t=1700000000,v1={digest}"


def test_either_of_two_secrets_fits():
    header = signed("new", "old")

    assert header.count("v1=") == 2
    assert [verify(key, header, BODY) for key in ("new", "old", "older")] == [True, True, False]


def test_another_body_or_time_does_not_fit():
    header = signed("key")

    assert not verify("key", header, b'{"id":"2"}')
    assert not verify("key", "t=" + str(int(time.time()) + 1) + header[header.index(",") :], BODY)


@pytest.mark.parametrize("age_s", [301, -310])
def test_a_replayed_message_is_refused(age_s):
    assert not verify("key", signed("key", at=time.time() - age_s), BODY)


@pytest.mark.parametrize("header", ["", "t=", "v1=ab", "t=now,v1=ab", "t=²,v1=ab", "t=1", ",,", "v1=é,t=99999999999"])
def test_a_malformed_header_is_refused(header):
    assert verify("key", header, BODY) is False


def test_the_snippet_on_the_page_runs_by_itself():
    names: dict = {}
    exec(VERIFICATION_SNIPPET, names)

    assert names["verify"]("key", signed("key"), BODY)
    assert not names["verify"]("other", signed("key"), BODY)


def test_secrets_are_long_and_different():
    first, second = new_secret(), new_secret()

    assert first != second
    assert first.startswith("whsec_")
    assert len(first) >= 48
