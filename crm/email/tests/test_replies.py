"""Answers that come in: whose timeline they belong to, and what is a person's."""

import json
import logging
import uuid

import pytest
from django.core.files.storage import default_storage
from django.db import DatabaseError
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from crm.email import signing, webhooks
from crm.email.enums import DomainState
from crm.email.inbound import FormError, parts_of, read_form, read_inbound, strip_tags
from crm.email.models import EmailDomain, EmailMessage, EmailTemplate, InboundEmail
from crm.email.services import links, replies
from crm.email.services.enrolling import enrol_contact
from crm.email.services.sequences import save_sequence
from crm.email.services.timeline import log_sent
from crm.email.steps import Draft
from crm.email.tests.news import make_message
from crm.hooks.enums import Event
from crm.hooks.models import WebhookDelivery
from crm.hooks.tests.factories import make_endpoint
from crm.models import Attachment, Contact, Interaction
from crm.services.attachments import read_attachment
from crm.services.merging import merge_contacts
from crm.tests.factories import make_contact
from tenants.context import entered
from tenants.models import SendingDomain

BOUNDARY = "xYzZY"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.fixture(autouse=True)
def takes_mail_in(settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "inbound_email_host", "reply.example")


@pytest.fixture
def message(alice):
    with entered(alice):
        return make_message()


@pytest.fixture
def theirs(bob):
    with entered(bob):
        return make_message()


def reply_to(tenant, message):
    with entered(tenant):
        return links.reply_address(message.pk)


def part(name, data, filename=None, content_type=None):
    head = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    if content_type:
        head += f"\r\nContent-Type: {content_type}"
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + (data if isinstance(data, bytes) else data.encode()) + b"\r\n"


def form(to, *, files=(), **fields):
    """A post as the provider makes it."""
    values = {
        "headers": f"Message-ID: <{uuid.uuid4().hex}@example.com>\nSubject: x\n",
        "from": "Ann Example <ann@example.com>",
        "to": to,
        "subject": "Re: Your appointment",
        "text": "Thursday is fine.\n\nOn Mon, 16 Nov 2026 at 10:00, Alice <a@a.test> wrote:\n> See you on Thursday.\n",
        "dkim": "{@example.com : pass}",
        "SPF": "pass",
        "envelope": json.dumps({"to": [to], "from": "ann@example.com"}),
        "charsets": json.dumps({"text": "UTF-8", "subject": "UTF-8"}),
        **fields,
    }
    parts = [part(name, value) for name, value in values.items() if value is not None]
    parts += [part(f"attachment{n}", data, name, kind) for n, (name, kind, data) in enumerate(files, 1)]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def post(body, secret=None, content_type=TYPE):
    path = f"/api/webhooks/sendgrid/inbound/{secret or signing.inbound_secret()}"
    return Client(headers={"host": "any.example"}).post(path, body, content_type=content_type)


def received(tenant):
    with entered(tenant):
        return list(Interaction.objects.filter(natural_key__startswith="email-in:").order_by("pk"))


def test_an_answer_is_on_its_contacts_timeline_and_the_message_knows(alice, bob, message, theirs):
    with entered(alice):
        log_sent(message_ids=[message.pk])
        make_endpoint(events=[Event.EMAIL_REPLIED])

    assert post(form(reply_to(alice, message))).status_code == 200

    [entry] = received(alice)
    assert (entry.contact_id, entry.kind, entry.subject) == (message.contact_id, "email", "Re: Your appointment")
    assert entry.content.startswith("Thursday is fine.") and "> See you" in entry.content
    assert entry.metadata == {"direction": "in", "in_reply_to": str(message.pk), "authenticated": True}
    with entered(alice):
        message.refresh_from_db()
        row = InboundEmail.objects.get()
        assert (row.message_id, row.interaction_id, row.text) == (message.pk, entry.pk, "Thursday is fine.")
        assert row.received_at == message.replied_at
        assert "replied_at" in Interaction.objects.get(natural_key=f"email:{message.pk}").metadata
        told = WebhookDelivery.objects.get()
        assert (told.payload["message"], told.payload["interaction"]) == (str(message.pk), entry.pk)
        assert Contact.objects.get().last_interaction_at == entry.interaction_date
    assert received(bob) == []


