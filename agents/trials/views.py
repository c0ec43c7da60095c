from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agents.trials import selectors
from agents.trials.forms import RunForm, ScenarioForm
from agents.trials.models import Scenario, Trial
from agents.trials.scenario import ScenarioError
from agents.trials.services import scenarios
from tenants.access import MemberRequest, manager_required


@require_GET
@manager_required
def scenario_list(request: MemberRequest) -> HttpResponse:
    found = [(scenario, selectors.last_result(scenario)) for scenario in Scenario.objects.all()]
    return render(request, "agents/trials/scenario_list.html", {"scenarios": found})


@require_http_methods(["GET", "POST"])
@manager_required
def scenario_new(request: MemberRequest) -> HttpResponse:
    return _edit(request, None)


@require_http_methods(["GET", "POST"])
@manager_required
def scenario_edit(request: MemberRequest, pk: int) -> HttpResponse:
    return _edit(request, get_object_or_404(Scenario, pk=pk))


@require_http_methods(["GET", "POST"])
@manager_required
def scenario_detail(request: MemberRequest, pk: int) -> HttpResponse:
    """What came of a scenario's trials, and a form for new ones."""
    scenario = get_object_or_404(Scenario, pk=pk)
    form = RunForm(request.POST or None, versions=scenarios.versions_of(request.tenant, scenario))
    if request.method == "POST" and form.is_valid():
        try:
            scenarios.start_trials(scenario=scenario, versions=form.chosen(), repeat=form.cleaned_data["repeat"])
        except ScenarioError as error:
            messages.error(request, str(error))
        return redirect(scenario)
    batches = selectors.batches_of(scenario)
    context = {"scenario": scenario, "form": form, "batches": batches, "is_busy": any(one.is_busy for one in batches)}
    template = "agents/trials/_batches.html" if request.htmx else "agents/trials/scenario_detail.html"
    return render(request, template, context)


@require_POST
@manager_required
def scenario_delete(request: MemberRequest, pk: int) -> HttpResponse:
    get_object_or_404(Scenario, pk=pk).delete()
    messages.success(request, "Deleted.")
    return redirect("trials:scenario-list")


@require_GET
@manager_required
def trial_detail(request: MemberRequest, pk: int, trial_id: UUID) -> HttpResponse:
    trial = get_object_or_404(Trial.objects.select_related("scenario"), pk=trial_id, scenario_id=pk)
    return render(request, "agents/trials/trial_detail.html", {"trial": trial, "scenario": trial.scenario})


def _edit(request: MemberRequest, scenario: Scenario | None) -> HttpResponse:
    initial = {"text": scenario.text} if scenario is not None else None
    form = ScenarioForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            saved = scenarios.save_scenario(scenario=scenario, text=form.cleaned_data["text"], by=request.user)
        except ScenarioError as error:
            form.add_error("text", str(error))
        else:
            return redirect(saved)
    context = {"form": form, "scenario": scenario}
    return render(request, "agents/trials/scenario_form.html", context, status=422 if form.errors else 200)
