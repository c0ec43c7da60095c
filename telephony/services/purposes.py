"""What language models are asked for during and after a call."""

from __future__ import annotations

from agents.llm.metering import Purpose
from billing.enums import Kind
from telephony.models import Call
from tenants.context import current_schema


def purpose_of(call: Call) -> Purpose:
    """Return that it is for this call. Must run inside the tenant."""
    return Purpose(
        kind=Kind.CALL,
        subject=str(call.pk),
        schema=current_schema() or "",
        line_id=call.line_id,
        agent_id=call.agent_id,
        contact_id=call.contact_id,
    )
