from __future__ import annotations

import json
import smtplib
import socket
import threading
from contextlib import closing
from datetime import UTC, datetime

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend

from crm.email.providers import registry, smtp
from crm.email.providers.base import Accepted, Fault, NoAnswer, NotSent, Outgoing, Recipient, Refused, fold, join
from crm.email.providers.payload import address, request_of, varying_bytes
from crm.email.providers.sendgrid import SendGrid, read_answer
from crm.email.providers.smtp import Smtp
from sandbox.sendgrid.faults import Fault as Order
from sandbox.sendgrid.faults import Kind

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def recipient(n: int = 0, **values):
    pieces = {"subject": (f"Ann {n}",), "html": (f"Ann {n}", f"https://l/{n}"), "text": (f"Ann {n}",)}
    return Recipient(**{"email": f"ann{n}@example.com", "name": f"Ann {n}", "pieces": pieces, **values})


def outgoing(*recipients: Recipient, **values) -> Outgoing:
    statics = {"subject": ("News for ", ""), "html": ("<p>", ", <a href='", "'>go</a></p>"), "text": ("Hello ", "!")}
    given = {"key": "abc123", "from_email": "news@acme.example", "from_name": "Acme", "reply_to": "", "statics": statics}
    return Outgoing(recipients=recipients or (recipient(),), **{**given, **values})


# --- what is asked ---------------------------------------------------------------------------------------------------


def test_one_message_is_whole():
    body = request_of(outgoing(recipient(7, custom_args={"a": "b"}, headers={"X-A": "1"})))

    assert body["subject"] == "News for Ann 7"
    assert body["content"] == [
        {"type": "text/plain", "value": "Hello Ann 7!"},
        {"type": "text/html", "value": "<p>Ann 7, <a href='https://l/7'>go</a></p>"},
    ]
    (one,) = body["personalizations"]
    assert one == {
        "to": [{"email": "ann7@example.com", "name": "Ann 7"}],
        "custom_args": {"a": "b"},
        "headers": {"X-A": "1"},
    }
    assert body["from"] == {"email": "news@acme.example", "name": "Acme"}
    assert "reply_to" not in body and "reply_to_list" not in body and "categories" not in body


def read(body, at):
    """What a recipient gets."""
    values = body["personalizations"][at].get("substitutions", {})
    texts = [body["subject"], *(part["value"] for part in body["content"])]
    for tag, value in values.items():
        texts = [text.replace(tag, value) for text in texts]
    return texts


def test_many_messages_are_one_text_with_tags():
    batch = outgoing(*(recipient(n) for n in range(12)))

    body = request_of(batch)

    for n in range(12):
        assert read(body, n) == [f"News for Ann {n}", f"Hello Ann {n}!", f"<p>Ann {n}, <a href='https://l/{n}'>go</a></p>"]
    # The name is in three places and travels once.
    assert body["personalizations"][3]["substitutions"] == {"-abc123x0-": "Ann 3", "-abc123x1-": "https://l/3"}


def test_a_name_that_looks_like_a_tag_stays_a_name():
    batch = outgoing(recipient(0, pieces={**recipient().pieces, "subject": ("-x1-",)}), recipient(1))
    assert read(request_of(batch), 0)[0] == "News for -x1-"


def test_an_answer_comes_to_us_and_to_the_organisation():
    batch = outgoing(
        recipient(0, reply_to="r+a@in.example"), recipient(1, reply_to="r+b@in.example"), reply_to="help@acme.example"
    )

    body = request_of(batch)

    assert [each["email"] for each in body["reply_to_list"]] == ["-abc123xr-@in.example", "help@acme.example"]
    assert [one["substitutions"]["-abc123xr-"] for one in body["personalizations"]] == ["r+a", "r+b"]
    assert "reply_to" not in body


def test_one_place_for_answers():
    assert request_of(outgoing(reply_to="help@acme.example"))["reply_to"]["email"] == "help@acme.example"
    alone = request_of(outgoing(recipient(0, reply_to="r+a@in.example")))
    assert alone["reply_to"]["email"] == "r+a@in.example"


def test_what_is_noticed_is_the_organisations_choice():
    body = request_of(outgoing(track_opens=True, categories=("mailing-1",)))

    assert body["tracking_settings"]["open_tracking"] == {"enable": True}
    assert body["tracking_settings"]["click_tracking"]["enable"] is False
    assert body["tracking_settings"]["subscription_tracking"] == {"enable": False}
    assert body["categories"] == ["mailing-1"]