def test_the_same_answer_again_is_one(alice, message):
    body = form(reply_to(alice, message))

    assert [post(body).status_code for _ in range(3)] == [200] * 3
    assert len(received(alice)) == 1
    with entered(alice):
        assert InboundEmail.objects.count() == 1


def test_without_an_id_of_its_own_it_is_known_by_what_it_consists_of(alice, message):
    to = reply_to(alice, message)
    for text in ("one", "one", "two"):
        post(form(to, headers="Subject: x\n", text=text))

    assert [entry.content for entry in received(alice)] == ["one", "two"]


def test_a_second_answer_keeps_the_first_time(alice, message):
    to = reply_to(alice, message)
    post(form(to))
    with entered(alice):
        first = EmailMessage.objects.get().replied_at
    post(form(to))

    with entered(alice):
        assert EmailMessage.objects.get().replied_at == first
    assert len(received(alice)) == 2


def test_mail_servers_may_change_the_case_of_the_address(alice, message):
    post(form(reply_to(alice, message).upper()))

    assert len(received(alice)) == 1


def test_somebody_else_who_answers_is_marked(alice, message):
    post(form(reply_to(alice, message), **{"from": "assistant@example.com", "dkim": "none", "SPF": "fail"}))

    [entry] = received(alice)
    assert (entry.contact_id, entry.metadata["other_sender"], entry.metadata["authenticated"]) == (
        message.contact_id,
        True,
        False,
    )


def test_who_was_merged_meanwhile_has_it_where_they_went(alice, message, owner):
    with entered(alice):
        kept = make_contact("Kept")
        merge_contacts(kept=kept, merged=message.contact, take={}, by=owner)

    post(form(reply_to(alice, message)))

    assert [entry.contact_id for entry in received(alice)] == [kept.pk]


def test_an_answer_to_a_contact_that_is_gone_is_kept_with_its_message(alice, message):
    with entered(alice):
        EmailMessage.objects.update(contact=None)

    assert post(form(reply_to(alice, message))).status_code == 200

    assert received(alice) == []
    with entered(alice):
        assert InboundEmail.objects.get().interaction is None
        assert EmailMessage.objects.get().replied_at is not None


# --- without a token ---------------------------------------------------------------------------------------------------


@pytest.fixture
def own_domain(alice):
    return own(alice, "acme.example")


def own(tenant, domain, state=DomainState.VERIFIED):
    with entered(tenant):
        EmailDomain.objects.create(domain=domain, state=state)
    return SendingDomain.objects.create(domain=domain, tenant=tenant)


def test_mail_to_an_own_domain_is_its_senders(alice, bob, message, theirs, own_domain):
    post(form("hello@mail.acme.example"))

    [entry] = received(alice)
    assert entry.contact_id == message.contact_id and "in_reply_to" not in entry.metadata
    assert received(bob) == []


@pytest.mark.parametrize(("state", "is_theirs"), [(DomainState.LOST, True), (DomainState.PENDING, False)])
def test_mail_to_a_domain_is_for_whoever_has_shown_that_it_is_theirs(
    alice, bob, message, theirs, own_domain, state, is_theirs
):
    own(bob, "mail.acme.example", state)

    post(form("hello@mail.acme.example"))

    assert [len(received(tenant)) for tenant in (alice, bob)] == ([0, 1] if is_theirs else [1, 0])


def test_mail_to_a_domain_nobody_has_shown_to_be_theirs_is_nobodys(bob, theirs):
    own(bob, "acme.example", DomainState.REGISTERING)

    post(form("hello@acme.example"))

    assert received(bob) == []


@pytest.mark.parametrize(
    "claims",
    [
        {"dkim": "{@example.com : fail}", "SPF": "fail"},
        {"dkim": "none", "SPF": "softfail"},
        {"dkim": "{@evil.test : pass}", "SPF": "fail"},
        {"dkim": "{@notexample.com : pass}", "SPF": "none"},
        {"dkim": "none", "SPF": "pass", "envelope": '{"to":["hello@acme.example"],"from":"x@evil.test"}'},
        {"from": "Ann <ann@nowhere.test>"},
        {"from": ""},
    ],
)
def test_a_sender_nobody_vouches_for_reaches_no_timeline(alice, message, own_domain, claims):
    assert post(form("hello@acme.example", **claims)).status_code == 200

    assert received(alice) == []
    with entered(alice):
        assert not InboundEmail.objects.exists()


