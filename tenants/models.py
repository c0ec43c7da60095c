from __future__ import annotations

import re
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django_tenants.models import DomainMixin, TenantMixin

from tenants.enums import AuditAction, Role, Scope, Spoken
from thanos.encryption import EncryptedJSONField, EncryptedTextField

E164 = RegexValidator(r"^\+[1-9]\d{6,14}$", "Write the number in E.164 form: + and digits, such as +15550100123.")
_UUID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
TEMPLATE_SCHEMA = "tenant_template"


class TenantQuerySet(models.QuerySet["Tenant"]):
    def real(self) -> TenantQuerySet:
        """Organisations: neither the public schema nor the template others are cloned from."""
        return self.exclude(schema_name__in=["public", TEMPLATE_SCHEMA])

    def active(self) -> TenantQuerySet:
        return self.real().filter(is_active=True)


class Tenant(TenantMixin):  # type: ignore[misc]
    name = models.CharField(max_length=120)
    is_active = models.BooleanField(default=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    max_concurrent_calls = models.PositiveIntegerField(default=50)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    # Schemas are made and dropped by services, never as a side effect of saving a row.
    auto_create_schema = False
    auto_drop_schema = False

    objects: ClassVar[Any] = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = "organisation"

    def __str__(self) -> str:
        return self.name

    @property
    def primary_domain(self) -> str | None:
        domains = sorted(self.domains.all(), key=lambda domain: (not domain.is_primary, domain.pk))  # prefetched in lists
        return domains[0].domain if domains else None


class Domain(DomainMixin):  # type: ignore[misc]
    class Meta:
        ordering = ["domain"]

    def __str__(self) -> str:
        return str(self.domain)


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).casefold(), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True, **fields})

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    is_staff = models.BooleanField(default=False, help_text="May use the staff pages on the public domain.")
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now, editable=False)
    # Counted up to end every session and token at once; a changed password does the same by itself.
    sign_in_round = models.PositiveIntegerField(default=0, editable=False)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    objects = UserManager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique")]
        ordering = ["email"]

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.name or self.email

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What sessions carry and tokens are derived from: another password, or another round, and they have ended."""
        held: str = super()._get_session_auth_hash(secret=secret)  # type: ignore[misc]
        if not self.sign_in_round:
            return held
        return salted_hmac("tenants.sign-in-round", f"{held}:{self.sign_in_round}", secret=secret).hexdigest()


class Membership(models.Model):
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="membership_unique")]
        ordering = ["user__email"]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant}"

    @property
    def can_manage(self) -> bool:
        return self.role in (Role.OWNER, Role.ADMIN)

    @property
    def is_owner(self) -> bool:
        return self.role == Role.OWNER

    @property
    def sign_in_proof(self) -> str:
        """What a JWT of this person for this organisation carries, until the password, the role or the membership ends.

        Needs `user`. Ending every session of the person ends it too.
        """
        value = f"{self.user.get_session_auth_hash()}:{self.pk}:{self.role}"
        return salted_hmac("tenants.sign-in-proof", value, algorithm="sha256").hexdigest()[:40]


class Invitation(models.Model):
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    # The link, for whoever hands it over themselves; None for invitations from before it was kept.
    token = EncryptedTextField(null=True, editable=False)
    is_mailed = models.BooleanField(null=True, editable=False)  # None: nobody knows
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.email} to {self.tenant}"

    def link(self, base_url: str) -> str | None:
        """Return where it leads, None for an invitation from before its token was kept."""
        return f"{base_url}/join/{self.token}/" if self.token else None

    @property
    def is_open(self) -> bool:
        return self.accepted_at is None and self.expires_at > timezone.now()


class PhoneNumber(models.Model):
    """Which organisation a telephone number belongs to: how webhooks find their tenant."""

    number = models.CharField(max_length=16, unique=True, validators=[E164])
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="phone_numbers")
    twilio_sid = models.CharField(max_length=34, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return self.number


class AuditEvent(models.Model):
    tenant = models.ForeignKey(Tenant, models.SET_NULL, null=True, blank=True, related_name="audit_events")
    tenant_name = models.CharField(max_length=120, blank=True, help_text="Kept when the organisation is gone.")
    actor = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    action = models.CharField(max_length=30, choices=AuditAction)
    target = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(default=timezone.now, db_index=True)
    ip_address = models.GenericIPAddressField(null=True, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["tenant", "-at"], name="audit_tenant_at")]

    def __str__(self) -> str:
        return f"{self.get_action_display()} at {self.at:%Y-%m-%d %H:%M}"

    @property
    def is_by_nobody(self) -> bool:
        """Was it done by a command or by the product itself, rather than by a person who is not known?"""
        return self.actor_id is None and self.action not in (AuditAction.SIGN_IN_FAILED, AuditAction.SIGNED_OUT)

    @property
    def shown_target(self) -> str:
        """What it was done to, without identifiers that only programs can read."""
        return _UUID.sub(lambda found: f"{found.group()[:8]}…", self.target)


class ApiToken(models.Model):
    """A program's way into one organisation: its maker's rights there, and of those only the scopes."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=16, editable=False, help_text="Its first characters, to tell tokens apart.")
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=30, choices=Scope))
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)  # to the minute
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def scope_labels(self) -> list[str]:
        return [str(label) for value, label in Scope.choices if value in self.scopes]


class SpentToken(models.Model):
    """A refresh token that was exchanged for the next one: it works once. Kept until it would have expired."""

    jti = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.jti


class IdempotentRequest(models.Model):
    """A request that changed something under an `Idempotency-Key`, with its answer, for a client that asks again."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    principal = models.CharField(max_length=40)  # "user 7" or "token 3": a key is its sender's own
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status_code = models.PositiveSmallIntegerField()
    answer = EncryptedJSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "principal", "key"], name="idempotent_key_unique")]

    def __str__(self) -> str:
        return f"{self.key} of {self.principal}"


class SendingDomain(models.Model):
    """Which organisation writes e-mail from a domain: no two can. What is known of it is in its room (crm.email).

    It outlives its organisation until the provider has forgotten the domain too.
    """

    domain = models.CharField(max_length=253, unique=True)
    tenant = models.ForeignKey(Tenant, models.SET_NULL, null=True, related_name="sending_domains")
    provider_id = models.CharField(max_length=40, blank=True)  # at the provider; empty: not registered, as far as we know
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.domain


class SpokenText(models.Model):
    """A sentence the platform says when no organisation's line can. One row each, editable by staff."""

    key = models.CharField(max_length=30, choices=Spoken, unique=True)
    text = models.TextField()
    voice = models.CharField(max_length=60, help_text="A voice of the carrier's <Say>.")
    language = models.CharField(max_length=10)

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return self.get_key_display()
