"""Bringing all encrypted data under the first key: rows, their blind indexes, recordings, second factors."""

from __future__ import annotations

from collections import Counter
from typing import Any

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, models, transaction

from crm.email.models import EmailMessage, InboundEmail, Suppression
from crm.models import Attachment, Contact
from crm.services.contacts import columns
from telephony.enums import RecordingStatus
from telephony.models import Call, CallMessage, Recording
from telephony.texting.models import ConsentEvent, Conversation
from telephony.transcripts.batch import write_pending
from tenants.context import entered, in_public
from tenants.models import Tenant
from thanos.encryption import blind_index, blind_words, decrypt, encrypt, encrypted_fields, is_current

BATCH = 500


def sealed_models(*, shared: bool) -> list[type[models.Model]]:
    """Return every model with an encrypted field: those of the public schema, or those every tenant has."""
    return [
        model
        for model in apps.get_models()
        if encrypted_fields(model) and (model._meta.app_config.name not in settings.TENANT_APPS) == shared
    ]


def rotate_everything() -> Counter[str]:
    """Return how many rows of each kind were written again. Each batch is a transaction: it can be stopped and resumed."""
    counts: Counter[str] = Counter()
    while write_pending():  # what is on its way is sealed with whatever key was first then
        pass
    with in_public():
        counts["second factors"] = _rotate_authenticators()
        for model in sealed_models(shared=True):
            counts[str(model._meta.verbose_name_plural)] += _rotate_rows(model)
        tenants = list(Tenant.objects.real())
    for tenant in tenants:
        with entered(tenant):
            for model in sealed_models(shared=False):
                counts[str(model._meta.verbose_name_plural)] += _rotate_rows(model)
            counts["recordings"] += _rotate_files(Recording.objects.filter(status=RecordingStatus.STORED), "file_name")
            counts["attachments"] += _rotate_files(Attachment.objects.all(), "path")
    return counts


def _rotate_rows(model: type[models.Model]) -> int:
    names = [field.name for field in encrypted_fields(model)]
    count, last = 0, None
    while True:
        with transaction.atomic():
            rows = model._default_manager.select_for_update().order_by("pk")
            batch = list((rows.filter(pk__gt=last) if last is not None else rows)[:BATCH])
            if not batch:
                return count
            last = batch[-1].pk
            stale = _stale(model, names, [row.pk for row in batch])
            for row in batch:
                if row.pk in stale:
                    values = {name: getattr(row, name) for name in names}
                    model._default_manager.filter(pk=row.pk).update(**values, **_indexes(row))
            count += len(stale)


def _stale(model: type[models.Model], names: list[str], pks: list[Any]) -> set[Any]:
    """Return which of these rows hold a value that is not under the first key."""
    columns = ", ".join(f'"{name}"' for name in names)
    with connection.cursor() as cursor:
        key = model._meta.pk.column
        cursor.execute(f'SELECT "{key}", {columns} FROM "{model._meta.db_table}" WHERE "{key}" = ANY(%s)', [pks])
        return {
            pk for pk, *values in cursor.fetchall() if any(value and not is_current(value.encode()) for value in values)
        }


def _indexes(row: models.Model) -> dict[str, object]:
    if isinstance(row, Call):
        return {"from_index": blind_index(row.from_number), "to_index": blind_index(row.to_number)}
    if isinstance(row, Conversation):
        return {"other_index": blind_index(row.other)}
    if isinstance(row, ConsentEvent) and row.number:
        return {"number_index": blind_index(row.number)}
    if isinstance(row, CallMessage):
        return {"words": blind_words(row.text)}
    if isinstance(row, Contact):
        sealed = {"contact_email": row.contact_email, "phones": row.phones, "address": row.address}
        found = columns(sealed, contact=row)
        return {name: found[name] for name in ("email_index", "email_parts", "phone_indexes", "address_parts")}
    if isinstance(row, EmailMessage):
        return {"email_index": blind_index(row.to_email)}
    if isinstance(row, Suppression):
        return {"email_index": blind_index(row.email)}
    if isinstance(row, InboundEmail):
        return {"from_index": blind_index(row.from_email)}
    return {}


def _rotate_files(rows: models.QuerySet[Any], column: str) -> int:
    """Seal the files again that these rows point at with a column."""
    count = 0
    for row in rows.iterator():
        old = getattr(row, column)
        with default_storage.open(old) as source:
            sealed = source.read()
        if is_current(sealed):
            continue
        # Written beside the old file, which goes only after the row points at the new one.
        name = default_storage.save(old, ContentFile(encrypt(decrypt(sealed))))
        rows.model._default_manager.filter(pk=row.pk).update(**{column: name})
        default_storage.delete(old)
        count += 1
    return count


def _rotate_authenticators() -> int:
    count = 0
    for authenticator in Authenticator.objects.all():
        changed = False
        for key in ("secret", "seed"):
            value = authenticator.data.get(key)
            if value and not is_current(value.encode()):
                authenticator.data[key] = encrypt(decrypt(value.encode())).decode()
                changed = True
        if changed:
            authenticator.save(update_fields=["data"])
            count += 1
    return count