@pytest.mark.parametrize(
    ("email", "name", "expected"),
    [
        ("a@b.example", "Ann", {"email": "a@b.example", "name": "Ann"}),
        ("a@b.example", "", {"email": "a@b.example"}),
        ("a@b.example", "Miller, Ann; Dr.", {"email": "a@b.example", "name": "Miller Ann Dr."}),
        ("a@b.example", "Zoë\r\nBcc: x@y.example", {"email": "a@b.example", "name": "Zoë Bcc: x@y.example"}),
        ("a@müller.example", "李", {"email": "a@xn--mller-kva.example", "name": "李"}),
    ],
)
def test_how_an_address_is_written(email, name, expected):
    assert address(email, name) == expected


def test_what_all_have_in_common_is_folded_into_the_text():
    statics = {"html": ("a", "b", "c", "d")}
    rows = [{"html": ("1", "x", "2")}, {"html": ("1", "y", "2")}]

    folded, kept = fold(statics, rows)

    assert (folded, kept) == ({"html": ("a1b", "c2d")}, [{"html": ("x",)}, {"html": ("y",)}])
    assert [join(folded["html"], row["html"]) for row in kept] == ["a1bxc2d", "a1byc2d"]
    assert fold(statics, rows[:1]) == ({"html": ("a1bxc2d",)}, [{"html": ()}])


def test_a_recipients_share_is_counted_in_bytes():
    plain = Recipient("a@b.example", "", {"html": ("",)})
    assert varying_bytes(Recipient("a@b.example", "", {"html": ("ü" * 100,)})) == varying_bytes(plain) + 200


@pytest.mark.parametrize("email", ["ann@m\ufffdller.de", f"ann@{'ü' * 60}.de", "ann@aא.de"])
def test_an_address_nobody_can_write_is_named_and_nothing_asked(email, mailoutbox):
    batch = outgoing(recipient(0), recipient(1, email=email), recipient(2))
    named = Refused(400, (Fault("The address cannot be written.", 1),))

    with closing(SendGrid(api_key="x", url="http://127.0.0.1:9")) as provider:
        assert provider.send(batch) == named
    with closing(Smtp()) as provider:
        assert provider.send(outgoing(recipient(1, email=email))) == Refused(400, (Fault(named.faults[0].text, 0),))
    assert mailoutbox == []


def test_half_a_character_is_its_recipients_trouble():
    pieces = {**recipient().pieces, "html": ("\ud800", "")}
    with closing(SendGrid(api_key="x", url="http://127.0.0.1:9")) as provider:
        assert provider.send(outgoing(recipient(), recipient(1, pieces=pieces))).faults[0].recipient == 1


def test_a_request_that_cannot_be_written_at_all_is_nobodys_in_particular():
    with closing(SendGrid(api_key="x", url="http://127.0.0.1:9")) as provider:
        answer = provider.send(outgoing(recipient(), recipient(1), from_email="a@m\ufffdller.de"))
    assert answer == Refused(400, (Fault("The request cannot be written."),))


@pytest.mark.parametrize(("begun", "expected"), [(True, NoAnswer), (False, Refused)])
def test_an_error_nobody_thought_of_does_not_escape(begun, expected, monkeypatch):
    provider = Smtp()

    def fail(messages):
        provider._text_was_begun = begun
        raise ZeroDivisionError

    monkeypatch.setattr(provider._backend, "send_messages", fail)
    assert isinstance(provider.send(outgoing()), expected)
    other = SendGrid(api_key="x", url="http://127.0.0.1:9")
    monkeypatch.setattr(other._session, "post", fail)
    assert isinstance(other.send(outgoing()), NoAnswer)
    other.close()


# --- what is answered ------------------------------------------------------------------------------------------------


