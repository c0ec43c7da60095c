from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from agents.organisation.forms import AgentSettingsForm
from agents.organisation.models import agent_settings
from tenants.access import MemberRequest, manager_required
from tenants.audit import record_request
from tenants.enums import AuditAction


@require_http_methods(["GET", "POST"])
@manager_required
def settings(request: MemberRequest) -> HttpResponse:
    form = AgentSettingsForm(request.POST or None, instance=agent_settings())
    if request.method == "POST" and form.is_valid():
        form.save()
        changed = ", ".join(form.changed_data) or "nothing"
        record_request(request, AuditAction.SETTINGS_CHANGED, target=f"agents: {changed}"[:200])
        messages.success(request, "Saved. The next conversation uses it.")
        return redirect("agents-organisation:settings")
    return render(request, "agents/organisation/settings.html", {"form": form}, status=422 if form.errors else 200)
