"""Who will receive a mailing and who will not, before it is sent: counted by the database, however many they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Case, CharField, Count, F, OuterRef, Q, Subquery, Value, When, Window
from django.db.models.functions import Coalesce, RowNumber

from crm.email.enums import SkipReason
from crm.email.models import EmailMessage, Mailing, Suppression
from crm.email.services.preparing import selection_of
from crm.email.services.sources import names_printed
from crm.email.services.suppressing import SKIPS
from crm.models import Contact, CustomField
from crm.selectors.contacts import memory_for_many

_RECEIVES = ""
# Where the database can tell that a variable is empty. Others are found out when the mailing is prepared.
_PLAIN = ("business_name", "contact_name", "contact_role", "website", "city", "state", "postal_code", "country", "source")


@dataclass(frozen=True, slots=True)
class Audience:
    total: int
    receiving: int
    left_out: dict[SkipReason, int]  # the greatest first

    @property
    def left_out_count(self) -> int:
        return sum(self.left_out.values())


def audience_of(*, mailing: Mailing) -> Audience:
    """Count a mailing's recipients and those it leaves out: of a draft as things are now, else as it was prepared.

    Raises FilterError when the selection is not understood any more.
    """
    counts = _prepared_counts(mailing) if mailing.prepared_at else _counts(mailing)
    receiving = counts.pop(_RECEIVES, 0)
    left_out = {SkipReason(reason): count for reason, count in sorted(counts.items(), key=lambda pair: -pair[1])}
    return Audience(receiving + sum(left_out.values()), receiving, left_out)


def _prepared_counts(mailing: Mailing) -> dict[str, int]:
    rows = EmailMessage.objects.filter(mailing=mailing).order_by().values_list("skip_reason").annotate(count=Count("pk"))
    return dict(rows)


def _counts(mailing: Mailing) -> dict[str, int]:
    sql, params = _judged(mailing)
    with memory_for_many(), connection.cursor() as cursor:
        cursor.execute(f"SELECT reason, count(*) FROM ({sql}) AS judged GROUP BY reason", params)
        return dict(cursor.fetchall())


def audience_page(*, mailing: Mailing, reason: SkipReason | None, after: int = 0, size: int = 40) -> list[Contact]:
    """Return contacts left out for a reason (None: who receive it), by id, from behind `after`."""
    wanted = _RECEIVES if reason is None else str(reason)
    if mailing.prepared_at:
        messages = EmailMessage.objects.filter(mailing=mailing, skip_reason=wanted, contact_id__gt=after)
        ids = list(messages.order_by("contact_id").values_list("contact_id", flat=True)[:size])
    else:
        ids = _judged_ids(mailing, wanted, after, size)
    return list(Contact.objects.filter(pk__in=ids).defer("search", "notes", "address").order_by("pk"))


def _judged_ids(mailing: Mailing, wanted: str, after: int, size: int) -> list[int]:
    sql, params = _judged(mailing)
    page = f"SELECT id FROM ({sql}) AS judged WHERE reason = %s AND id > %s ORDER BY id LIMIT %s"
    with memory_for_many(), connection.cursor() as cursor:
        cursor.execute(page, [*params, wanted, after, size])
        return [pk for (pk,) in cursor.fetchall()]


def _judged(mailing: Mailing) -> tuple[str, tuple[Any, ...]]:
    """Return a query for the id and the reason ("" for none) of each contact of the selection.

    The same order of reasons as `suppressing.skip_reasons` and `preparing` have. Two contacts with one address: only
    the database can say which of them comes first, and only among those that are not left out anyway.
    """
    contacts: Any = selection_of(mailing).annotate(base=_base_reason(mailing))
    contacts = contacts.annotate(turn=Window(RowNumber(), partition_by=[F("email_index"), F("base")], order_by="id"))
    sql, params = contacts.values("id", "base", "turn").query.sql_with_params()
    same = f"CASE WHEN base = '' AND turn > 1 THEN '{SkipReason.SAME_ADDRESS}' ELSE base END"
    return f"SELECT id, {same} AS reason FROM ({sql}) AS chosen", params


def _base_reason(mailing: Mailing) -> Any:
    suppressed = Suppression.objects.standing().filter(email_index=OuterRef("email_index"))
    rank = Case(*(When(reason=reason, then=Value(at)) for at, reason in enumerate(SKIPS)))
    skip = Case(*(When(reason=reason, then=Value(str(skip))) for reason, skip in SKIPS.items()), output_field=CharField())
    found = Subquery(suppressed.annotate(skip=skip).order_by(rank).values("skip")[:1])
    rules = [
        When(email_index="", then=Value(str(SkipReason.NO_ADDRESS))),
        When(do_not_mail_at__isnull=False, then=Value(str(SkipReason.DO_NOT_MAIL))),
    ]
    return Coalesce(
        Case(*rules, default=found, output_field=CharField()),
        Case(*_empty_rules(mailing), default=Value(_RECEIVES), output_field=CharField()),
    )


def _empty_rules(mailing: Mailing) -> Iterator[When]:
    if not mailing.skip_empty_values:
        return
    names = names_printed(version=mailing.text_version)
    custom = set(CustomField.objects.filter(key__in=names).values_list("key", flat=True))
    for name in sorted(names):
        if (empty := _is_empty(name, name in custom)) is not None:
            yield When(empty, then=Value(str(SkipReason.EMPTY_VALUE)))


def _is_empty(name: str, is_custom: bool) -> Q | None:
    if name in _PLAIN:
        return Q(**{name: ""})
    match name:
        case "first_name":  # a name that has no given name is found out when the mailing is prepared
            return Q(contact_name="")
        case "phone":
            return Q(phone_indexes=[])
        case "value":
            return Q(value=None)
    return Q(**{f"custom_fields__{name}": None}) | ~Q(custom_fields__has_key=name) if is_custom else None