def errors(*pairs):
    return json.dumps({"errors": [{"message": text, "field": field} for text, field in pairs]}).encode()


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (202, {"X-Message-Id": "abc"}, b"", Accepted("abc", 202)),
        (502, {}, b"", NoAnswer("The provider answered 502.")),
        (504, {}, b"", NoAnswer("The provider answered 504.")),
        (408, {}, b"", NoAnswer("The provider answered 408.")),
        (524, {}, b"", NoAnswer("The provider answered 524.")),  # a CDN's: the server behind it may have it
        (201, {}, b"", NoAnswer("The provider answered 201.")),  # no answer of the vendor's, and perhaps a success
        (500, {}, b"oops", Refused(500, is_retryable=True)),
        (429, {"Retry-After": "7"}, b"{}", Refused(429, is_retryable=True, retry_after_s=7.0)),
        (
            429,
            {"X-RateLimit-Reset": str(int(NOW.timestamp()) + 9)},
            b"",
            Refused(429, is_retryable=True, retry_after_s=9.0),
        ),
        (413, {}, b"", Refused(413, is_too_large=True)),
        (401, {}, errors(("bad key", None)), Refused(401, (Fault("bad key"),), is_account=True)),
        (403, {}, errors(("not a sender", "from")), Refused(403, (Fault("not a sender (from)"),), is_account=True)),
        (
            400,
            {},
            errors(("no", "personalizations.3.to.0.email"), ("x", "subject")),
            Refused(400, (Fault("no (personalizations.3.to.0.email)", 3), Fault("x (subject)"))),
        ),
        (400, {}, b"[]", Refused(400)),
        (400, {}, b'{"errors": [1]}', Refused(400)),
        (301, {}, b"", Refused(301)),
    ],
)
def test_what_an_answer_means(status, headers, body, expected):
    assert read_answer(status, headers, body, now=NOW) == expected


def test_an_empty_refusal_has_words_all_the_same():
    assert Refused(400).text == "The provider answered 400."


# --- over a socket ---------------------------------------------------------------------------------------------------


@pytest.fixture
def sendgrid(providers):
    providers.mail.any_sender = True
    account = SendGrid(api_key=providers.mail.api_key, url=providers.url, timeout_s=1.0)
    yield account
    account.close()


def test_the_provider_takes_a_batch(sendgrid, providers):
    answer = sendgrid.send(outgoing(*(recipient(n) for n in range(5))))

    assert answer == Accepted(providers.mail.copies[0].posting.id, 202)
    assert [copy.letter().subject for copy in providers.mail.copies] == [f"News for Ann {n}" for n in range(5)]


@pytest.mark.parametrize(
    ("kind", "expected", "accepted"),
    [(Kind.HANG, NoAnswer, 1), (Kind.DROP, NoAnswer, 1), (Kind.BREAK, NoAnswer, 0)],
)
def test_a_request_without_an_answer(sendgrid, providers, kind, expected, accepted):
    providers.mail.faults.order(Order(kind))

    assert isinstance(sendgrid.send(outgoing()), expected)
    assert providers.mail.accepted == accepted


def test_nobody_listens(sendgrid, providers):
    with providers.away():
        assert isinstance(sendgrid.send(outgoing()), NotSent)


@pytest.mark.parametrize("url", ["http://no-such-host.invalid", "http://127.0.0.1:1"])
def test_an_address_that_leads_nowhere(url):
    assert isinstance(SendGrid(api_key="x", url=url).send(outgoing()), NotSent)


def test_a_server_that_speaks_no_tls(providers):
    """Whether such a connection carried anything is not for us to guess."""
    url = providers.url.replace("http:", "https:")
    assert isinstance(SendGrid(api_key="x", url=url, timeout_s=1.0).send(outgoing()), NoAnswer | NotSent)


def test_a_wrong_key_says_so_and_is_logged_nowhere(providers, caplog):
    caplog.set_level("DEBUG")

    answer = SendGrid(api_key="SG.secret", url=providers.url).send(outgoing())

    assert isinstance(answer, Refused) and answer.is_account and answer.text
    assert "SG.secret" not in caplog.text


def test_without_substitutions_nothing_may_differ(providers):
    assert SendGrid(api_key="x", substitutions=False).max_varying_bytes == 0


# --- a mail server ---------------------------------------------------------------------------------------------------


def test_a_mail_server_gets_a_whole_message(settings):
    batch = outgoing(
        recipient(1, headers={"List-Unsubscribe": "<https://x>"}, reply_to="r+a@in.example", name="Miller, Ann"),
        reply_to="help@acme.example",
    )

    assert Smtp().send(batch) == Accepted()

    (message,) = mail.outbox
    assert (message.subject, message.body) == ("News for Ann 1", "Hello Ann 1!")
    assert message.to == ['"Miller, Ann" <ann1@example.com>']
    assert message.from_email == "Acme <news@acme.example>"
    assert message.reply_to == ["r+a@in.example", "help@acme.example"]
    assert message.extra_headers["List-Unsubscribe"] == "<https://x>"
    ((html, kind),) = message.alternatives
    assert (kind, "Ann 1" in html) == ("text/html", True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (smtplib.SMTPRecipientsRefused({"a": (550, b"no such user")}), Refused(550, (Fault("550 no such user", 0),))),
        (
            smtplib.SMTPRecipientsRefused({"a": (450, b"try\n later")}),
            Refused(450, (Fault("450 try later", 0),), is_retryable=True),
        ),
        (smtplib.SMTPSenderRefused(553, b"not you", "x"), Refused(553, (Fault("553 not you"),), is_account=True)),
        (smtplib.SMTPDataError(554, b"spam"), Refused(554, (Fault("554 spam", 0),))),
        (smtplib.SMTPDataError(421, b"bye"), Refused(421, (Fault("421 bye"),), is_retryable=True)),
        (smtplib.SMTPServerDisconnected("gone"), NoAnswer("The mail server closed the connection.")),
        (ConnectionResetError(), NoAnswer("The connection to the mail server broke.")),
        (
            UnicodeEncodeError("ascii", "ü", 0, 1, "no"),
            Refused(500, (Fault("The address or a header cannot be written.", 0),)),
        ),
    ],
)
def test_what_a_mail_servers_errors_mean(error, expected):
    assert smtp._answer(error) == expected


