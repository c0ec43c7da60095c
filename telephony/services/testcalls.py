"""A call from the browser: the same protocol, the same consumer, no carrier."""

from __future__ import annotations

import uuid

from django.utils import timezone

from telephony.engines.registry import choose_engine, is_configured
from telephony.enums import Direction, EventKind
from telephony.models import Call, Line
from telephony.services.answering import version_of
from telephony.services.entries import note
from telephony.services.seats import Seat, free_seat, take_seat
from telephony.services.spending import access_for, calls_at_once, reserve_for
from telephony.services.tokens import PARAMETER, issue_token
from telephony.services.urls import STREAM_PATH
from tenants.models import Tenant


class TestCallError(ValueError):
    """No test call can be made; the text says why."""

    __test__ = False  # not a test, whatever its name begins with


def start_test_call(*, line: Line, tenant: Tenant) -> tuple[Call, str]:
    """Return a new call and the token that lets the browser's socket into it. Must run inside the tenant."""
    sid = "CA" + uuid.uuid4().hex
    version = version_of(line, sid)
    call = Call(
        call_sid=sid,
        direction=Direction.BROWSER,
        line=line,
        agent_id=version.agent_id if version else None,
        agent_version=version,
        engine=choose_engine(line.engine, sid),
    )
    if not is_configured(call.engine):
        raise TestCallError("No voice provider is configured: set DEEPGRAM_API_KEY.")
    now = timezone.now()
    if not access_for(tenant, now).is_open:
        raise TestCallError("There is no valid subscription, so no calls are made. See Billing, Plan and invoices.")
    seat = take_seat(schema=tenant.schema_name, call_sid=sid, tenant_limit=calls_at_once(tenant))
    if seat in (Seat.TENANT_FULL, Seat.INSTALLATION_FULL):
        raise TestCallError("All lines are busy. Try again in a moment.")
    if not reserve_for(call=call, tenant=tenant, now=now).admitted:
        free_seat(schema=tenant.schema_name, call_sid=sid)
        raise TestCallError("The budget is used up. Raise it under Billing, or wait for the next period.")
    token = issue_token(call, tenant.schema_name)
    call.save(force_insert=True)
    note(call, EventKind.ADMITTED, {"line": line.name})
    return call, token


def stream_parameters(call: Call, token: str) -> dict[str, str]:
    """Return what the page needs to open the stream."""
    return {"path": STREAM_PATH, "call_sid": call.call_sid, "parameter": PARAMETER, "token": token}
