"""Entries into the tenants' tables. Writing one twice changes nothing."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.db import DatabaseError, InterfaceError, InternalError, OperationalError, transaction

from base.text import to_valid, to_valid_json
from telephony.models import Call, CallEvent, CallMessage
from telephony.transcripts.entries import Entry
from tenants.context import NoTenantError, entered_schema
from thanos.encryption import blind_words

logger = logging.getLogger("telephony.transcripts")

# PostgreSQL cannot be reached or takes nothing now (a full disk, a standby): trying again later helps.
AWAY = (OperationalError, InterfaceError, InternalError)


def write_entries(entries: Iterable[Entry]) -> list[Entry]:
    """Commit entries of any tenants; return those that belong to no call any more, or that their tenant cannot take.

    Raises one of `AWAY` when PostgreSQL takes nothing; nothing of that tenant's share is written then.
    """
    by_schema: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_schema[entry.schema].append(entry)
    orphans: list[Entry] = []
    for schema, share in by_schema.items():
        try:
            with entered_schema(schema), transaction.atomic():
                orphans += _write_share(share)
        except NoTenantError:
            orphans += share
        except AWAY:
            raise
        except (DatabaseError, ValueError, TypeError, KeyError):  # what is broken must not keep the others' words waiting
            logger.exception("A tenant's transcript entries cannot be written.", extra={"tenant": schema})
            orphans += share
    if orphans:
        logger.warning("Transcript entries belong to no call.", extra={"count": len(orphans)})
    return orphans


def _write_share(entries: Sequence[Entry]) -> list[Entry]:
    wanted = {entry.call_id for entry in entries}
    known = {str(pk) for pk in Call.objects.filter(pk__in=wanted, erased_at=None).values_list("pk", flat=True)}
    ours = [entry for entry in entries if entry.call_id in known]
    messages = [_message(entry) for entry in ours if entry.kind == "message"]
    events = [_event(entry) for entry in ours if entry.kind == "event"]
    CallMessage.objects.bulk_create(messages, ignore_conflicts=True, batch_size=500)
    CallEvent.objects.bulk_create(events, ignore_conflicts=True, batch_size=500)
    _write_latencies([entry for entry in ours if entry.kind == "latency"])
    for entry in ours:
        if entry.kind == "heard":
            said = CallMessage.objects.filter(call_id=entry.call_id, sequence=entry.sequence)
            said.update(heard_share=entry.body["share"])
    return [entry for entry in entries if entry.call_id not in known]


def _message(entry: Entry) -> CallMessage:
    text = to_valid(entry.body["text"])
    return CallMessage(
        call_id=entry.call_id,
        sequence=entry.sequence,
        role=entry.body["role"],
        text=text,
        words=blind_words(text),
        spoken_at=entry.moment,
    )


def _event(entry: Entry) -> CallEvent:
    body = entry.body
    return CallEvent(
        call_id=entry.call_id,
        sequence=entry.sequence,
        kind=body["kind"],
        at=entry.moment,
        detail=to_valid_json(body["detail"]),
    )


def _write_latencies(entries: Sequence[Entry]) -> None:
    if not entries:
        return
    values: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
    for entry in entries:
        values[entry.call_id, entry.sequence].update(entry.body["values_ms"])
    calls = {call_id for call_id, _ in values}
    sequences = {sequence for _, sequence in values}
    changed = []
    for message in CallMessage.objects.filter(call_id__in=calls, sequence__in=sequences).select_for_update():
        if found := values.get((str(message.call_id), message.sequence)):
            message.latency = {**(message.latency or {}), **found}
            changed.append(message)
    CallMessage.objects.bulk_update(changed, ["latency"], batch_size=500)
