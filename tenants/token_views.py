"""The pages of API tokens, for owners and admins."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from tenants.access import MemberRequest, manager_required
from tenants.audit import client_address
from tenants.forms import TokenForm
from tenants.models import ApiToken
from tenants.selectors import tokens_of
from tenants.services.tokens import TokenError, create_token, revoke_token


@require_GET
@manager_required
def token_list(request: MemberRequest) -> HttpResponse:
    return render(request, "tenants/tokens.html", {"tokens": tokens_of(request.tenant)})


@never_cache
@require_http_methods(["GET", "POST"])
@manager_required
def token_create(request: MemberRequest) -> HttpResponse:
    """The answer to the POST is the one page that ever shows the token: neither an address nor a session holds it."""
    form = TokenForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            token, text = create_token(
                tenant=request.tenant,
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                expires_at=form.expires_at(),
                actor=request.membership,
                ip_address=client_address(request),
            )
        except TokenError as error:
            form.add_error(None, str(error))
        else:
            return render(request, "tenants/token_created.html", {"token": token, "text": text}, status=201)
    return render(request, "tenants/token_form.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@manager_required
def token_revoke(request: MemberRequest, token_id: int) -> HttpResponse:
    token = get_object_or_404(ApiToken.objects.select_related("tenant"), pk=token_id, tenant=request.tenant)
    if revoke_token(token=token, actor=request.membership, ip_address=client_address(request)):
        messages.success(request, f"{token.name} is revoked; programs that use it are refused from now on.")
    else:
        messages.warning(request, f"{token.name} had been revoked already.")
    return redirect("tenants:tokens")
