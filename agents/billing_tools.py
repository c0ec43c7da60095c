"""What an agent may say of a caller's invoices and subscription: of the one whose number is calling, and of nobody else."""

from __future__ import annotations

from typing import Any

from agents.proving import has_proved, unproved
from agents.tools import Tool, ToolContext, ToolOutcome, register, run_in_tenant
from billing.money import shown
from crm.payments.selectors import standing_of
from crm.services.calls import contact_of


def billing_status(context: ToolContext, proof: str = "") -> dict[str, Any]:
    """Return what is mirrored of the caller's account, with its age; nothing of it can be changed by an agent."""
    contact = contact_of(context.caller_number)
    if contact is None:
        return {"ok": True, "is_known": False}
    if not has_proved(context, contact, proof):
        return {"ok": True, "is_known": True, **unproved(contact)}
    standing = standing_of(contact)
    if standing.customer is None:
        return {"ok": True, "is_known": True, "has_account": False}
    return {
        "ok": True,
        "is_known": True,
        "has_account": True,
        "as_of": standing.customer.synced_at.isoformat() if standing.customer.synced_at else None,
        "subscriptions": [
            {
                "status": one.status,
                "amount": shown(one.amount, one.currency),
                "interval": one.every,
                "ends_on": one.cancels_at.date().isoformat() if one.cancels_at else None,
            }
            for one in standing.subscriptions
        ],
        "open_invoices": [
            {
                "number": one.number,
                "due": shown(one.due, one.currency),
                "due_on": one.due_on.date().isoformat() if one.due_on else None,
            }
            for one in standing.open_invoices
        ],
        "is_overdue": standing.is_overdue,
        "last_payment": _last(standing.payments),
    }


def _last(payments: list[Any]) -> dict[str, str] | None:
    done = [one for one in payments if one.status == "succeeded"]
    if not done:
        return None
    return {"amount": shown(done[0].amount, done[0].currency), "on": done[0].made_at.date().isoformat()}


async def _run(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
    return ToolOutcome(await run_in_tenant(context, billing_status, context, str(arguments.get("proof", ""))))


get_billing_status = register(
    Tool(
        name="get_billing_status",
        title="Billing status",
        summary="Tells callers about their subscription, open invoices and last payment. It changes nothing.",
        description="Look up the caller's own subscription, open invoices and last payment. Only by the number they call"
        " from; it cannot take payments or change anything. When the answer says needs_proof, say the sentence in `say`,"
        " and call this again with what the caller answers as proof.",
        parameters={
            "type": "object",
            "properties": {
                "proof": {
                    "type": "string",
                    "description": "The postal code or e-mail address the caller gives to prove who they are.",
                    "maxLength": 200,
                }
            },
            "additionalProperties": False,
        },
        run=_run,
        surfaces=("call",),
    )
)
