"""Only the provider is believed."""

import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from crm.email import signing
from crm.email.signing import KeyFormatError, is_signed, is_timely, read_key
from crm.email.tests.news import Key

BODY = b'[{"event":"delivered"}]\r\n'
KEY = Key()


def check(body=BODY, keys=(KEY.public,), signed=BODY, key=KEY, **headers):
    made = key.headers(signed, "1795165783")
    values = list(made.values())
    return is_signed(
        keys=list(keys),
        body=body,
        signature=headers.get("signature", values[0]),
        timestamp=headers.get("timestamp", values[1]),
    )


def test_what_the_provider_signed_is_believed():
    assert check()


@pytest.mark.parametrize("body", [BODY.rstrip(), BODY + b" ", BODY.replace(b"delivered", b"bounce"), b""])
def test_a_changed_body_is_not_even_without_its_last_line_break(body):
    assert not check(body=body)


def test_another_time_does_not_fit():
    assert not check(timestamp="1795165784")


@pytest.mark.parametrize("signature", ["", "not base64!", "AAAA", "ünïcode", "=", "TUlJ" * 500])
def test_a_malformed_signature_does_not_fit(signature):
    assert not check(signature=signature)


@pytest.mark.parametrize("timestamp", ["", "٣٤٥", "x"])
def test_a_malformed_time_does_not_fit(timestamp):
    assert not check(timestamp=timestamp)


def test_another_key_does_not_fit():
    assert not check(keys=[Key().public])
    assert not check(keys=[])


def test_while_keys_change_each_of_them_is_believed():
    old, new = Key(), Key()

    assert check(keys=[new.public, old.public], key=old)
    assert check(keys=[new.public, old.public], key=new)


def test_one_key_may_be_given_by_itself():
    headers = list(KEY.headers(BODY, "1795165783").values())

    assert is_signed(keys=KEY.public, body=BODY, signature=headers[0], timestamp=headers[1])


def test_a_key_that_cannot_be_read_is_passed_over():
    assert check(keys=["nonsense", KEY.public])
    assert not check(keys=["nonsense", "", "ünï"])


@pytest.mark.parametrize("text", ["", "nonsense", "AAAA", "ünï"])
def test_what_is_no_key_says_so(text):
    with pytest.raises(KeyFormatError):
        read_key(text)


def test_a_key_of_another_kind_says_so():
    import base64

    for private in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        der = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(KeyFormatError, match="P-256"):
            read_key(base64.b64encode(der).decode())


@pytest.mark.parametrize(
    ("age_s", "fits"),
    [(0, True), (25 * 3600 - 1, True), (25 * 3600 + 1, False), (-599, True), (-601, False)],
)
def test_only_the_time_a_request_may_be_on_its_way_is_taken(age_s, fits):
    now = 1_795_165_783.0

    assert is_timely(str(int(now - age_s)), now=now) is fits


@pytest.mark.parametrize("timestamp", ["", "abc", "-5", "1e9", "٣", "9" * 4000, "1795165783.5"])
def test_what_is_no_time_is_not_taken(timestamp):
    assert not is_timely(timestamp, now=time.time())


def test_the_address_of_inbound_parse_is_this_installations_own(settings):
    secret = signing.inbound_secret()

    assert signing.is_inbound_secret(secret) and len(secret) == 40
    assert signing.inbound_url() == f"https://calls.example/api/webhooks/sendgrid/inbound/{secret}"
    for wrong in ("", secret[:-1], secret + "0", secret.upper(), "ü"):
        assert not signing.is_inbound_secret(wrong)
    settings.SECRET_KEY = "another" * 8
    assert not signing.is_inbound_secret(secret)
