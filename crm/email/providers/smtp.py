"""Any SMTP server, through Django's e-mail backend. What becomes of a message after that is not reported."""

from __future__ import annotations

import smtplib
from email.utils import formataddr
from typing import Any

from django.core.mail import EmailMultiAlternatives, get_connection

from crm.email.providers.base import Accepted, Answer, Fault, NoAnswer, NotSent, Outgoing, Recipient, Refused
from crm.email.providers.payload import ascii_address, unwritable

_PERMANENT = 500
_CLOSING = 421  # the server goes away, whoever asks


class Smtp:
    """The configured server (settings.EMAIL_*). One message a request; the connection is kept until it is closed."""

    name = "smtp"
    reports_events = False
    max_recipients = 1
    max_varying_bytes = 0
    max_bytes = 20_000_000

    def __init__(self) -> None:
        self._backend: Any = get_connection()
        self._is_open = False
        self._is_watched = False
        self._text_was_begun = False

    def send(self, batch: Outgoing) -> Answer:
        """Hand over the one message. Raises nothing."""
        try:
            message = self._message(batch, batch.recipients[0])
        except ValueError:  # UnicodeError is one
            return unwritable(batch)
        if (trouble := self._open()) is not None:
            return trouble
        self._text_was_begun = not self._is_watched  # who cannot tell has to believe the worst
        try:
            self._backend.send_messages([message])
        except Exception as error:
            # The server may have closed the session after it said no; the next message gets a new one.
            self._drop()
            answer = _answer(error)
            if not isinstance(answer, NoAnswer) or self._text_was_begun:
                return answer
            # Neither the server's doing nor the network's: the message's, and it would be the same another time.
            return NotSent(answer.text) if isinstance(error, OSError) else unwritable(batch)
        return Accepted()

    def _open(self) -> Answer | None:
        """Raises nothing: returns why there is no connection."""
        if self._is_open:
            return None
        try:
            self._backend.open()
        except smtplib.SMTPAuthenticationError as error:
            return Refused(
                error.smtp_code, (Fault("The mail server does not accept the user or the password."),), is_account=True
            )
        except Exception:  # whatever it is, nothing of a message has been written
            return NotSent("The mail server cannot be reached.")
        self._is_open = True
        self._watch(getattr(self._backend, "connection", None))
        return None

    def _watch(self, session: smtplib.SMTP | None) -> None:
        """Notice when a message's text goes out: a session that ends before that, idle for too long, took nothing."""
        self._is_watched = session is not None  # not so with another of Django's backends
        if session is None:
            return
        send_text = session.data

        def data(msg: Any) -> tuple[int, bytes]:
            self._text_was_begun = True
            return send_text(msg)

        session.data = data  # type: ignore[method-assign]

    def _message(self, batch: Outgoing, recipient: Recipient) -> EmailMultiAlternatives:
        replies = [address for address in (recipient.reply_to, batch.reply_to) if address]
        message = EmailMultiAlternatives(
            subject=" ".join(batch.part("subject", recipient).split()),
            body=batch.part("text", recipient),
            from_email=_written(batch.from_email, batch.from_name),
            to=[_written(recipient.email, recipient.name)],
            reply_to=replies,
            headers=dict(recipient.headers),
            connection=self._backend,
        )
        if html := batch.part("html", recipient):
            message.attach_alternative(html, "text/html")
        return message

    def close(self) -> None:
        self._drop()

    def _drop(self) -> None:
        self._is_open = False
        try:
            self._backend.close()
        except (OSError, smtplib.SMTPException):
            pass


def _written(email: str, name: str) -> str:
    return formataddr((" ".join(name.split()), ascii_address(email)), charset="utf-8")


def _answer(error: Exception) -> Answer:
    """Return what an error of smtplib says about the message: refused for certain, or perhaps taken."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, text = next(iter(error.recipients.values()), (_PERMANENT, b""))
            return _refusal(code, text, recipient=0)
        case smtplib.SMTPSenderRefused():
            return _refusal(error.smtp_code, error.smtp_error, is_account=True)
        case smtplib.SMTPServerDisconnected():
            return NoAnswer("The mail server closed the connection.")
        case smtplib.SMTPResponseException():
            return _refusal(error.smtp_code, error.smtp_error, recipient=None if error.smtp_code == _CLOSING else 0)
        case OSError():
            return NoAnswer("The connection to the mail server broke.")
        case ValueError() | UnicodeError():
            # Django writes nothing of a message whose header or address it cannot encode.
            return Refused(_PERMANENT, (Fault("The address or a header cannot be written.", 0),))
    return NoAnswer(f"The mail server's answer is not understood ({type(error).__name__}).")


def _refusal(code: int, text: bytes | str, *, recipient: int | None = None, is_account: bool = False) -> Refused:
    words = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    fault = Fault(f"{code} {' '.join(words.split())}"[:300], recipient)
    is_transient = 400 <= code < _PERMANENT
    return Refused(code, (fault,), is_retryable=is_transient, is_account=is_account and not is_transient)
