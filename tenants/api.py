"""Tokens for the REST API."""

from __future__ import annotations

from typing import Any

from allauth.core import ratelimit
from allauth.mfa.adapter import get_adapter as get_mfa_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.db import IntegrityError, transaction
from django.urls import path
from rest_framework import exceptions, serializers
from rest_framework.throttling import AnonRateThrottle
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer
from rest_framework_simplejwt.settings import api_settings as jwt_settings
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.utils import datetime_from_epoch
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from tenants import guessing
from tenants.audit import client_address, record
from tenants.authentication import membership_behind, tokens_for
from tenants.enums import AuditAction
from tenants.models import Membership, SpentToken


class TokenThrottle(AnonRateThrottle):
    scope = "token"


class TokenSerializer(TokenObtainPairSerializer):  # type: ignore[misc]
    """E-mail and password, and the second factor's code where one is set up."""

    code = serializers.CharField(required=False, write_only=True, help_text="Of the second factor, or a recovery code.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        request = self.context["request"]._request
        # Accounts are found whatever the case of their address.
        attrs[self.username_field] = email = attrs[self.username_field].casefold()
        tenant = getattr(request, "tenant", None)
        # The sign-in page's budget for failures, for the password and the code together.
        key = guessing.key_of(request, email)
        if not ratelimit.consume(request, action="login_failed", key=key, dry_run=True):
            raise exceptions.Throttled
        guessing.slow_down(email)
        try:
            super().validate(attrs)
            membership = self._check_person(attrs)
        except exceptions.AuthenticationFailed:
            ratelimit.consume(request, action="login_failed", key=key)
            guessing.note_failure(email)
            raise
        refresh = tokens_for(membership)
        tokens = {"refresh": str(refresh), "access": str(refresh.access_token)}
        record(AuditAction.SIGNED_IN, tenant=tenant, actor=self.user, ip_address=client_address(request), target="token")
        return tokens

    def _check_person(self, attrs: dict[str, Any]) -> Membership:
        """Raises AuthenticationFailed for a stranger, and without the second factor's code where one is set up."""
        tenant = getattr(self.context["request"]._request, "tenant", None)
        membership = Membership.objects.select_related("user").filter(tenant=tenant, user=self.user).first()
        if membership is None:
            raise exceptions.AuthenticationFailed("No active account found with the given credentials")
        if get_mfa_adapter().is_mfa_enabled(self.user) and not _code_fits(self.user, attrs.get("code", "")):
            raise exceptions.AuthenticationFailed("The second factor's code is missing or wrong: send it as `code`.")
        return membership


def _code_fits(user: Any, code: str) -> bool:
    if not code:
        return False
    for authenticator in Authenticator.objects.filter(user=user):
        if authenticator.type == Authenticator.Type.TOTP and TOTP(authenticator).validate_code(code):
            return True
        if authenticator.type == Authenticator.Type.RECOVERY_CODES and RecoveryCodes(authenticator).validate_code(code):
            return True
    return False


class RefreshSerializer(serializers.Serializer[Any]):
    """A refresh token works once: the answer has the next one, with all that is still true of the person."""

    refresh = serializers.CharField()
    access = serializers.CharField(read_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        refresh = RefreshToken(attrs["refresh"])
        tenant = getattr(self.context["request"]._request, "tenant", None)
        user_id = refresh.get(jwt_settings.USER_ID_CLAIM)
        membership = membership_behind(refresh, tenant=tenant, user_id=user_id)
        if membership is None or not membership.user.is_active:
            raise exceptions.AuthenticationFailed("This token has ended. Sign in again.", code="token_ended")
        _spend(refresh)
        refresh.set_jti()
        refresh.set_exp()
        refresh.set_iat()
        return {"access": str(refresh.access_token), "refresh": str(refresh)}


def _spend(refresh: RefreshToken) -> None:
    """Raises AuthenticationFailed when it was exchanged before, be it a moment ago."""
    try:
        with transaction.atomic():
            SpentToken.objects.create(jti=refresh["jti"], expires_at=datetime_from_epoch(refresh["exp"]))
    except IntegrityError:
        raise exceptions.AuthenticationFailed("This token was used already.", code="token_ended") from None


class TokenView(TokenObtainPairView):  # type: ignore[misc]
    serializer_class = TokenSerializer
    throttle_classes = [TokenThrottle]


class RefreshView(TokenRefreshView):  # type: ignore[misc]
    serializer_class = RefreshSerializer


token_urlpatterns = [
    path("token/", TokenView.as_view(), name="token"),
    path("token/refresh/", RefreshView.as_view(), name="token-refresh"),
]
