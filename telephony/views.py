from __future__ import annotations

from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agents.trials.scenario import ScenarioError
from telephony import selectors
from telephony.engines.voice_agent.settings import MANAGED_PROMPT_LIMIT
from telephony.fitting import fit
from telephony.forms import CallFilterForm, EraseForm, LineForm, SayForm, TestCallForm
from telephony.languages import doubt
from telephony.models import Call, Line, Recording
from telephony.services import lines
from telephony.services.control import NotLiveError, hang_up_call, say_in_call, type_in_call
from telephony.services.erasing import StillRunningError, erase_call
from telephony.services.metering import call_cost
from telephony.services.plans import compose_line
from telephony.services.recordings import read_recording
from telephony.services.scenarios import scenario_of_call
from telephony.services.sentences import fill_all, gaps_of
from telephony.services.testcalls import TestCallError, start_test_call, stream_parameters
from telephony.twilio.errors import TelephonyError
from tenants.access import MemberRequest, manager_required, member_required
from tenants.audit import record_request
from tenants.enums import AuditAction
from tenants.models import Tenant


@require_GET
@member_required
def dashboard(request: MemberRequest) -> HttpResponse:
    if request.htmx:  # the page asks every few seconds who is on the line
        return render(request, "telephony/_live_calls.html", {"live": selectors.live_calls()})
    board = selectors.dashboard(time_zone=request.tenant.time_zone)
    numbers = request.tenant.phone_numbers.filter(is_active=True)
    return render(request, "telephony/dashboard.html", {"board": board, "live": board.live, "numbers": numbers})


@require_GET
@member_required
def call_list(request: MemberRequest) -> HttpResponse:
    form = CallFilterForm(request.GET or None)
    zone = ZoneInfo(request.tenant.time_zone)
    chosen = form.chosen() if request.GET else selectors.CallFilter()
    page = selectors.page_of_calls(selectors.filter_calls(chosen, zone=zone), request.GET.get("cursor"))
    query = request.GET.copy()
    query.pop("cursor", None)
    context = {"form": form, "page": page, "query": query.urlencode(), "is_filtered": any(query.values())}
    return render(request, "telephony/_call_rows.html" if request.htmx else "telephony/call_list.html", context)


@require_GET
@member_required
def call_detail(request: MemberRequest, call_id: UUID) -> HttpResponse:
    call = get_object_or_404(Call.objects.select_related("line", "contact", "agent", "agent_version"), pk=call_id)
    record_request(request, AuditAction.CALL_VIEWED, target=f"call {call.pk}")
    context = {
        "call": call,
        "messages_said": selectors.transcript(call),
        "events": selectors.events(call),
        "consultations": selectors.consultations_of(call, request.tenant),
        "recordings": call.recordings.select_related("call__line"),
        "say_form": SayForm(),
        "cost": call_cost(call, request.tenant),
    }
    return render(request, "telephony/call_detail.html", context)


@require_GET
@manager_required
def call_costs(request: MemberRequest, call_id: UUID) -> HttpResponse:
    """What a live call has cost by now, fetched again while it lasts."""
    call = get_object_or_404(Call, pk=call_id)
    return render(request, "telephony/_call_cost.html", {"call": call, "cost": call_cost(call, request.tenant)})


@require_GET
@member_required
def call_status(request: MemberRequest, call_id: UUID) -> HttpResponse:
    """The head of a call's page, fetched again when its state has changed."""
    call = get_object_or_404(Call.objects.select_related("line", "contact"), pk=call_id)
    return render(request, "telephony/_call_head.html", {"call": call, "say_form": SayForm()})


@require_GET
@member_required
def call_specialists(request: MemberRequest, call_id: UUID) -> HttpResponse:
    """Who is asked during a live call, fetched again while it lasts."""
    call = get_object_or_404(Call, pk=call_id)
    consultations = selectors.consultations_of(call, request.tenant)
    return render(request, "telephony/_specialists.html", {"consultations": consultations})


@require_POST
@manager_required
def call_scenario(request: MemberRequest, call_id: UUID) -> HttpResponse:
    """Make a scenario of a finished call, to be changed and tried."""
    call = get_object_or_404(Call.objects.select_related("agent", "line"), pk=call_id)
    try:
        scenario = scenario_of_call(call=call, tenant=request.tenant, by=request.user)
    except ScenarioError as error:
        messages.error(request, str(error))
        return redirect(call)
    messages.success(request, "Say what you expect of the agent, and have it tried.")
    return redirect("trials:scenario-edit", scenario.pk)


@require_http_methods(["GET", "POST"])
@manager_required
def call_erase(request: MemberRequest, call_id: UUID) -> HttpResponse:
    """Ask first: an erased call does not come back."""
    call = get_object_or_404(Call.objects.select_related("contact"), pk=call_id)
    form = EraseForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            erased = erase_call(call=call)
        except StillRunningError as error:
            messages.error(request, str(error))
            return redirect(call)
        if erased:
            record_request(request, AuditAction.CALL_ERASED, target=f"call {call.pk}")
            messages.success(request, "The call was erased.")
        return redirect(call)
    return render(request, "telephony/call_erase.html", {"call": call, "form": form}, status=422 if form.errors else 200)


