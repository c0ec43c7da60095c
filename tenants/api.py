"""Tokens for the REST API."""

from __future__ import annotations

from typing import Any

from allauth.core import ratelimit
from allauth.mfa.adapter import get_adapter as get_mfa_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.urls import path
from rest_framework import exceptions, serializers
from rest_framework.throttling import AnonRateThrottle
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from tenants.audit import client_address, record
from tenants.enums import AuditAction
from tenants.models import Membership


class TokenThrottle(AnonRateThrottle):
    scope = "token"


class TokenSerializer(TokenObtainPairSerializer):  # type: ignore[misc]
    """E-mail and password, and the second factor's code where one is set up."""

    code = serializers.CharField(required=False, write_only=True, help_text="Of the second factor, or a recovery code.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        request = self.context["request"]._request
        # Accounts are found whatever the case of their address.
        attrs[self.username_field] = email = attrs[self.username_field].casefold()
        # The sign-in page's budget for failures, per address and account, for the password and the code together.
        if not ratelimit.consume(request, action="login_failed", key=email, dry_run=True):
            raise exceptions.Throttled
        try:
            tokens: dict[str, Any] = super().validate(attrs)
            self._check_person(attrs)
        except exceptions.AuthenticationFailed:
            ratelimit.consume(request, action="login_failed", key=email)
            raise
        tenant = getattr(request, "tenant", None)
        record(AuditAction.SIGNED_IN, tenant=tenant, actor=self.user, ip_address=client_address(request), target="token")
        return tokens

    def _check_person(self, attrs: dict[str, Any]) -> None:
        """Raises AuthenticationFailed for a stranger, and without the second factor's code where one is set up."""
        tenant = getattr(self.context["request"]._request, "tenant", None)
        if not Membership.objects.filter(tenant=tenant, user=self.user).exists():
            raise exceptions.AuthenticationFailed("No active account found with the given credentials")
        if get_mfa_adapter().is_mfa_enabled(self.user) and not _code_fits(self.user, attrs.get("code", "")):
            raise exceptions.AuthenticationFailed("The second factor's code is missing or wrong: send it as `code`.")


def _code_fits(user: Any, code: str) -> bool:
    if not code:
        return False
    for authenticator in Authenticator.objects.filter(user=user):
        if authenticator.type == Authenticator.Type.TOTP and TOTP(authenticator).validate_code(code):
            return True
        if authenticator.type == Authenticator.Type.RECOVERY_CODES and RecoveryCodes(authenticator).validate_code(code):
            return True
    return False


class TokenView(TokenObtainPairView):  # type: ignore[misc]
    serializer_class = TokenSerializer
    throttle_classes = [TokenThrottle]


token_urlpatterns = [
    path("token/", TokenView.as_view(), name="token"),
    path("token/refresh/", TokenRefreshView.as_view(), name="token-refresh"),
]
