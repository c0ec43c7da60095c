"""The installation's database: the public schema, the template tenant, and what must exist in a new one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from tenants.context import in_public
from tenants.enums import Spoken
from tenants.models import TEMPLATE_SCHEMA, Domain, SpokenText, Tenant
from tenants.signals import database_prepared

_SPOKEN = Path(__file__).resolve().parent.parent / "data" / "spoken_texts.json"
_LOCK = 0x7468616E  # one process prepares at a time
LOCAL_HOSTS = ("localhost", "127.0.0.1")


def prepare_database(*, public_host: str | None = None) -> None:
    """Migrate everything that is behind, and make sure the public site exists. Safe to repeat, and to run twice at once."""
    with _one_at_a_time(), in_public():
        call_command("migrate_schemas", schema_name="public", interactive=False, verbosity=0)
        _ensure_public_site(public_host)
        _ensure_template()
        call_command("migrate_schemas", tenant=True, interactive=False, verbosity=0)
        database_prepared.send(sender=Tenant)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold an advisory lock on a connection of its own: migrating closes Django's, and would drop the lock with it."""
    import psycopg

    settings_dict = connection.settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    address = {key: str(settings_dict[name]) for key, name in names.items() if settings_dict[name]}
    with psycopg.connect(**address, autocommit=True) as holder:  # type: ignore[arg-type]
        holder.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        yield


def _ensure_public_site(public_host: str | None) -> None:
    site, _ = Tenant.objects.get_or_create(schema_name="public", defaults={"name": "Installation"})
    hosts = [host for host in (public_host, urlsplit(settings.PUBLIC_URL).hostname, *LOCAL_HOSTS) if host]
    for host in dict.fromkeys(hosts):
        Domain.objects.get_or_create(domain=host, defaults={"tenant": site, "is_primary": False})
    for key, text in json.loads(_SPOKEN.read_text()).items():
        SpokenText.objects.get_or_create(
            key=Spoken(key), defaults={"text": text, "voice": "Polly.Joanna-Neural", "language": "en-US"}
        )


def _ensure_template() -> None:
    """The template is a tenant row, so that every migration reaches it; it holds no data."""
    with transaction.atomic(), connection.cursor() as cursor:
        Tenant.objects.get_or_create(schema_name=TEMPLATE_SCHEMA, defaults={"name": "Template", "is_active": False})
        cursor.execute(f'CREATE SCHEMA IF NOT EXISTS "{TEMPLATE_SCHEMA}"')


def is_prepared() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_regclass('public.tenants_tenant'), to_regclass(%s)", [f"{TEMPLATE_SCHEMA}.django_migrations"]
        )
        return None not in (cursor.fetchone() or (None,))
