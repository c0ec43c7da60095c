"""A text message comes in: whose it is, what it means, who is told. The same message twice is one."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from agents.composing import compose
from base.text import to_stored
from crm.phones import is_e164, read_caller
from crm.services.contactability import Channel, may_contact
from telephony.models import Line
from telephony.services.answering import find_line, find_number
from telephony.texting.enums import Answering, Author, Consent, ConsentSource, Keyword, State, Way
from telephony.texting.keywords import keyword_in
from telephony.texting.models import Conversation, Message, TextingSettings
from telephony.texting.services.consent import has_opted_out, note_wish
from telephony.texting.services.conversations import conversation_of, put_last, try_to_log
from telephony.texting.services.sending import CONFIRMS_STOP, send_later, write_text
from telephony.texting.services.setup import texting_settings
from telephony.texting.services.statuses import MAX_SID_LENGTH
from tenants.celery import publish
from tenants.context import current_tenant, entered

logger = logging.getLogger("telephony")

MOST_MEDIA = 10  # the carrier's own limit
ANSWERED_LATELY = timedelta(hours=1)  # two machines that answer each other's HELP would never end
SETTLES_S = 4  # people send a thought in pieces: the agent answers the last of them
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,80}")


@dataclass(frozen=True, slots=True)
class IncomingText:
    """`opt_out` is what the carrier took the text for, and has answered itself: STOP, START, HELP, or empty."""

    sid: str
    own_number: str
    other: str
    text: str
    media: tuple[str, ...] = ()
    segments: int | None = None
    opt_out: str = ""

    @classmethod
    def from_form(cls, form: Mapping[str, str]) -> IncomingText | None:
        """Return what a webhook's form says; None for one that names no message."""
        sid = form.get("MessageSid") or form.get("SmsSid", "")
        if not (0 < len(sid) <= MAX_SID_LENGTH and sid.isascii() and sid.isalnum()):
            return None
        segments = form.get("NumSegments", "")
        return cls(
            sid=sid,
            own_number=form.get("To", ""),
            other=_sender(form.get("From", "")),
            text=to_stored(form.get("Body", "")).strip(),
            media=_media(form),
            segments=int(segments) if segments.isascii() and segments.isdigit() and 0 < len(segments) < 4 else None,
            opt_out=form.get("OptOutType", "").upper(),
        )


def _sender(text: str) -> str:
    """Return a number in E.164 form, or the word or short code that stands instead of one."""
    return read_caller(text).number or to_stored(text).strip()[:60] or "unknown"


def _media(form: Mapping[str, str]) -> tuple[str, ...]:
    count = form.get("NumMedia", "")
    known = min(int(count), MOST_MEDIA) if count.isascii() and count.isdigit() and len(count) < 4 else 0
    types = (form.get(f"MediaContentType{n}", "").lower() for n in range(known))
    return tuple(kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream" for kind in types)


def take_text(incoming: IncomingText) -> bool:
    """Keep a text message that came in, with everything that follows from it; return whether it is new."""
    number = find_number(incoming.own_number) if is_e164(incoming.own_number) else None
    if number is None:
        logger.warning("A text message for a number nobody has was ignored.")
        return False
    with entered(number.tenant):
        try:
            with transaction.atomic():
                message = _keep(incoming)
        except IntegrityError:  # the same message at the same time
            if not Message.objects.filter(message_sid=incoming.sid).exists():
                raise
            return False
        if message is None:
            return False
        try_to_log(message.pk)
        return True


def _keep(incoming: IncomingText) -> Message | None:
    if Message.objects.filter(message_sid=incoming.sid).exists():
        return None
    conversation = conversation_of(own_number=incoming.own_number, other=incoming.other)
    message: Message = Message.objects.create(  # type: ignore[misc]  # stubs take an encrypted field for text
        conversation=conversation,
        way=Way.IN,
        author=Author.CONTACT,
        text=incoming.text,
        media=list(incoming.media),
        state=State.RECEIVED,
        message_sid=incoming.sid,
        segments=incoming.segments,
    )
    put_last(message, unread=True)
    settings = texting_settings()
    if not _took_keyword(message, incoming, settings) and _is_for_agent(conversation, settings):
        Message.objects.filter(pk=message.pk).update(answering=Answering.WANTED, answer_until=_settled())
        transaction.on_commit(lambda: _publish(message.pk))
    return message


def _took_keyword(message: Message, incoming: IncomingText, settings: TextingSettings) -> bool:
    """Do what a keyword asks for; return whether the text was one. What the carrier has answered is not answered again."""
    keyword = _keyword(incoming, settings)
    if keyword is None or not is_e164(incoming.other):
        return keyword is not None
    is_answered = bool(incoming.opt_out)
    if keyword == Keyword.HELP:
        if not is_answered and not has_opted_out(incoming.other):
            _answer(message, settings.help_text, key="help:", once=True)
        return True
    consent = Consent.STOP if keyword == Keyword.STOP else Consent.START
    is_news = note_wish(
        number=incoming.other,
        consent=consent,
        source=ConsentSource.TEXT,
        own_number=incoming.own_number,
        words=incoming.text[:200],
        message=message,
    )
    if is_news and not is_answered:
        stop = consent == Consent.STOP
        _answer(message, settings.stop_text if stop else settings.start_text, key=CONFIRMS_STOP if stop else "start:")
    return True


def _keyword(incoming: IncomingText, settings: TextingSettings) -> Keyword | None:
    if incoming.opt_out.lower() in Keyword.values:
        return Keyword(incoming.opt_out.lower())
    words = {
        Keyword.STOP: settings.stop_words,
        Keyword.START: settings.start_words,
        Keyword.HELP: settings.help_words,
    }
    found = keyword_in(incoming.text, words)
    # "Yes" takes a STOP back; to anybody else's question it is an answer.
    return None if found == Keyword.START and not has_opted_out(incoming.other) else found


def _answer(message: Message, text: str, *, key: str, once: bool = False) -> None:
    """Send the organization's sentence after this transaction; with `once`, not more often than now and then."""
    if not text.strip():
        return
    conversation = message.conversation
    lately = conversation.messages.filter(author=Author.AUTOMATIC, created_at__gt=timezone.now() - ANSWERED_LATELY)
    if once and lately.filter(key__startswith=key).exists():
        return
    answer, is_new = write_text(
        own_number=conversation.own_number,
        to=conversation.other,
        text=compose([text], {"organisation": current_tenant().name}).text,
        author=Author.AUTOMATIC,
        key=f"{key}{message.pk}",
    )
    if is_new:
        send_later(answer)


def _is_for_agent(conversation: Conversation, settings: TextingSettings) -> bool:
    if conversation.agent_stopped or not conversation.can_be_answered or not current_tenant().is_active:
        return False
    line = agents_line(conversation, settings)
    return line is not None and may_contact(channel=Channel.TEXT, number=conversation.other) is None


def agents_line(conversation: Conversation, settings: TextingSettings | None = None) -> Line | None:
    """Return the line whose agent answers a conversation; None where people do."""
    line = find_line(conversation.own_number)
    answers = (settings or texting_settings()).agent_lines
    return line if line is not None and line.is_active and answers.filter(pk=line.pk).exists() else None


def _settled() -> object:
    return timezone.now() + timedelta(seconds=SETTLES_S)


def _publish(message_id: int) -> None:
    from telephony.texting.tasks import answer  # tasks call services

    publish(answer, countdown=SETTLES_S, message_id=message_id)
