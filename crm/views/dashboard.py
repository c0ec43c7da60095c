from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from crm.enums import InteractionKind
from crm.fieldtypes import FieldError, Reading, parse_moment
from crm.models import Interaction
from crm.selectors.dashboard import DAYS, WEEKS
from crm.selectors.dashboard import dashboard as figures
from crm.selectors.timeline import page_of_entries
from tenants.access import MemberRequest, manager_required


@require_GET
@manager_required
def dashboard(request: MemberRequest) -> HttpResponse:
    board = figures(tenant=request.tenant)
    return render(request, "crm/dashboard.html", {"board": board, "days": DAYS, "weeks": WEEKS})


def _narrowed(request: MemberRequest, entries: QuerySet[Interaction]) -> tuple[QuerySet[Interaction], str]:
    """What the overview's figures count: up to now, since a day, answered calls."""
    kept = {name: request.GET[name] for name in ("kind", "since", "answered") if request.GET.get(name)}
    try:
        since = parse_moment(kept["since"], Reading(zone=ZoneInfo(request.tenant.time_zone))) if "since" in kept else None
    except FieldError:
        kept.pop("since")
        since = None
    if since is not None:
        entries = entries.filter(interaction_date__gte=since, interaction_date__lte=timezone.now())
    if kept.get("answered") == "yes":
        entries = entries.filter(metadata__answered=True)
    return entries, urlencode(kept)


@require_GET
@manager_required
def activity(request: MemberRequest) -> HttpResponse:
    """Everything that happened, with everybody."""
    kind = request.GET.get("kind", "")
    # With those of contacts in the bin, as the overview's figures count them.
    entries: Any = Interaction.objects.select_related("contact")
    if kind in InteractionKind.values:
        entries = entries.filter(kind=kind)
    entries, shown = _narrowed(request, entries)
    page = page_of_entries(entries, request.GET.get("cursor"))
    context = {"page": page, "kind": kind, "kinds": InteractionKind.choices, "shows_contact": True, "query": shown}
    return render(request, "crm/_timeline.html" if request.htmx else "crm/activity.html", context)