@require_POST
@manager_required
def call_hang_up(request: MemberRequest, call_id: UUID) -> HttpResponse:
    call = get_object_or_404(Call, pk=call_id)
    try:
        hang_up_call(call=call)
    except (NotLiveError, TelephonyError) as error:
        messages.error(request, str(error) if isinstance(error, NotLiveError) else "The carrier did not end the call.")
    else:
        record_request(request, AuditAction.CALL_CONTROLLED, target=f"call {call.pk}: hung up")
        messages.success(request, "The call is being ended.")
    return redirect(call)


@require_POST
@manager_required
def call_say(request: MemberRequest, call_id: UUID) -> HttpResponse:
    call = get_object_or_404(Call, pk=call_id)
    form = SayForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Write what the agent should say.")
        return redirect(call)
    try:
        say_in_call(call=call, text=form.cleaned_data["text"])
        record_request(request, AuditAction.CALL_CONTROLLED, target=f"call {call.pk}: said something")
    except NotLiveError as error:
        messages.error(request, str(error))
    return (
        render(request, "telephony/_say_form.html", {"call": call, "say_form": SayForm()})
        if request.htmx
        else redirect(call)
    )


@require_POST
@member_required
def call_type(request: MemberRequest, call_id: UUID) -> HttpResponse:
    """What the caller of a test call typed instead of speaking."""
    call = get_object_or_404(Call, pk=call_id, direction="browser")
    form = SayForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"error": "Write something to say."}, status=400)
    try:
        type_in_call(call=call, text=form.cleaned_data["text"])
    except NotLiveError as error:
        return JsonResponse({"error": str(error)}, status=409)
    return JsonResponse({"ok": True})


@require_GET
@manager_required
def recording_audio(request: MemberRequest, call_id: UUID, recording_id: int) -> HttpResponseBase:
    recording = get_object_or_404(Recording, pk=recording_id, call_id=call_id)
    if not recording.is_playable:
        raise Http404("not stored")
    record_request(request, AuditAction.RECORDING_PLAYED, target=f"recording {recording.pk}")
    response = HttpResponse(read_recording(recording), content_type="audio/wav")
    response["Cache-Control"] = "private, no-store"
    return response


@require_http_methods(["GET", "POST"])
@member_required
def test_call(request: MemberRequest) -> HttpResponse:
    form = TestCallForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            call, token = start_test_call(line=form.cleaned_data["line"], tenant=request.tenant)
        except TestCallError as error:
            messages.error(request, str(error))
            return redirect("telephony:test-call")
        context = {"call": call, "parameters": stream_parameters(call, token), "say_form": SayForm(auto_id="type-%s")}
        return render(request, "telephony/test_call_live.html", context)
    sandboxed = "deepgram" in settings.ENV.sandboxed_providers
    return render(request, "telephony/test_call.html", {"form": form, "is_sandboxed": sandboxed})


@require_GET
@manager_required
def line_prompt(request: MemberRequest, line_id: int) -> HttpResponse:
    """What the model is told when this line answers."""
    line = get_object_or_404(Line.objects.select_related("agent__published"), pk=line_id)
    version = line.agent.published if line.agent is not None and line.agent.is_active else None
    composed = compose_line(line=line, tenant=request.tenant, version=version)
    context = {"line": line, "version": version, "composed": composed, **_said_and_sent(line, request.tenant)}
    return render(request, "telephony/line_prompt.html", context)


def _said_and_sent(line: Line, tenant: Tenant) -> dict[str, object]:
    """What of a line's texts is not spoken or sent as it is written: names without a value, and what is too long."""
    version = line.agent.published if line.agent is not None and line.agent.is_active else None
    text = compose_line(line=line, tenant=tenant, version=version).prompt.text
    return {
        "gaps": gaps_of(line, tenant, prompt=version.brief().prompt if version is not None else ""),
        "prompt_length": len(text),
        "prompt_limit": MANAGED_PROMPT_LIMIT,
        "language_conflicts": [fault for _, fault in line.language_conflicts()],
        "language_doubt": doubt(line.language, line.hears_with),
        "left_out": fit(text, MANAGED_PROMPT_LIMIT).left_out,
    }


@require_GET
@manager_required
def line_list(request: MemberRequest) -> HttpResponse:
    found = list(Line.objects.all())
    for line in found:
        line.greeting = fill_all(line, request.tenant)["greeting"]  # as a caller hears it
    return render(request, "telephony/line_list.html", {"lines": found})


@require_http_methods(["GET", "POST"])
@manager_required
def line_detail(request: MemberRequest, line_id: int) -> HttpResponse:
    line = get_object_or_404(Line.objects.select_related("agent"), pk=line_id)
    form = LineForm(request.POST or None, instance=line, agents=lines.agents_for_lines(request.tenant))
    if request.method == "POST" and form.is_valid():
        form.save()
        record_request(request, AuditAction.LINE_CHANGED, target=f"line {line.pk}: {', '.join(form.changed_data)}"[:200])
        messages.success(request, "Saved. The next call uses it.")
        return redirect(line)
    stored = Line.objects.select_related("agent__published").get(pk=line.pk)  # a form that is refused has changed `line`
    context = {"form": form, "line": stored, **_said_and_sent(stored, request.tenant)}
    return render(request, "telephony/line_form.html", context, status=422 if form.errors else 200)