@pytest.mark.parametrize(
    "claims",
    [
        {"dkim": "{@example.com : pass}", "SPF": "fail"},
        {"dkim": "{@evil.test : fail, @mail.example.com : pass}", "SPF": "fail"},
        {"dkim": "none", "SPF": "pass"},
    ],
)
def test_either_a_signature_or_the_server_vouches(alice, message, own_domain, claims):
    post(form("hello@acme.example", **claims))

    assert len(received(alice)) == 1


@pytest.mark.parametrize("to", ["r+aaaa@reply.example", "hello@reply.example", "x", "", "ann@example.com"])
def test_what_is_nobodys_is_thanked_for_and_forgotten(alice, bob, message, theirs, to, caplog):
    with caplog.at_level(logging.INFO):
        assert post(form(to)).status_code == 200

    assert (received(alice), received(bob)) == ([], [])
    assert "dealt with" in caplog.text
    for private in ("ann@example.com", "Thursday", "appointment"):
        assert private not in caplog.text


def test_a_token_somebody_changed_is_nobodys(alice, message):
    to = reply_to(alice, message)
    changed = to.replace(to[5], "a" if to[5] != "a" else "b", 1)

    post(form(changed))

    assert received(alice) == []


def test_the_name_of_the_form_is_not_where_it_went(alice, message):
    """The header To is the sender's claim; the envelope is where it was delivered."""
    post(form(reply_to(alice, message), envelope='{"to":["x@elsewhere.example"],"from":"ann@example.com"}'))

    assert received(alice) == []


# --- programs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"headers": "Auto-Submitted: auto-replied\nMessage-ID: <1@x>\n"},
        {"headers": "Auto-Submitted: auto-generated; x=y\nMessage-ID: <2@x>\n"},
        {"headers": "Precedence: bulk\nMessage-ID: <3@x>\n"},
        {"headers": "X-Autoreply: yes\nMessage-ID: <4@x>\n"},
        {"headers": "Content-Type: multipart/report; report-type=delivery-status\nMessage-ID: <5@x>\n"},
        {"subject": "Out of Office: Re: Your appointment"},
        {"subject": "Automatische Antwort: Termin"},
        {"subject": "Undeliverable: Your appointment"},
        {"headers": "X-Auto-Response-Suppress: All\nMessage-ID: <6@x>\n"},
        {"subject": "Automatiskt svar: Ditt besök"},
        {"subject": "Automatyczna odpowiedź: Wizyta"},
        {"subject": "Автоответ: Встреча"},
        {"subject": "自動応答: 予約"},
        {"subject": "Automaattinen vastaus: Käynti"},
        {"subject": "Réponse automatique : Rendez-vous"},
        {"from": "MAILER-DAEMON@example.com"},
        {"from": "no-reply@example.com"},
    ],
)
def test_what_a_program_wrote_is_shown_and_is_no_reply(alice, message, change):
    with entered(alice):
        make_endpoint(events=[Event.EMAIL_REPLIED])
    post(form(reply_to(alice, message), **change))

    [entry] = received(alice)
    assert entry.metadata["automatic"] is True
    with entered(alice):
        assert InboundEmail.objects.get().is_automatic
        assert EmailMessage.objects.get().replied_at is None
        assert not WebhookDelivery.objects.exists()


def test_from_nobody_is_from_a_program(alice, message):
    to = reply_to(alice, message)
    post(form(to, envelope=json.dumps({"to": [to], "from": ""})))

    assert received(alice)[0].metadata["automatic"] is True


@pytest.mark.parametrize("headers", ["Auto-Submitted: no\n", "Precedence: normal\n", "", "nonsense", "Subject: auto\n"])
def test_people_are_not_taken_for_programs(alice, message, headers):
    post(form(reply_to(alice, message), headers=headers, subject="Re: automatic doors"))

    assert "automatic" not in received(alice)[0].metadata


@pytest.mark.parametrize("subject", ["Automobile repair", "Auto kaputt", "Poissaolo on ok", "Undeliverablex", "Re: auto"])
def test_subjects_of_people_are_not_taken_for_programs(alice, message, subject):
    post(form(reply_to(alice, message), subject=subject))

    assert "automatic" not in received(alice)[0].metadata


def test_nothing_is_ever_answered(alice, message, mailoutbox):
    post(form(reply_to(alice, message)))

    assert mailoutbox == []
    with entered(alice):
        assert EmailMessage.objects.count() == 1


