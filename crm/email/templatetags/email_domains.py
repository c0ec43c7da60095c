from __future__ import annotations

from typing import Any

from django import template

from crm.email.domainnames import display
from crm.email.selectors.domains import lost_domains, used_domain_id

register = template.Library()


@register.inclusion_tag("crm/email/domains/_lost.html", takes_context=True)
def lost_sending_domains(context: dict[str, Any]) -> dict[str, Any]:
    """A notice about each sending domain that does not work any more; nothing when all is well. One small query."""
    lost = list(lost_domains())
    return {"tenant": context.get("tenant"), "lost": lost, "is_replaced": bool(lost) and used_domain_id() is not None}


@register.filter
def domain_name(domain: str) -> str:
    """A domain as people read it."""
    return display(domain)
