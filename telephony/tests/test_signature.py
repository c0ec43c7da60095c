"""Vectors of the provider's own documentation, with the token `12345`."""

import pytest

from telephony.twilio.signature import Signatures

URL = "https://example.com/myapp.php?foo=1&bar=2"
FORM = {
    "Digits": "1234",
    "To": "+18005551212",
    "From": "+14158675310",
    "Caller": "+14158675310",
    "CallSid": "CA1234567890ABCDE",
}
SHA1 = "L/OH5YylLD5NRKLltdqwSvS0BnU="
SHA256 = "qMztBq0IANMH/q0K9sCfKQJLylezvRdRzRS647SAVow="
SETTINGS = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
signatures = Signatures("12345", {"webhooks_sharedkey_1": "12345"})


def test_classic_signature_of_the_documentation_is_valid():
    assert signatures.is_valid(URL, FORM, SHA1)


def test_shared_key_signature_is_valid_with_its_header():
    assert signatures.is_valid(URL, FORM, SHA256, SETTINGS)


@pytest.mark.parametrize(
    ("url", "form", "signature", "header"),
    [
        (URL, FORM, None, None),
        (URL, FORM, "", None),
        (URL, FORM, SHA256, None),  # the stronger hash without its header
        (URL, FORM, SHA1, SETTINGS),  # the weaker hash under the stronger one's header
        (URL, FORM, SHA256, "key=unknown,algorithm=HMAC_SHA256"),
        (URL, FORM, SHA1, "key=webhooks_sharedkey_1,algorithm=HMAC_SHA1"),
        (URL, FORM, SHA256, "nonsense"),
        (URL + "&x=1", FORM, SHA1, None),
        (URL.replace("https", "http"), FORM, SHA1, None),
        (URL, {**FORM, "Digits": "1235"}, SHA1, None),
        (URL, {**FORM, "Added": ""}, SHA1, None),
    ],
)
def test_anything_else_is_refused(url, form, signature, header):
    assert not signatures.is_valid(url, form, signature, header)


def test_requiring_the_shared_key_refuses_the_classic_signature():
    strict = Signatures("12345", {"webhooks_sharedkey_1": "12345"}, require_shared_key=True)

    assert not strict.is_valid(URL, FORM, SHA1)
    assert strict.is_valid(URL, FORM, SHA256, SETTINGS)


def test_no_token_accepts_nothing():
    assert not Signatures("").is_valid(URL, FORM, SHA1)


@pytest.mark.parametrize("signature", ["7PR3qMkpDyEJtMrVOY/LDyNq8J8=", "T+WBXwUXC0/CyoZ1DA+p9ilZORs="])
def test_stream_signature_is_valid_with_and_without_a_closing_slash(signature):
    assert signatures.is_valid_stream("wss://example.com/media", signature)


def test_stream_signature_of_another_scheme_is_refused():
    assert not signatures.is_valid_stream("wss://example.com/media", "6HZQ7Cq/dSYDCAiy3qRA6PZfACI=")