# --- what it consists of -----------------------------------------------------------------------------------------------


def test_each_field_is_read_in_its_own_encoding(alice, message):
    body = form(
        reply_to(alice, message),
        subject="Re: Grüße".encode("iso-8859-1"),
        text="Über 5 € – schön".encode("windows-1252"),
        charsets=json.dumps({"subject": "iso-8859-1", "text": "windows-1252"}),
    )

    assert post(body).status_code == 200
    assert (received(alice)[0].subject, received(alice)[0].content) == ("Re: Grüße", "Über 5 € – schön")


@pytest.mark.parametrize(
    "charsets", ["{}", "no json", '{"text":"x-unknown"}', '{"text":5}', "[1]", '{"text":"utf-16\\u0000"}']
)
def test_bytes_that_are_no_utf_8_are_read_as_well_as_can_be(alice, message, charsets):
    assert post(form(reply_to(alice, message), text=b"caf\xe9 \x00\x07ok", charsets=charsets)).status_code == 200

    assert received(alice)[0].content == "café ok"


@pytest.mark.parametrize("charset", ["punycode", "PunyCode", "idna", "unicode_escape", "x-unknown"])
def test_encodings_no_mail_is_written_in_are_not_used(charset):
    charsets = json.dumps({"text": charset})
    mail = read_inbound(read_form(TYPE, form("a@b.example", text="caf\u00e9 MnchenKche-d6ab".encode(), charsets=charsets)))
    assert mail.text == "café MnchenKche-d6ab"


@pytest.mark.parametrize("charset", ["ISO-8859-1", "windows-1252", "cp1252", "latin1", "iso8859-15"])
def test_encodings_mail_is_written_in_are(charset):
    charsets = json.dumps({"text": charset})
    assert (
        read_inbound(read_form(TYPE, form("a@b.example", text="caf\u00e9".encode(charset), charsets=charsets))).text
        == "café"
    )


@pytest.mark.parametrize("charset", ["gb18030", "big5", "shift_jis", "euc-kr", "iso-2022-jp", "koi8-r"])
def test_so_are_those_of_other_scripts(charset):
    text = "Привет" if charset == "koi8-r" else "中"
    charsets = json.dumps({"text": charset})
    assert read_inbound(read_form(TYPE, form("a@b.example", text=text.encode(charset), charsets=charsets))).text == text


@pytest.mark.parametrize("name", ["name*=punycode''b%FC-0", 'name="=?punycode?q?b-=FC?="', "name*0*=idna'en'b%FC"])
def test_headers_in_such_an_encoding_break_nothing(name):
    raw = f"Content-Type: text/plain; {name}\nContent-Disposition: inline; file{name}\n\nHello".encode()

    (file,) = read_inbound(read_form(TYPE, form("a@b.example", email=raw))).files

    assert file.data == b"Hello"


def test_no_more_of_a_header_is_looked_at_than_anybody_needs():
    raw = b"Content-Type: text/plain\nContent-Disposition: attachment; filename=" + b"a" * 50_000 + b"\n\nHello"

    (file,) = read_inbound(read_form(TYPE, form("a@b.example", email=raw))).files

    assert file.data == b"Hello" and 0 < len(file.name) < 2_000


def test_html_only_becomes_text(alice, message):
    post(form(reply_to(alice, message), text=None, html="<p>Yes, <b>please</b> {{ 7*7 }}</p><script>alert(1)</script>"))

    assert received(alice)[0].content == "Yes, please {{ 7*7 }}"


XHTML = '<?xml version="1.0" encoding="UTF-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><body><p>Seen</p></body></html>'
OLD = "See you <b>Thursday</b>?"


