"""Making, switching off, exporting and deleting organisations."""

from __future__ import annotations

import json
import re
import secrets
import tarfile
import tempfile
from pathlib import Path
from typing import TextIO

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import serializers
from django.db import IntegrityError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone
from django_tenants.clone import CloneSchema

from tenants.audit import record
from tenants.context import entered, in_public
from tenants.enums import AuditAction, Role
from tenants.models import TEMPLATE_SCHEMA, Domain, Membership, Tenant, User
from tenants.signals import tenant_created, tenant_deactivated, tenant_deleted, tenant_exporting

_HOST = re.compile(r"^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$")


class TenantError(ValueError):
    """The organisation cannot be made or changed as asked; the text is for the person who asked."""


def create_tenant(
    *, name: str, domain: str, admin_email: str, admin_password: str | None = None, actor: User | None = None
) -> Tenant:
    """Make an organisation with its domain and its first owner, usable at once. All of it, or nothing.

    Raises TenantError when the domain is malformed or taken, or the prepared schema is behind the code.
    """
    domain = check_domain(domain)
    _check_template()
    try:
        return _create(name, domain, admin_email, admin_password, actor)
    except IntegrityError:  # somebody was quicker with the same domain
        raise TenantError(f"The domain {domain} already belongs to an organisation.") from None


def _create(name: str, domain: str, admin_email: str, admin_password: str | None, actor: User | None) -> Tenant:
    with in_public(), transaction.atomic():
        tenant: Tenant = Tenant.objects.create(schema_name=f"t_{secrets.token_hex(6)}", name=name)
        Domain.objects.create(domain=domain, tenant=tenant, is_primary=True)
        owner = _find_or_create_user(admin_email, admin_password)
        Membership.objects.create(tenant=tenant, user=owner, role=Role.OWNER)
        # Copies tables, constraints, sequences and the migrations' own rows, which is all the template holds.
        CloneSchema().clone_schema(TEMPLATE_SCHEMA, tenant.schema_name, set_connection=False)
        with entered(tenant):
            tenant_created.send(sender=Tenant, tenant=tenant)
        record(AuditAction.TENANT_CREATED, tenant=tenant, actor=actor or owner)
    return tenant


def check_domain(domain: str) -> str:
    """Return the domain as it is stored. Raises TenantError."""
    domain = domain.strip().casefold()
    if not _HOST.match(domain):
        raise TenantError(f"{domain!r} is not a host name.")
    with in_public():
        if Domain.objects.filter(domain=domain).exists():
            raise TenantError(f"The domain {domain} already belongs to an organisation.")
    return domain


def _find_or_create_user(email: str, password: str | None) -> User:
    user = User.objects.filter(email__iexact=email).first()
    return user or User.objects.create_user(email, password)


def _check_template() -> None:
    """A clone of a stale template would be marked up to date with columns missing: refuse it.

    Raises TenantError.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [f"{TEMPLATE_SCHEMA}.django_migrations"])
        row = cursor.fetchone()
        if row is None or row[0] is None:
            raise TenantError("The database is not prepared yet: run `manage.py prepare_database`.")
        cursor.execute(f"SELECT app, name FROM {TEMPLATE_SCHEMA}.django_migrations")
        applied = set(cursor.fetchall())
    labels = {config.label for config in _tenant_apps()}
    wanted = {key for key in MigrationLoader(None).disk_migrations if key[0] in labels}
    if missing := wanted - applied:
        raise TenantError(f"The prepared schema lacks {len(missing)} migrations: run `manage.py prepare_database`.")


def deactivate_tenant(*, tenant: Tenant, actor: User | None = None) -> None:
    """Stop an organisation's calls and sign-ins at once; its data stays. Safe to repeat."""
    changed = Tenant.objects.filter(pk=tenant.pk, is_active=True).update(is_active=False)
    tenant.is_active = False
    if changed:
        record(AuditAction.TENANT_DEACTIVATED, tenant=tenant, actor=actor)
        with entered(tenant):
            tenant_deactivated.send(sender=Tenant, tenant=tenant)


def activate_tenant(*, tenant: Tenant, actor: User | None = None) -> None:
    if Tenant.objects.filter(pk=tenant.pk, is_active=False).update(is_active=True):
        record(AuditAction.TENANT_ACTIVATED, tenant=tenant, actor=actor)
    tenant.is_active = True


def export_tenant(*, tenant: Tenant, actor: User | None = None) -> Path:
    """Write an organisation's rows (one JSON object a line) and files to a private archive and return its path.

    Personal fields are written in plain text: it is the organisation's own copy of its own data.
    """
    folder = settings.ENV.state_dir / "exports"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{tenant.schema_name}-{timezone.now():%Y%m%dT%H%M%S}"
    path: Path = folder / f"{name}.tar.gz"
    draft = folder / f"{name}.part"
    draft.touch(mode=0o600)
    with tempfile.TemporaryDirectory(dir=folder) as gathered, entered(tenant):
        tenant_exporting.send(sender=Tenant, tenant=tenant, folder=Path(gathered))
        with (Path(gathered) / "rows.jsonl").open("w") as out, transaction.atomic():
            _write_rows(out)
        with tarfile.open(draft, "w:gz") as archive:
            archive.add(gathered, arcname=name)
    draft.rename(path)
    record(AuditAction.TENANT_EXPORTED, tenant=tenant, actor=actor)
    return path


def _write_rows(out: TextIO) -> None:
    for model in _tenant_models():
        for row in serializers.serialize("python", model._default_manager.order_by("pk").iterator(chunk_size=500)):
            out.write(json.dumps(row, default=str) + "\n")


def _tenant_models() -> list:  # type: ignore[type-arg]
    return [model for config in _tenant_apps() for model in config.get_models()]


def _tenant_apps() -> list[AppConfig]:
    return [config for config in apps.get_app_configs() if config.name in settings.TENANT_APPS]


def delete_tenant(*, tenant: Tenant, actor: User | None = None) -> Path:
    """Switch off, export, then drop an organisation; return the export. The export is complete before anything goes."""
    deactivate_tenant(tenant=tenant, actor=actor)
    path = export_tenant(tenant=tenant, actor=actor)
    with in_public(), transaction.atomic():
        record(AuditAction.TENANT_DELETED, tenant=None, tenant_name=tenant.name, actor=actor, target=tenant.schema_name)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # pending checks would keep the tables from going
            cursor.execute(f'DROP SCHEMA IF EXISTS "{tenant.schema_name}" CASCADE')
        Tenant.objects.filter(pk=tenant.pk).delete()
    tenant_deleted.send(sender=Tenant, schema=tenant.schema_name)
    return path
