from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from crm.selectors.timeline import task_counts
from crm.views.today import today_of


def tasks_due(request: HttpRequest) -> dict[str, Any]:
    """How much a person has to do today, for the badge in the navigation; asked only where that is drawn."""
    membership = getattr(request, "membership", None)
    if membership is None or not membership.can_manage:
        return {}
    return {
        "my_tasks": SimpleLazyObject(lambda: task_counts(user=membership.user, today=today_of(membership.tenant))),
    }