@pytest.mark.parametrize(
    ("html", "said", "has_history"),
    [
        (XHTML, "Seen", False),
        ("<p>" + "x" * 60 + "</p>" + "<div>words </div>" * 40_000, None, False),
        (
            f'<div>Yes</div><div class="gmail_quote"><div>On 1 May A wrote:</div><blockquote>{OLD}</blockquote></div>',
            "Yes",
            True,
        ),
        (f'<div>Yes</div><blockquote type="cite"><div>{OLD}</div></blockquote>', "Yes", True),
        (f'<p>Yes</p><div id="divRplyFwdMsg"><b>From:</b> A<br><b>Sent:</b> 10:00</div><div>{OLD}</div>', "Yes", True),
        (f'<p>Yes</p><div style="border:none;border-top:solid #E1E1E1 1.0pt"><p>Von: A</p></div><p>{OLD}</p>', "Yes", True),
        (f"<blockquote>{OLD}</blockquote><p>Yes</p><blockquote>And Friday?</blockquote><p>No</p>", None, False),
        ("<p>Yes<!-- ", "Yes", False),
        ("Yes <script>alert(1)</script><style>p{}</style>", "Yes", False),
    ],
)
def test_html_keeps_its_words_and_what_is_quoted_is_history(alice, message, html, said, has_history):
    post(form(reply_to(alice, message), text=" \r\n", html=html))

    (entry,) = received(alice)
    found = parts_of(entry.content)
    assert entry.content.strip()
    assert found[0] == (entry.content if said is None else said)
    assert bool(found[1]) is has_history
    assert not has_history or "Thursday" in found[1]


@pytest.mark.parametrize("declared", ["", '<meta charset="windows-1251">', "named"])
def test_html_is_read_as_it_is_declared(declared):
    charset = "windows-1251" if declared == "named" else ""
    html = f"{declared if declared != 'named' else ''}<p>Цены</p>".encode("utf-8" if not declared else "windows-1251")
    charsets = json.dumps({"html": charset} if charset else {})

    mail = read_inbound(read_form(TYPE, form("a@b.example", text=None, html=html, charsets=charsets)))

    assert "<p>Цены</p>" in mail.html


def test_a_blank_text_part_of_a_whole_message_does_not_hide_the_html():
    raw = (
        b"Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n \n"
        b"--b\nContent-Type: text/html; charset=iso-8859-15\n\n<p>5 \xa4</p>\n--b--\n"
    )

    mail = read_inbound(read_form(TYPE, form("a@b.example", email=raw)))

    assert (mail.text.strip(), mail.html.strip()) == ("", "<p>5 €</p>")


@given(st.binary(max_size=400), st.sampled_from(["", "utf-8", "utf-16", "punycode", "x-sjis", "ks_c_5601-1987", "\x00"]))
def test_any_bytes_of_any_encoding_are_read(data, charset):
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html; charset=" + charset.encode() + b"\n\n"
    )
    for body in (
        form("a@b.example", html=data, charsets=json.dumps({"html": charset})),
        form("a@b.example", email=raw + data),
    ):
        mail = read_inbound(read_form(TYPE, body))
        (mail.text + mail.html + mail.subject).encode()


@given(st.text(alphabet="<>/!-abcpscript= \n&;\"'", max_size=300))
def test_tags_can_be_taken_out_of_anything(markup):
    assert "<" not in strip_tags(markup.replace("&", ""))


@given(
    st.lists(st.sampled_from(["Yes", "> no", "", "From: a@b.c", "Sent: 10:00", "On 1.1.2026 A wrote:", "____" * 8, "日本"]))
)
def test_nothing_of_a_text_is_lost_and_own_words_come_first(lines):
    text = "\n".join(lines)

    said, history = parts_of(text)

    assert "".join((said + history).split()) == "".join(text.split())
    assert said or not text.strip()


def test_allowed_files_are_kept_and_others_counted(alice, message):
    files = [
        ("plan.txt", "text/plain", b"the plan\r\n--xYz is not a boundary"),
        ("../../etc/pässwd.png", "image/png", b"\x89PNG\r\n\x1a\n123"),
        ("virus.exe", "application/octet-stream", b"MZ"),
        ("fake.pdf", "application/pdf", b"<html>"),
    ]

    post(form(reply_to(alice, message), files=files))

    with entered(alice):
        kept = {one.name: read_attachment(one) for one in Attachment.objects.all()}
        assert kept == {"plan.txt": files[0][2], "pässwd.png": files[1][2]}
        assert Attachment.objects.first().interaction_id == received(alice)[0].pk
    assert received(alice)[0].metadata["files_refused"] == 2


def test_a_whole_message_is_read_too(alice, message):
    raw = (
        b"From: Ann <ann@example.com>\r\nSubject: ignored\r\nMessage-ID: <raw@x>\r\nAuto-Submitted: auto-replied\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\ncaf\xe9\r\n"
        b'--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename="a.txt"\r\n\r\nfile\r\n--b--\r\n'
    )

    post(form(reply_to(alice, message), headers=None, text=None, email=raw))

    [entry] = received(alice)
    assert (entry.content, entry.metadata["automatic"]) == ("café", True)
    with entered(alice):
        assert Attachment.objects.get().name == "a.txt"


