"""What rooms above may want to know of tenants."""

from django.dispatch import Signal

# Sent inside the new tenant, in the transaction that makes it: receivers write the tenant's default data.
tenant_created = Signal()
# Sent inside the tenant, after the switch is committed: receivers end what still runs.
tenant_deactivated = Signal()
# Sent inside the tenant before its rows are exported: receivers add files to `folder`. Arguments: tenant, folder.
tenant_exporting = Signal()
# Sent after a tenant is dropped, for what lives outside its schema. Argument: schema.
tenant_deleted = Signal()
# Sent inside the tenant, in the transaction that adds the number. Arguments: tenant, phone_number.
number_attached = Signal()
# Sent in the public schema when the database has been brought up to date: receivers write what every installation has.
database_prepared = Signal()
