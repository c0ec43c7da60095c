"""The one way into a tenant, the same for views, coroutines, tasks and commands.

    with entered(tenant): ...            # synchronous or asynchronous code alike
    await in_tenant(tenant, function)    # run synchronous code of a tenant from a coroutine

The tenant follows the current task (tenants/backend/base.py). Outside, the tables of tenants do not exist and a query
for them raises. Never write `with tenant:`: upstream keeps its previous tenant in one list for all threads. Do not
`yield` from an asynchronous generator inside `entered()`, which would leak it into the consumer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from channels.db import database_sync_to_async
from django.db import connection
from django_tenants.utils import get_public_schema_name, schema_context, tenant_context

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    from tenants.models import Tenant


class NoTenantError(LookupError):
    """The schema or host named does not belong to a tenant that may be entered."""


@contextmanager
def entered(tenant: Tenant) -> Iterator[Tenant]:
    with tenant_context(tenant):
        yield tenant


@contextmanager
def in_public() -> Iterator[None]:
    with schema_context(get_public_schema_name()):
        yield


@contextmanager
def entered_schema(schema: str) -> Iterator[Tenant]:
    """Enter by schema name, as messages and tokens carry it. Raises NoTenantError for an unknown or inactive one."""
    with entered(find_tenant(schema)) as tenant:
        yield tenant


def find_tenant(schema: str) -> Tenant:
    """Raises NoTenantError."""
    from tenants.models import Tenant

    with in_public():
        tenant: Tenant | None = Tenant.objects.real().filter(schema_name=schema).first()
    if tenant is None:
        raise NoTenantError(f"no tenant has the schema {schema!r}")
    return tenant


async def in_tenant(tenant: Tenant, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run synchronous code inside a tenant, in a thread, and leave the tenant again whatever happens."""

    def run() -> R:
        with entered(tenant):
            return function(*args, **kwargs)

    return cast("R", await database_sync_to_async(run, thread_sensitive=False)())


def current_schema() -> str | None:
    """Return the schema of the tenant that is entered, or None in the public one."""
    schema = connection.schema_name  # type: ignore[attr-defined]
    return None if schema == get_public_schema_name() else str(schema)


def current_tenant() -> Tenant:
    """Raises NoTenantError outside a tenant."""
    from tenants.models import Tenant

    tenant = connection.tenant  # type: ignore[attr-defined]
    if isinstance(tenant, Tenant) and current_schema():
        return tenant
    if schema := current_schema():
        return find_tenant(schema)
    raise NoTenantError("no tenant is entered")