def test_more_than_djangos_own_limit_is_taken(alice, message):
    text = "long " * 700_000  # 3.5 MB in a field

    assert post(form(reply_to(alice, message), text=text)).status_code == 200
    assert len(received(alice)[0].content) == 200_000 - 1  # without the space at the end


# --- what is refused, and what is our own failure ------------------------------------------------------------------------


def test_only_whoever_knows_the_secret_is_listened_to(alice, message):
    body = form(reply_to(alice, message))

    for wrong in ("x", signing.inbound_secret()[:-1], signing.inbound_secret().upper(), "ü"):
        assert post(body, secret=wrong).status_code == 403
    assert received(alice) == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=ü", b"x"),
        (TYPE, b""),
        (TYPE, b"no parts"),
        (TYPE, f"--{BOUNDARY}\r\n\r\n".encode() * 300),
    ],
)
def test_what_is_no_form_is_a_bad_request(db, content_type, body):
    assert post(body, content_type=content_type).status_code == 400


@pytest.mark.parametrize("body", [f"--{BOUNDARY}--\r\n", f"--{BOUNDARY}\r\nnonsense\r\n", f"--{BOUNDARY}\r\n\r\n\r\n\r\n"])
def test_an_empty_form_is_nobodys(db, body):
    assert post(body.encode()).status_code == 200


def test_what_is_too_large_is_refused_and_other_methods_too(db, monkeypatch):
    monkeypatch.setattr(webhooks, "INBOUND_MAX_BYTES", 100)

    assert post(b"x" * 101).status_code == 413
    assert Client().get(f"/api/webhooks/sendgrid/inbound/{signing.inbound_secret()}").status_code == 405


def test_our_own_failure_is_asked_for_again_and_leaves_no_files(alice, message, monkeypatch):
    body = form(reply_to(alice, message), files=[("a.txt", "text/plain", b"words")])
    kept = []
    real = default_storage.save
    monkeypatch.setattr(default_storage, "save", lambda *a, **k: kept.append(real(*a, **k)) or kept[-1], raising=False)

    def fail(*_args, **_more):
        raise DatabaseError("ann@example.com")

    with monkeypatch.context() as patch:
        patch.setattr(replies, "_note_reply", fail)
        assert post(body).status_code == 503
    assert received(alice) == []
    assert len(kept) == 1 and not default_storage.exists(kept[0])

    assert post(body).status_code == 200
    assert len(received(alice)) == 1
    with entered(alice):
        assert Attachment.objects.count() == 1


