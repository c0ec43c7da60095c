"""How many text messages may go out, and where to: checked in the transaction that claims a message for sending."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from django.db import connection

from crm.phones import region_of, spellings
from crm.services.contactability import Refusal
from telephony.texting.enums import Way
from telephony.texting.models import Message, TextingSettings
from telephony.texting.services.setup import texting_settings
from tenants.context import current_schema, current_tenant
from thanos.encryption import blind_indexes

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def lock_sending() -> None:
    """Let the organization's messages be claimed one after another until the transaction ends, so that counts are true."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"texts:{current_schema()}"])


@lru_cache(maxsize=4096)
def country_of(number: str) -> str:
    """Return the country (two letters) a number belongs to; where +1 and the like are shared, the very one if known."""
    import phonenumbers

    try:
        found = phonenumbers.region_code_for_number(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return ""
    return str(found) if found and found != "001" else region_of(number)


@lru_cache(maxsize=4096)
def is_premium(number: str) -> bool:
    import phonenumbers

    try:
        kind = phonenumbers.number_type(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return False
    return kind in (phonenumbers.PhoneNumberType.PREMIUM_RATE, phonenumbers.PhoneNumberType.SHARED_COST)


def own_numbers() -> set[str]:
    """Return the entered tenant's active numbers."""
    return set(current_tenant().phone_numbers.filter(is_active=True).values_list("number", flat=True))


def allowed_countries(settings: TextingSettings, own: set[str]) -> set[str]:
    return set(settings.countries) or {country_of(number) for number in own} - {""}


def refuse_place(*, own_number: str, number: str) -> Refusal | None:
    """Return why no text may go from one number to another, whoever is behind them; None when it may."""
    own = own_numbers()
    if own_number not in own:
        return Refusal("no-own-number", f"{own_number} is no number of yours any more, so nothing can be sent from it.")
    if number in own:
        return Refusal("own-number", "This is a number of your own.")
    if is_premium(number):
        return Refusal("premium", "Texts to numbers at a premium rate are not sent.")
    country, allowed = country_of(number), allowed_countries(texting_settings(), own)
    if country not in allowed:
        names = ", ".join(sorted(allowed)) or "no country"
        where = country or "an unknown country"
        return Refusal("country", f"Texts to {where} are not allowed, only to {names}. Change it in the settings of texts.")
    return None


def refuse_count(message: Message, *, now: datetime) -> Refusal | None:
    """Return the limit this message would go beyond. Call it after `lock_sending`, in the same transaction."""
    settings = texting_settings()
    sent = Message.objects.filter(way=Way.OUT, claimed_at__isnull=False).exclude(pk=message.pk)
    if message.call_id is not None and sent.filter(call=message.call_id).count() >= settings.per_call:
        return _over("per-call", "one call", settings.per_call)
    today = sent.filter(claimed_at__gt=now - DAY)
    forms = [index for form in spellings(message.conversation.other) for index in blind_indexes(form)]
    if today.filter(conversation__other_index__in=forms).count() >= settings.per_number_day:
        return _over("per-number", "one number in 24 hours", settings.per_number_day)
    if sent.filter(claimed_at__gt=now - HOUR).count() >= settings.per_hour:
        return _over("per-hour", "the organization in an hour", settings.per_hour)
    if today.count() >= settings.per_day:
        return _over("per-day", "the organization in 24 hours", settings.per_day)
    return None


def _over(code: str, of: str, limit: int) -> Refusal:
    return Refusal(code, f"The limit of texts for {of} is reached ({limit}). Raise it in the settings of texts, or wait.")
