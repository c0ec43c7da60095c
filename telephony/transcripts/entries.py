"""One thing said or noticed in a call, on its way to the database; encrypted wherever it rests."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from django.utils import timezone

from telephony.enums import EventKind
from thanos.encryption import decrypt, encrypt

STREAM = "thanos:transcripts"
DEAD_STREAM = "thanos:transcripts:dead"  # entries of calls that do not exist any more


@dataclass(frozen=True, slots=True)
class Entry:
    schema: str
    call_id: str
    sequence: int
    kind: Literal["message", "event", "latency", "heard"]
    at: str  # ISO 8601
    body: dict[str, Any]

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.at)

    def sealed(self) -> bytes:
        return encrypt(json.dumps({name: getattr(self, name) for name in _NAMES}, separators=(",", ":")).encode())

    @classmethod
    def unsealed(cls, token: bytes) -> Entry:
        """Raises DecryptionError, ValueError or TypeError for what is not an entry of ours."""
        return cls(**json.loads(decrypt(token)))


_NAMES = tuple(field.name for field in fields(Entry))  # `asdict` would copy what an event tells, however deep


def message_entry(schema: str, call_id: str, sequence: int, role: str, text: str) -> Entry:
    return Entry(schema, call_id, sequence, "message", timezone.now().isoformat(), {"role": role, "text": text})


def event_entry(schema: str, call_id: str, sequence: int, kind: EventKind, detail: dict[str, Any]) -> Entry:
    body = {"kind": str(kind), "detail": detail}
    return Entry(schema, call_id, sequence, "event", timezone.now().isoformat(), body)


def latency_entry(schema: str, call_id: str, sequence: int, values_ms: dict[str, int]) -> Entry:
    return Entry(schema, call_id, sequence, "latency", timezone.now().isoformat(), {"values_ms": values_ms})


def heard_entry(schema: str, call_id: str, sequence: int, share: float) -> Entry:
    return Entry(schema, call_id, sequence, "heard", timezone.now().isoformat(), {"share": share})