# --- pure ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said", "quoted"),
    [
        ("Yes.", "Yes.", ""),
        ("Yes.\n\n> You: no?", "Yes.", "> You: no?"),
        ("Yes.\n\nOn Mon, 1 Jan 2026, A <a@b.c> wrote:\n> no?", "Yes.", "On Mon, 1 Jan 2026, A <a@b.c> wrote:\n> no?"),
        ("Yes.\n\nOn Mon, 1 Jan 2026 at 10:00, Somebody Long\n<a@b.c> wrote:\n\n> no?", "Yes.", None),
        ("Ja.\n\nAm 01.01.2026 um 10:00 schrieb A <a@b.c>:\n> nein?", "Ja.", None),
        ("Yes.\r\n\r\n-----Original Message-----\r\nFrom: A", "Yes.", None),
        ("Yes.\n\n________________________________\nFrom: A <a@b.c>", "Yes.", None),
        ("> one?\nYes.\n> two?\nNo.", "> one?\nYes.\n> two?\nNo.", ""),
        ("> only quoted", "> only quoted", ""),
        ("On Friday I wrote: a lot", "On Friday I wrote: a lot", ""),
        # One line that looks like a header is nobody's history (a case from users).
        (
            "Hello again.\nFrom: my colleague bob@x.example\nHe wants Tuesday at 5.",
            "Hello again.\nFrom: my colleague bob@x.example\nHe wants Tuesday at 5.",
            "",
        ),
        ("My details:\nName: Ann\nPhone: 555\nMail: a@b.c", "My details:\nName: Ann\nPhone: 555\nMail: a@b.c", ""),
        ("Yes.\n\nFrom: A <a@b.c>\nSent: Monday 10:00\nTo: B\nSubject: x\n\nold", "Yes.", None),
        ("Tak.\n\nOd: A <a@b.c>\nWysłano: 1 maja 2026 10:00\nDo: B\nTemat: x\n\nstare", "Tak.", None),
        ("Igen.\n\nKuka: A <a@b.c>\nKesken: 1.5.2026 10:00\nMihin: B\nMika: x\n\nvanha", "Igen.", None),
        ("はい。\n\n差出人: A <a@b.c>\n送信日時: 2026年5月1日 10:00\n宛先: B\n件名: x\n\n前", "はい。", None),
        ("Ja.\n\nPå mån 1 maj 2026 kl 10:00 A <a@b.c> skrev:\n> nej?", "Ja.", None),
        ("Да.\n\nпн, 1 мая 2026 г. в 10:00, А <a@b.c>:\n> нет?", "Да.", None),
        ("是的。\n\nA <a@b.c> 于2026年5月1日周五 10:00写道：\n> 不?", "是的。", None),
        ("Hi,\n\nOn 1 May 2026, A <a@b.c> wrote:\n> one?\nYes.\n> two?\nNo.", None, ""),
        ("Plan:\n--- Details ---\nTuesday at 5", "Plan:\n--- Details ---\nTuesday at 5", ""),
        ("We meet on 12.5.2026 at 10:00:\nat the office", "We meet on 12.5.2026 at 10:00:\nat the office", ""),
        ("", "", ""),
    ],
)
def test_what_somebody_wrote_is_told_from_what_they_answered_to(text, said, quoted):
    found = parts_of(text)

    assert found[0] == (text if said is None else said)
    assert bool(found[1]) if quoted is None else found[1] == quoted


def test_hostile_texts_do_not_take_long():
    import time

    texts = [">" * 200_000, "\n" * 200_000, "on " * 66_000 + "wrote:", ("on x" * 50 + "\n") * 900, "_" * 200_000]
    texts += ["a: b@c.d 10:00\n" * 9_000, "> a\n" * 50_000, "x1:\n" * 60_000]
    texts += ["<" * 200_000, "<script>" * 25_000, "<!--" * 50_000]

    begun = time.monotonic()
    for text in texts:
        parts_of(text)
        strip_tags(text)
        read_inbound(read_form(TYPE, form("x@y.z", text=text, subject=text[:9000], dkim=text, headers=text, SPF=text)))

    assert time.monotonic() - begun < 5


def test_forms_are_read_exactly():
    body = part("a", b"\r\nkept\r\n") + part("f", b"\x00\xff", 'n\u00e4me \\"x\\".txt', "text/plain") + b"--xYzZY--"

    found = read_form(TYPE.replace(BOUNDARY, f'"{BOUNDARY}"'), body)

    assert found.fields == {"a": b"\r\nkept\r\n"}
    assert [(file.name, file.data) for file in found.files] == [('näme "x".txt', b"\x00\xff")]
    with pytest.raises(FormError):
        read_form("text/plain", body)


@pytest.mark.parametrize(
    ("header", "kept"),
    [("<a.b@mail.example>", "<a.b@mail.example>"), ("<a b@x>", ""), ("no brackets@x", ""), ("<" + "a" * 400 + ">", "")],
)
def test_only_an_id_that_can_be_named_in_a_header_of_ours_is_kept(alice, message, header, kept):
    post(form(reply_to(alice, message), headers=f"Message-ID: {header}\nSubject: x\n"))

    with entered(alice):
        assert InboundEmail.objects.get().header_id == kept


def test_a_sequence_may_go_on_after_an_answer(alice, message):
    with entered(alice):
        save = {"drafts": [Draft(template_id=EmailTemplate.objects.get(key="welcome").pk, wait_hours=1)], "by": None}
        going_on = save_sequence(sequence=None, name="On", is_active=True, stop_on_reply=False, **save)
        ending = save_sequence(sequence=None, name="Off", is_active=True, **save)
        ways = [enrol_contact(sequence=one, contact=message.contact, by=None) for one in (going_on, ending)]

    post(form(reply_to(alice, message)))

    with entered(alice):
        for way in ways:
            way.refresh_from_db()
    assert [way.state for way in ways] == ["active", "replied"]
