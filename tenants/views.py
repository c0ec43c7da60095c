from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from tenants.access import MemberRequest, manager_required, member_required
from tenants.addresses import base_url
from tenants.audit import client_address
from tenants.enums import Role
from tenants.forms import InvitationForm, JoinForm, RoleForm, TenantSettingsForm
from tenants.models import Invitation, Membership, Tenant, User
from tenants.selectors import open_invitations, people, tenants_of
from tenants.services import people as people_services
from tenants.services.people import PeopleError


@require_GET
@manager_required
def people_list(request: MemberRequest) -> HttpResponse:
    return render(request, "tenants/people.html", _people(request, InvitationForm()))


def _people(request: MemberRequest, form: InvitationForm) -> dict[str, Any]:
    """What the page of people shows. Who opens a link gets its role, so an owner's is for owners to hand over."""
    invitations = list(open_invitations(request.tenant))
    for invitation in invitations:
        invitation.field_id = f"link-{invitation.pk}"  # type: ignore[attr-defined]
        may_see = request.membership.is_owner or invitation.role != Role.OWNER
        invitation.shown_link = invitation.link(_base_url(request)) if may_see else None  # type: ignore[attr-defined]
    return {
        "people": people(request.tenant),
        "invitations": invitations,
        "form": form,
        "roles": Role.choices,
        "mail_is_sent": settings.MAIL_IS_SENT,
    }


def _base_url(request: MemberRequest) -> str:
    return base_url(request.domain.domain)  # type: ignore[attr-defined]


@require_POST
@manager_required
def invite(request: MemberRequest) -> HttpResponse:
    form = InvitationForm(request.POST)
    if form.is_valid():
        email = form.cleaned_data["email"]
        try:
            people_services.invite_person(
                tenant=request.tenant,
                email=email,
                role=Role(form.cleaned_data["role"]),
                invited_by=request.membership,
                base_url=_base_url(request),
            )
        except PeopleError as error:
            form.add_error(None, str(error))
        else:
            _tell_invited(request, email)
            return redirect("tenants:people")
    return render(request, "tenants/people.html", _people(request, form), status=422)


def _tell_invited(request: MemberRequest, email: str) -> None:
    known = Invitation.objects.filter(tenant=request.tenant, email=email.casefold(), accepted_at=None).first()
    if not settings.MAIL_IS_SENT or (known is not None and known.is_mailed is False):
        messages.warning(request, f"No e-mail went to {email}. Copy the link below, and send it yourself.")
    elif settings.ENV.outbox_url:
        messages.success(request, f"The invitation for {email} is in the outbox. You can also copy its link below.")
    else:
        messages.success(request, f"An invitation is on its way to {email}. You can also copy its link below.")


@require_POST
@manager_required
def invitation_withdraw(request: MemberRequest, invitation_id: int) -> HttpResponse:
    get_object_or_404(Invitation, pk=invitation_id, tenant=request.tenant, accepted_at=None).delete()
    messages.success(request, "The invitation is withdrawn; its link no longer works.")
    return redirect("tenants:people")


@require_POST
@manager_required
def role_change(request: MemberRequest, membership_id: int) -> HttpResponse:
    membership = get_object_or_404(Membership, pk=membership_id, tenant=request.tenant)
    form = RoleForm(request.POST)
    if form.is_valid():
        try:
            people_services.change_role(
                membership=membership, role=Role(form.cleaned_data["role"]), actor=request.membership
            )
            messages.success(request, "The role is changed.")
        except PeopleError as error:
            messages.error(request, str(error))
    return redirect("tenants:people")


@require_POST
@manager_required
def member_remove(request: MemberRequest, membership_id: int) -> HttpResponse:
    membership = get_object_or_404(Membership, pk=membership_id, tenant=request.tenant)
    try:
        people_services.remove_member(membership=membership, actor=request.membership)
        messages.success(request, f"{membership.user.get_full_name()} is no longer a member.")
    except PeopleError as error:
        messages.error(request, str(error))
    return redirect("tenants:people")


@require_POST
@login_required
def sign_ins_end(request: HttpRequest) -> HttpResponse:
    """Sign the person out on every machine, this one included."""
    user = User.objects.get(pk=request.user.pk or 0)
    tenant: Tenant = request.tenant  # type: ignore[attr-defined]
    people_services.end_sign_ins(user=user, tenant=tenant, ip_address=client_address(request))
    logout(request)
    return redirect("account_login")


@require_http_methods(["GET", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponse:
    """Where an invitation's link leads: a new person chooses a password, a known one just joins."""
    tenant: Tenant = request.tenant  # type: ignore[attr-defined]
    invitation = people_services.find_invitation(tenant=tenant, token=token)
    if invitation is None:
        return render(request, "tenants/join_expired.html", status=404)
    known = request.user if isinstance(request.user, User) else None
    form = None if known else JoinForm(request.POST or None)
    if request.method == "POST" and (form is None or form.is_valid()):
        values = form.cleaned_data if form else {}
        try:
            user = people_services.accept_invitation(invitation=invitation, user=known, **values)
        except PeopleError as error:
            messages.error(request, str(error))
            return redirect(request.path)
        if known is None:
            login(request, user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return redirect("/")
    return render(request, "tenants/join.html", {"invitation": invitation, "form": form})


@require_GET
@member_required
def switch(request: MemberRequest) -> HttpResponse:
    return render(request, "tenants/switch.html", {"tenants": tenants_of(request.user)})


@require_http_methods(["GET", "POST"])
@manager_required
def organisation(request: MemberRequest) -> HttpResponse:
    tenant = request.tenant
    form = TenantSettingsForm(request.POST or None, initial={"name": tenant.name, "time_zone": tenant.time_zone})
    if request.method == "POST" and form.is_valid():
        Tenant.objects.filter(pk=tenant.pk).update(**form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("tenants:organisation")
    return render(request, "tenants/organisation.html", {"form": form}, status=422 if form.errors else 200)


@require_GET
@manager_required
def audit_trail(request: MemberRequest) -> HttpResponse:
    events = request.tenant.audit_events.select_related("actor")
    page = Paginator(events, 50).get_page(request.GET.get("page"))
    return render(request, "tenants/audit.html", {"page": page})
