"""What a tenant decides about its contacts, and the lists people saved."""

from __future__ import annotations

from copy import copy

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm.filters import clean_query
from crm.forms.settings import CrmSettingsForm, CustomFieldForm, SavedViewForm, ScoreRuleForm, StatusFormSet
from crm.models import ContactStatus, CustomField, SavedView, ScoreRule
from crm.models.setup import crm_settings
from crm.services.fields import change_field, effect_of, save_field
from crm.tasks import score_everybody
from tenants.access import MemberRequest, manager_required
from tenants.audit import record_request
from tenants.celery import publish
from tenants.enums import AuditAction


@require_http_methods(["GET", "POST"])
@manager_required
def crm_setup(request: MemberRequest) -> HttpResponse:
    form = CrmSettingsForm(request.POST or None, instance=crm_settings(), prefix="settings")
    statuses = StatusFormSet(request.POST or None, queryset=ContactStatus.objects.all(), prefix="statuses")
    if request.method == "POST" and form.is_valid() and statuses.is_valid():
        form.save()
        statuses.save()
        record_request(request, AuditAction.SETTINGS_CHANGED, target="contacts")
        messages.success(request, "Saved.")
        return redirect("crm:setup")
    context = {"form": form, "statuses": statuses, "fields": CustomField.objects.all(), "rules": ScoreRule.objects.all()}
    return render(request, "crm/setup.html", context, status=422 if request.method == "POST" else 200)


@require_http_methods(["GET", "POST"])
@manager_required
def field_edit(request: MemberRequest, field_id: int | None = None) -> HttpResponse:
    """A change that touches values is shown with what it would do, and made when that is confirmed."""
    field = get_object_or_404(CustomField, pk=field_id) if field_id else CustomField()
    old = copy(field)
    form = CustomFieldForm(request.POST or None, instance=field)
    if request.method != "POST" or not form.is_valid():
        context = {"form": form, "field": old}
        return render(request, "crm/field_form.html", context, status=422 if form.errors else 200)
    new = form.save(commit=False)
    if old.pk is None or (old.type, old.options) == (new.type, new.options):
        save_field(field=new)
    else:
        effect = effect_of(old=old, new=new)
        if (effect.lost or effect.converted) and request.POST.get("confirmed") != "yes":
            return render(request, "crm/field_form.html", {"form": form, "field": old, "effect": effect}, status=409)
        change_field(old=old, new=new)
    record_request(request, AuditAction.SETTINGS_CHANGED, target=f"custom field {new.key}")
    messages.success(request, f"“{new.label}” is saved.")
    return redirect("crm:setup")


@require_http_methods(["GET", "POST"])
@manager_required
def rule_edit(request: MemberRequest, rule_id: int | None = None) -> HttpResponse:
    rule = get_object_or_404(ScoreRule, pk=rule_id) if rule_id else None
    form = ScoreRuleForm(request.POST or None, instance=rule)
    if request.method == "POST" and form.is_valid():
        form.save()
        return _rescore(request, "Saved. Every contact is being scored again.")
    return render(request, "crm/rule_form.html", {"form": form, "rule": rule}, status=422 if form.errors else 200)


@require_POST
@manager_required
def rule_delete(request: MemberRequest, rule_id: int) -> HttpResponse:
    get_object_or_404(ScoreRule, pk=rule_id).delete()
    return _rescore(request, "Deleted. Every contact is being scored again.")


def _rescore(request: MemberRequest, message: str) -> HttpResponse:
    record_request(request, AuditAction.SETTINGS_CHANGED, target="score rules")
    publish(score_everybody)
    messages.success(request, message)
    return redirect("crm:setup")


@require_POST
@manager_required
def view_save(request: MemberRequest) -> HttpResponse:
    query = clean_query(QueryDict(request.POST.get("query", "")))
    layout = request.POST.get("layout", "table")
    form = SavedViewForm(request.POST)
    if not form.is_valid() or len(query) > 2000 or layout not in ("table", "cards", "board"):
        messages.error(request, "Give the view a name of at most 80 characters.")
        return redirect("crm:contact-list")
    view, _ = SavedView.objects.update_or_create(
        user=request.user,
        name=form.cleaned_data["name"],
        defaults={"query": query, "layout": layout, "is_shared": form.cleaned_data["is_shared"]},
    )
    messages.success(request, f"“{view.name}” is saved.")
    return redirect(view)


@require_POST
@manager_required
def view_delete(request: MemberRequest, view_id: int) -> HttpResponse:
    get_object_or_404(SavedView, pk=view_id, user=request.user).delete()
    messages.success(request, "The view is deleted. The contacts stay.")
    return redirect("crm:contact-list")


@require_GET
@manager_required
def view_list(request: MemberRequest) -> HttpResponse:
    return render(request, "crm/view_list.html", {"views": SavedView.visible_to(request.user)})
