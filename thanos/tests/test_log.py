import logging

import pytest

from thanos.log import LineFormatter, Redact, redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call from +15557001234 failed", "call from [number] failed"),
        ("From=%2B15557001234&To=x", "From=[number]&To=x"),
        ("0043660123456 rang", "[number] rang"),
        ("mail to ann.b+c@mail.example.org!", "mail to [e-mail]!"),
        ("tel:+15557001234", "tel:[number]"),
        ("number=15557001234 ", "number=[number] "),
        ("Bearer tht_abc-DEF_123 and whsec_x1", "Bearer tht_[secret] and whsec_[secret]"),
        ("404 at /join/s3cret-token/", "404 at /join/[token]/"),
        ("Not Found: /mail/u/WyJ0X2Ei:1vK-x_Y", "Not Found: /mail/u/[token]"),
        ("Too Many Requests: /mail/p/WyJ0X2Ei:1vK-x_Y", "Too Many Requests: /mail/p/[token]"),
        ("Forbidden: /api/webhooks/sendgrid/inbound/s3cret", "Forbidden: /api/webhooks/sendgrid/inbound/[token]"),
        ("Forbidden: /api/webhooks/sendgrid", "Forbidden: /api/webhooks/sendgrid"),
        ("took 12345678 ns on 10.0.0.1:50000", "took 12345678 ns on 10.0.0.1:50000"),
        ("call 3f1d0000-0000-4000-8000-000000000001", "call 3f1d0000-0000-4000-8000-000000000001"),
    ],
)
def test_redact(text, expected):
    assert redact(text) == expected


def line(message, *args, **fields):
    record = logging.LogRecord("telephony", logging.INFO, "x.py", 1, message, args, fields.pop("exc_info", None))
    vars(record).update(fields)
    assert Redact().filter(record)
    return LineFormatter().format(record)


def test_arguments_and_fields_are_redacted_and_printed():
    text = line("from %s", "+15557001234", call="abc", who="ann@mail.example.org")

    assert "from [number]" in text
    assert text.endswith("call=abc who=[e-mail]")


def test_tracebacks_have_no_text_of_the_error():
    try:
        text = "no such number: +15557001234"
        raise ValueError(text)
    except ValueError as error:
        text = line("failed", exc_info=(type(error), error, error.__traceback__))

    assert "builtins.ValueError" in text
    assert "test_log.py" in text
    assert "no such number" not in text.replace('text = "no such number', "")


def test_djangos_request_is_left_out_and_other_values_are_redacted():
    text = line("Not Found: /x", request=object(), numbers=["+15557001234"])

    assert "request=" not in text
    assert "numbers=['[number]']" in text


def test_the_tenant_is_on_the_line(in_alice):
    assert f"tenant={in_alice.schema_name}" in line("hello")