class MailServer:
    """Accepts one session and then, after a command, does as told."""

    def __init__(self, *, refuse: str = "", hang_up_at: str = "") -> None:
        self.refuse, self.hang_up_at = refuse, hang_up_at
        self.messages: list[str] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer, peer.makefile("rw", newline="\r\n") as lines:
                self._session(lines)

    def _session(self, lines) -> None:
        self._say(lines, "220 hello")
        while line := lines.readline():
            word = line.split()[0].upper()
            if word == self.hang_up_at:
                return
            if word == self.refuse:
                self._say(lines, "550 not here")
            elif word == "DATA":
                self._say(lines, "354 go on")
                text = ""
                while (part := lines.readline()) not in (".\r\n", ".\n", ""):
                    text += part
                if self.hang_up_at == ".":
                    return
                self.messages.append(text)
                self._say(lines, "250 taken")
            elif word == "QUIT":
                self._say(lines, "221 bye")
                return
            else:
                self._say(lines, "250 fine")

    def _say(self, lines, text) -> None:
        lines.write(text + "\r\n")
        lines.flush()


@pytest.fixture
def mail_server(settings):
    servers = []

    def start(**values):
        server = MailServer(**values)
        servers.append(server)
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        return server, Smtp()

    yield start
    for server in servers:
        server.socket.shutdown(socket.SHUT_RDWR)
        server.socket.close()


def test_a_session_carries_several_messages(mail_server):
    server, provider = mail_server()

    assert [provider.send(outgoing(recipient(n))) for n in range(3)] == [Accepted()] * 3
    provider.close()

    assert ["ann2@example.com" in text for text in server.messages] == [False, False, True]


def test_a_recipient_the_server_does_not_know(mail_server):
    _, provider = mail_server(refuse="RCPT")

    assert provider.send(outgoing()) == Refused(550, (Fault("550 not here", 0),))
    provider.close()


def test_a_server_that_hangs_up_after_the_text(mail_server):
    _, provider = mail_server(hang_up_at=".")

    assert isinstance(provider.send(outgoing()), NoAnswer)
    provider.close()


def test_a_server_that_hangs_up_before_the_text(mail_server):
    _, provider = mail_server(hang_up_at="RCPT")

    assert isinstance(provider.send(outgoing()), NotSent)
    provider.close()


class Unobserved(BaseEmailBackend):
    """A backend that is no SMTP session one could watch: its connection breaks in the midst of things."""

    def open(self) -> bool:
        return True

    def send_messages(self, email_messages: object) -> int:
        raise ConnectionResetError


def test_who_cannot_be_watched_may_have_taken_it(settings):
    settings.EMAIL_BACKEND = f"{__name__}.Unobserved"

    assert isinstance(Smtp().send(outgoing()), NoAnswer)


def test_a_server_that_is_not_there(mail_server, unused_port, settings):
    _, provider = mail_server()
    settings.EMAIL_PORT = unused_port

    assert Smtp().send(outgoing()) == NotSent("The mail server cannot be reached.")
    provider.close()


# --- which one -------------------------------------------------------------------------------------------------------


def test_the_key_decides(settings, monkeypatch):
    assert isinstance(registry.provider(), Smtp)
    assert registry.reports_events() is False

    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "SG.x")
    assert isinstance(registry.provider(), SendGrid)
    assert registry.reports_events() is True
    monkeypatch.setattr(settings.ENV, "sendgrid_webhook_public_key", [])  # whatever it tells, nobody can believe it
    assert registry.reports_events() is False

    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "")
    settings.EMAIL_IS_DELIVERED = False
    assert registry.provider() is None
    assert registry.reports_events() is None
