"""How a contact's points add up. No I/O: rules and what is known of a contact in, points with their reasons out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from crm.enums import RuleKind

if TYPE_CHECKING:
    from crm.models import Contact, ScoreRule

# Rules that are about how often something happened; the others are about the contact itself.
COUNTED = frozenset({RuleKind.CALLS_ANSWERED, RuleKind.ACTIVITY, RuleKind.EMAIL_ENGAGED})


def score(
    contact: Contact, rules: Iterable[ScoreRule], counts: Mapping[int, int], now: datetime
) -> tuple[int, list[tuple[int, str]]]:
    """Return the points and `(points, label)` of each rule that applied. `counts`: how often, by counted rule's id."""
    reasons = [(rule.points, rule.label) for rule in rules if applies(rule, contact, counts, now)]
    return sum(points for points, _ in reasons), reasons


def applies(rule: ScoreRule, contact: Contact, counts: Mapping[int, int], now: datetime) -> bool:
    match RuleKind(rule.kind):
        case RuleKind.FIELD_FILLED:
            return _value(contact, rule.field) not in ("", None, [], {})
        case RuleKind.FIELD_IS:
            return _is(_value(contact, rule.field), rule.value)
        case RuleKind.TAGGED:
            return rule.value.casefold() in {tag.casefold() for tag in contact.tags}
        case RuleKind.QUIET:
            last = contact.last_interaction_at or contact.created_at
            return last < now - timedelta(days=rule.at_least)
        case RuleKind.DO_NOT_CONTACT:
            return contact.has_a_fact
        case RuleKind.CALLS_ANSWERED | RuleKind.ACTIVITY | RuleKind.EMAIL_ENGAGED:
            return counts.get(rule.pk, 0) >= max(rule.at_least, 1)


def _value(contact: Contact, field: str) -> object:
    if field.startswith("custom_fields."):
        return contact.custom_fields.get(field.removeprefix("custom_fields."))
    if field in ("do_not_call", "do_not_mail"):
        return getattr(contact, f"{field}_at") is not None or None
    return getattr(contact, field, None)


def _is(value: object, wanted: str) -> bool:
    if isinstance(value, list):
        return wanted.casefold() in {str(part).casefold() for part in value}
    if isinstance(value, bool):
        return ("yes" if value else "no") == wanted.casefold()
    if isinstance(value, Decimal):
        return wanted.strip().replace(".", "", 1).isdigit() and value == Decimal(wanted.strip())
    return value is not None and str(value).casefold() == wanted.casefold()
