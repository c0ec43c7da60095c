"""What became of an agent's calls, by version."""

from __future__ import annotations

from django.db import connection

from agents.models import Agent
from agents.outcomes import Outcome, register
from billing.selectors import currency_of
from telephony.enums import EndedReason
from tenants.context import current_schema, current_tenant

VERSIONS = 6
_SQL = """
SELECT call.agent_version_id, count(*), count(call.answered_at),
       count(*) FILTER (WHERE call.ended_reason = %s),
       avg(call.duration_s) FILTER (WHERE call.answered_at IS NOT NULL)
FROM telephony_call call WHERE call.agent_id = %s AND call.direction <> 'browser' GROUP BY call.agent_version_id
"""
_WAITS = """
SELECT call.agent_version_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY (said.latency->>'total')::int)
FROM telephony_callmessage said JOIN telephony_call call ON call.id = said.call_id
WHERE call.agent_id = %s AND said.latency ? 'total' GROUP BY call.agent_version_id
"""


_COSTS = """
SELECT call.agent_version_id, sum(entry.amount) / count(DISTINCT call.id), sum(entry.unknown)
FROM telephony_call call JOIN public.billing_ledgerentry entry
  ON entry.tenant_id = %s AND entry.kind = 'call' AND entry.subject = call.id::text AND entry.currency = %s
WHERE call.agent_id = %s AND call.direction <> 'browser' GROUP BY call.agent_version_id
"""


@register
def call_outcomes(agent: Agent) -> list[Outcome]:
    """Return the newest versions' calls in the entered tenant. A mean cost with an unknown part in it is unknown."""
    if current_schema() is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_SQL, [EndedReason.TRANSFERRED, agent.pk])
        counts = {row[0]: row[1:] for row in cursor.fetchall()}
        cursor.execute(_WAITS, [agent.pk])
        waits = dict(cursor.fetchall())
        tenant = current_tenant()
        currency = currency_of(tenant)
        cursor.execute(_COSTS, [tenant.pk, currency, agent.pk])
        costs = {row[0]: row[1] for row in cursor.fetchall() if not row[2]}
    versions = agent.versions.filter(pk__in=list(counts))[:VERSIONS]
    return [
        Outcome(
            version_id=version.pk,
            number=version.number,
            state=version.get_state_display().lower(),
            calls=counts[version.pk][0],
            answered=counts[version.pk][1],
            transferred=counts[version.pk][2],
            mean_length_s=None if (mean := counts[version.pk][3]) is None else float(mean),
            wait_p50_ms=None if (wait := waits.get(version.pk)) is None else round(wait),
            cost=costs.get(version.pk),
            currency=currency,
            booked=None,
        )
        for version in versions
    ]
