from django.db.models import TextChoices


class Role(TextChoices):
    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"


class AuditAction(TextChoices):
    SIGNED_IN = "signed-in", "Signed in"
    SIGN_IN_FAILED = "sign-in-failed", "Failed to sign in"
    SIGNED_OUT = "signed-out", "Signed out"
    ROLE_CHANGED = "role-changed", "Role changed"
    MEMBER_REMOVED = "member-removed", "Member removed"
    INVITED = "invited", "Invited"
    INVITATION_ACCEPTED = "invitation-accepted", "Invitation accepted"
    CALL_VIEWED = "call-viewed", "Call viewed"
    RECORDING_PLAYED = "recording-played", "Recording played"
    CALL_CONTROLLED = "call-controlled", "Live call controlled"
    LINE_CHANGED = "line-changed", "Line changed"
    TENANT_CREATED = "tenant-created", "Organisation created"
    TENANT_DEACTIVATED = "tenant-deactivated", "Organisation deactivated"
    TENANT_ACTIVATED = "tenant-activated", "Organisation activated"
    TENANT_EXPORTED = "tenant-exported", "Organisation exported"
    TENANT_DELETED = "tenant-deleted", "Organisation deleted"
    NUMBER_ATTACHED = "number-attached", "Number attached"
    NUMBER_BOUGHT = "number-bought", "Number bought"
    TOKEN_CREATED = "token-created", "API token created"
    TOKEN_REVOKED = "token-revoked", "API token revoked"
    CONTACTS_EXPORTED = "contacts-exported", "Contacts exported"
    CONTACTS_IMPORTED = "contacts-imported", "Contacts imported"
    IMPORT_UNDONE = "import-undone", "Import undone"
    CONTACTS_MERGED = "contacts-merged", "Contacts merged"
    CONTACTS_DELETED = "contacts-deleted", "Contacts deleted"
    CONTACTS_CHANGED = "contacts-changed", "Contacts changed"
    WEBHOOK_CHANGED = "webhook-changed", "Webhook changed"
    SETTINGS_CHANGED = "settings-changed", "Settings changed"
    MAILING_STARTED = "mailing-started", "E-mail to many started"
    MAILING_CHANGED = "mailing-changed", "E-mail to many paused, resumed or cancelled"
    TEMPLATE_CHANGED = "template-changed", "E-mail template changed"
    SUPPRESSION_CHANGED = "suppression-changed", "Suppression list changed"
    SENDING_DOMAIN_CHANGED = "sending-domain-changed", "Sending domain changed"
    SEQUENCE_CHANGED = "sequence-changed", "E-mail sequence changed"
    FILE_DOWNLOADED = "file-downloaded", "File downloaded"


class Scope(TextChoices):
    """What an API token may be allowed to do. A view names the scopes it asks for in `required_scopes`."""

    CONTACTS_READ = "contacts:read", "Read contacts"
    CONTACTS_WRITE = "contacts:write", "Change contacts"
    INTERACTIONS_READ = "interactions:read", "Read interactions and tasks"
    INTERACTIONS_WRITE = "interactions:write", "Change interactions and tasks"
    CALLS_READ = "calls:read", "Read calls"
    LINES_READ = "lines:read", "Read lines"
    LINES_WRITE = "lines:write", "Change lines"
    IMPORTS_READ = "imports:read", "Follow imports"
    IMPORTS_WRITE = "imports:write", "Start, stop and undo imports"
    EXPORTS_READ = "exports:read", "Export contacts"
    WEBHOOKS_READ = "webhooks:read", "Read webhooks and their deliveries"
    WEBHOOKS_WRITE = "webhooks:write", "Change webhooks and send again"
    EMAIL_READ = "email:read", "Read templates, e-mails and what became of them"
    EMAIL_WRITE = "email:write", "Change templates, send e-mail, change the suppression list"
    SETTINGS_READ = "settings:read", "Read custom fields, statuses and views"
    SETTINGS_WRITE = "settings:write", "Change custom fields, statuses and views"


class Spoken(TextChoices):
    """What the platform itself may have to say to a caller, when no organisation's line can."""

    UNKNOWN_NUMBER = "unknown-number", "The number belongs to nobody"
    INACTIVE_TENANT = "inactive-tenant", "The organisation is switched off"
    INSTALLATION_BUSY = "installation-busy", "Every place of the installation is taken"
    FAILURE = "failure", "A fault of ours"
