"""Which tenant a later webhook of a call belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from redis.exceptions import RedisError

from telephony.twilio.callers import called_number
from tenants.context import NoTenantError, find_tenant
from tenants.models import PhoneNumber, Tenant
from thanos.redis import sync_client

_LIFETIME_S = 24 * 60 * 60


def _key(call_sid: str) -> str:
    return f"thanos:route:{call_sid}"


def remember_route(*, call_sid: str, schema: str) -> None:
    """Keep a call with its tenant even when its number changes hands during the call. Best effort."""
    try:
        sync_client().set(_key(call_sid), schema, ex=_LIFETIME_S)
    except RedisError:
        return


def tenant_of_call(form: Mapping[str, str]) -> Tenant | None:
    """Return the call's tenant: as remembered, else the one that has the number called (or calling, when outbound)."""
    try:
        schema = sync_client().get(_key(form.get("CallSid", "")))
    except RedisError:
        schema = None
    if schema:
        try:
            return find_tenant(schema.decode())  # type: ignore[union-attr]
        except NoTenantError:
            return None
    numbers = [called_number(form.get(name, "")) for name in ("To", "From")]
    if form.get("Direction", "inbound").startswith("outbound"):
        numbers.reverse()
    found = {row.number: row.tenant for row in PhoneNumber.objects.select_related("tenant").filter(number__in=numbers)}
    return next((found[number] for number in numbers if number in found), None)
