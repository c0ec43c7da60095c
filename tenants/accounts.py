"""How allauth behaves here: nobody signs up by themselves, and what happens at the door is written down."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core import context as account_context
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest

from tenants import guessing
from tenants.addresses import base_url
from tenants.audit import client_address, record, record_request
from tenants.enums import AuditAction
from tenants.models import User
from thanos.encryption import decrypt, encrypt


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def format_email_subject(self, subject: str) -> str:
        """By the organisation's own name; the host that was asked for may be anything."""
        tenant = getattr(account_context.request, "tenant", None)
        name = tenant.name if tenant is not None and tenant.schema_name != "public" else settings.ENV.smtp_from_name
        return f"{name}: {subject}"

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        tenant, domain = (getattr(account_context.request, name, None) for name in ("tenant", "domain"))
        name = tenant.name if tenant is not None else settings.ENV.smtp_from_name
        site = {"name": name, "domain": urlsplit(base_url(domain.domain if domain else None)).netloc}
        super().send_mail(template_prefix, email, {**context, "current_site": site})

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        return guessing.key_of(request, credentials.get("email") or "")

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        super().pre_authenticate(request, **credentials)
        guessing.slow_down(credentials.get("email") or "")

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        guessing.note_failure(credentials.get("email") or "")


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Second-factor secrets are encrypted like personal data."""

    def encrypt(self, text: str) -> str:
        return encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return decrypt(encrypted_text.encode()).decode()


@receiver(post_save, sender=User)
def register_address(instance: User, created: bool, **_: Any) -> None:
    """People come by an invitation that was mailed to them, or are entered by staff: the address is theirs."""
    if created and instance.email:
        EmailAddress.objects.create(user=instance, email=instance.email, primary=True, verified=True)


def replace_address(user: User) -> None:
    """After staff changed an address: the old one neither signs in nor resets a password any more."""
    EmailAddress.objects.filter(user=user).delete()
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)


@receiver(user_logged_in)
def note_sign_in(request: HttpRequest | None, user: User, **_: Any) -> None:
    if request is not None:
        tenant = getattr(request, "tenant", None)
        record(AuditAction.SIGNED_IN, tenant=tenant, actor=user, ip_address=client_address(request))


@receiver(user_logged_out)
def note_sign_out(request: HttpRequest | None, **_: Any) -> None:
    if request is not None and request.user.is_authenticated:
        record_request(request, AuditAction.SIGNED_OUT)


@receiver(user_login_failed)
def note_failed_sign_in(request: HttpRequest | None = None, **_: Any) -> None:
    tenant = getattr(request, "tenant", None)
    record(AuditAction.SIGN_IN_FAILED, tenant=tenant, ip_address=client_address(request) if request else None)
