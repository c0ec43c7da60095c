"""What language models use goes to the ledger, from the one place through which all of them are asked.

Whoever asks says beforehand what it is for (`charged_to`); the rest follows the task it runs in. Of an answer whose
provider names no tokens the ledger gets an entry without a quantity: that it was asked is known, what it cost is not.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from decimal import Decimal

from channels.db import database_sync_to_async
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from agents.llm.base import Usage as Tokens
from billing import usage as ledger
from billing.enums import Kind, Leg, Source, Unit
from billing.services.ledger import record_usage
from tenants.context import NoTenantError, current_schema, find_tenant

logger = logging.getLogger("agents")


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a model is asked for. Without a schema it is the tenant's that is entered when it is asked."""

    kind: Kind
    subject: str = ""
    schema: str = ""
    line_id: int | None = None
    agent_id: int | None = None
    contact_id: int | None = None
    part: str = ""  # of the subject, whose cost is asked for by itself


_purpose: ContextVar[Purpose | None] = ContextVar("purpose", default=None)
_kept: ContextVar[list[tuple[str, ledger.Usage]] | None] = ContextVar("kept", default=None)


@contextmanager
def charged_to(purpose: Purpose) -> Iterator[None]:
    token = _purpose.set(purpose)
    try:
        yield
    finally:
        _purpose.reset(token)


@contextmanager
def as_part(name: str) -> Iterator[None]:
    """What is asked for meanwhile can be told from what else the same subject costs (`billing.selectors.cost_of_part`)."""
    with charged_to(replace(_purpose.get() or Purpose(Kind.OTHER), part=name)):
        yield


@contextmanager
def written_at_the_end() -> Iterator[None]:
    """For synchronous code that runs a loop of its own: write when it is over, on the connection of this thread."""
    kept: list[tuple[str, ledger.Usage]] = []
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)
        for schema in {schema for schema, _ in kept}:
            _write(schema, [usage for own, usage in kept if own == schema])


def tokens_used(provider: str, model: str, tokens: Tokens | None) -> tuple[str, list[ledger.Usage]]:
    """Return whose it is, and the entries for one answer; nobody's outside of any organisation."""
    purpose = _purpose.get() or Purpose(Kind.OTHER)
    purpose = replace(purpose, schema=purpose.schema or current_schema() or "")
    parts = [("input", tokens.input_tokens if tokens else None), ("output", tokens.output_tokens if tokens else None)]
    name = uuid.uuid4().hex
    return purpose.schema, [
        ledger.Usage(
            key=f"llm:{purpose.part or '-'}:{name}:{part}",
            provider=provider,
            item=f"{model}:{part}"[:80],
            unit=Unit.TOKEN,
            quantity=None if count is None else Decimal(count),
            leg=Leg.THINKING,
            source=Source.PROVIDER,
            at=timezone.now(),
            kind=purpose.kind,
            subject=purpose.subject,
            line_id=purpose.line_id,
            agent_id=purpose.agent_id,
            contact_id=purpose.contact_id,
        )
        for part, count in parts
        if count != 0
    ]


async def meter(provider: str, model: str, tokens: Tokens | None) -> None:
    """Write what one answer used. Never keeps whoever asked from the answer."""
    schema, usages = tokens_used(provider, model, tokens)
    if not schema:
        return
    kept = _kept.get()
    if kept is not None:
        kept += [(schema, usage) for usage in usages]
        return
    await database_sync_to_async(_write, thread_sensitive=False)(schema, usages)


def _write(schema: str, usages: Sequence[ledger.Usage]) -> None:
    try:
        record_usage(tenant=find_tenant(schema), usages=usages)
    except (DatabaseError, InterfaceError, NoTenantError):
        logger.exception("Tokens could not be written to the ledger.", extra={"count": len(usages)})
