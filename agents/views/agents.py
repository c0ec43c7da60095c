from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agents import selectors
from agents.enums import VersionState
from agents.forms import AgentForm, ShareForm
from agents.instructions import instructions_for
from agents.models import Agent, AgentVersion
from agents.outcomes import outcomes_of
from agents.services import owned, versions
from agents.services.versions import VersionError
from tenants.access import MemberRequest, manager_required, member_required
from tenants.audit import record_request
from tenants.enums import AuditAction


@require_GET
@member_required
def agent_list(request: MemberRequest) -> HttpResponse:
    if not request.membership.can_manage:  # members talk to agents; what these are is for managers
        return redirect("chat:start")
    agents = selectors.visible_agents(request.tenant)
    text = request.GET.get("q", "").strip().casefold()
    found = [a for a in agents if text in f"{a.name} {a.specialty} {a.description}".casefold()]
    context = {
        "own": [agent for agent in found if agent.owner_id == request.tenant.pk],
        "others": [agent for agent in found if agent.owner_id != request.tenant.pk],
        "text": request.GET.get("q", ""),
        "has_own": any(agent.owner_id == request.tenant.pk for agent in agents),
    }
    return render(request, "agents/agent_list.html", context)


@require_http_methods(["GET", "POST"])
@manager_required
def agent_new(request: MemberRequest) -> HttpResponse:
    form = AgentForm(request.POST or None, initial={"uses_all_tools": True})
    if request.method == "POST" and form.is_valid():
        agent = owned.create_agent(tenant=request.tenant, values=form.values(), by=request.user)
        _record(request, agent, "made")
        messages.success(request, "Saved as a draft. Try it, then publish it.")
        return redirect(agent)
    return render(request, "agents/agent_form.html", {"form": form}, status=422 if form.errors else 200)


@require_GET
@manager_required
def agent_detail(request: MemberRequest, slug: str) -> HttpResponse:
    agent = _find(request, slug)
    draft = agent.draft if _is_own(request, agent) else None
    current = agent.published or draft
    context = {
        "agent": agent,
        "is_own": _is_own(request, agent),
        "draft": draft,
        "current": current,
        "composed": instructions_for(request.tenant, current.brief()) if current else None,
        "draft_composed": instructions_for(request.tenant, draft.brief()) if draft else None,
        "versions": agent.versions.select_related("created_by")[:20] if _is_own(request, agent) else [],
        "outcomes": outcomes_of(agent),
        "share_form": ShareForm(initial={"percent": agent.draft_share}),
    }
    return render(request, "agents/agent_detail.html", context)


@require_http_methods(["GET", "POST"])
@manager_required
def agent_edit(request: MemberRequest, slug: str) -> HttpResponse:
    agent = _find_own(request, slug)
    version = agent.draft or agent.published
    form = AgentForm.for_agent(agent, version, request.POST or None)  # type: ignore[arg-type]
    if request.method == "POST" and form.is_valid():
        owned.change_agent(agent=agent, values=form.values(), by=request.user)
        _record(request, agent, "changed")
        messages.success(request, "Saved.")
        return redirect(agent)
    return render(request, "agents/agent_form.html", {"form": form, "agent": agent}, status=422 if form.errors else 200)


@require_POST
@manager_required
def agent_copy(request: MemberRequest, slug: str) -> HttpResponse:
    agent = _find(request, slug)
    if agent.published is None:
        raise Http404("nothing to copy")
    copy = owned.copy_agent(agent=agent, tenant=request.tenant, by=request.user)
    _record(request, copy, f"made from {agent.slug}")
    messages.success(request, "This one is yours: change what you like.")
    return redirect(copy)


@require_POST
@manager_required
def agent_publish(request: MemberRequest, slug: str) -> HttpResponse:
    agent = _find_own(request, slug)
    return _do(request, agent, "published", lambda: versions.publish_draft(agent=agent, by=request.user))


@require_POST
@manager_required
def agent_discard(request: MemberRequest, slug: str) -> HttpResponse:
    agent = _find_own(request, slug)
    return _do(request, agent, "draft discarded", lambda: versions.discard_draft(agent=agent))


@require_POST
@manager_required
def agent_share(request: MemberRequest, slug: str) -> HttpResponse:
    agent = _find_own(request, slug)
    form = ShareForm(request.POST)
    percent = form.cleaned_data["percent"] if form.is_valid() else -1
    return _do(request, agent, f"draft on {percent} %", lambda: versions.set_draft_share(agent=agent, percent=percent))


@require_POST
@manager_required
def agent_switch(request: MemberRequest, slug: str) -> HttpResponse:
    agent = _find_own(request, slug)
    turn_on = request.POST.get("on") == "1"
    return _do(request, agent, "on" if turn_on else "off", lambda: owned.switch_agent(agent=agent, is_active=turn_on))


@require_GET
@manager_required
def version_detail(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    agent = _find_own(request, slug)
    version = get_object_or_404(AgentVersion.objects.select_related("agent", "created_by"), agent=agent, number=number)
    against = request.GET.get("against", "")
    older = agent.versions.filter(number__lt=number)
    other = (
        agent.versions.filter(number=int(against)).first() if against.isdecimal() and len(against) < 9 else older.first()
    )
    context = {
        "agent": agent,
        "version": version,
        "other": other,
        "lines": selectors.diff(other, version) if other else [],
        "others": agent.versions.exclude(pk=version.pk),
        "may_restore": version.state == VersionState.FORMER,
    }
    return render(request, "agents/version_detail.html", context)


@require_POST
@manager_required
def version_restore(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    agent = _find_own(request, slug)
    version = get_object_or_404(agent.versions.select_related("agent"), number=number)
    return _do(
        request, agent, f"version {number} restored", lambda: versions.restore_version(version=version, by=request.user)
    )


def _do(request: MemberRequest, agent: Agent, what: str, work: object) -> HttpResponse:
    """Do it, write it down, and go back to the agent."""
    try:
        work()  # type: ignore[operator]
    except VersionError as error:
        messages.error(request, str(error))
    else:
        _record(request, agent, what)
        messages.success(request, f"{what[:1].upper()}{what[1:]}.")
    return redirect(agent)


def _find(request: MemberRequest, slug: str) -> Agent:
    agent = selectors.find_agent(request.tenant, slug)
    if agent is None:
        raise Http404("no such agent here")
    return agent


def _find_own(request: MemberRequest, slug: str) -> Agent:
    agent = _find(request, slug)
    if not _is_own(request, agent):
        raise PermissionDenied("Only an organisation's own agents can be changed. Make a copy, and change that.")
    return agent


def _is_own(request: MemberRequest, agent: Agent) -> bool:
    return bool(agent.owner_id == request.tenant.pk)


def _record(request: HttpRequest, agent: Agent, what: str) -> None:
    record_request(request, AuditAction.AGENT_CHANGED, target=f"agent {agent.slug}: {what}"[:200])
