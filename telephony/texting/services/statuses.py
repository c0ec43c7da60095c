"""The carrier tells what became of a text message: in any order, late, twice, and before its own answer to us."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db import transaction

from telephony.texting.enums import State, Way
from telephony.texting.fates import REACHED, fate_of
from telephony.texting.models import Message
from telephony.texting.services.conversations import try_to_log
from telephony.texting.services.sending import change_fate, meter, note_carriers_word
from telephony.twilio.texterrors import OPTED_OUT
from tenants.context import NoTenantError, entered, find_tenant, in_public
from tenants.models import PhoneNumber, Tenant

MAX_SID_LENGTH = 64


def tenant_of_text(form: Mapping[str, str], query: Mapping[str, str]) -> Tenant | None:
    """Return whose message it is: our own callback address names the organization, else its number does."""
    if schema := query.get("tenant"):
        try:
            return find_tenant(schema[:63])
        except NoTenantError:
            return None
    with in_public():
        number = PhoneNumber.objects.select_related("tenant").filter(number=form.get("From", "")[:16]).first()
    return number.tenant if number is not None else None


def take_status(*, form: Mapping[str, str], query: Mapping[str, str]) -> bool:
    """Keep what a status callback says; return whether it was about a message of ours. Safe to repeat."""
    sid = form.get("MessageSid") or form.get("SmsSid", "")
    fate = fate_of(form.get("MessageStatus") or form.get("SmsStatus", ""), form.get("ErrorCode", ""))
    if fate is None or not _is_sid(sid) or "\0" in "".join(query.values()):
        return False
    tenant = tenant_of_text(form, query)
    if tenant is None:
        return False
    with entered(tenant):
        pk = _find(sid, query.get("text", ""))
        if pk is None:
            return False
        with transaction.atomic():
            was = Message.objects.values_list("state", flat=True).get(pk=pk)
            message = change_fate(pk, lambda _: fate, sid=sid)
            if message is not None and was == State.UNCERTAIN and message.state in REACHED:
                meter(message)  # the carrier never answered, and has sent it all the same
            if message is not None and fate.error_code == OPTED_OUT:
                note_carriers_word(message)
        if message is not None and message.logged_at is None and message.state != State.FAILED:
            try_to_log(message.pk)
        return message is not None


def _is_sid(text: str) -> bool:
    return 0 < len(text) <= MAX_SID_LENGTH and text.isascii() and text.isalnum()


def _find(sid: str, public_id: str) -> int | None:
    """Return our message: by the carrier's name, else by ours in the address, for news that overtook the answer."""
    ours = Message.objects.filter(way=Way.OUT)
    if (pk := ours.filter(message_sid=sid).values_list("pk", flat=True).first()) is not None:
        return int(pk)
    try:
        return ours.filter(public_id=UUID(public_id)).values_list("pk", flat=True).first()
    except ValueError:
        return None
