
import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0004_agents_in_audit_and_scopes'),
    ]

    operations = [
        migrations.AlterField(
            model_name='apitoken',
            name='scopes',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('contacts:read', 'Read contacts'), ('contacts:write', 'Change contacts'), ('interactions:read', 'Read interactions and tasks'), ('interactions:write', 'Change interactions and tasks'), ('calls:read', 'Read calls'), ('lines:read', 'Read lines'), ('lines:write', 'Change lines'), ('imports:read', 'Follow imports'), ('imports:write', 'Start, stop and undo imports'), ('exports:read', 'Export contacts'), ('webhooks:read', 'Read webhooks and their deliveries'), ('webhooks:write', 'Change webhooks and send again'), ('email:read', 'Read templates, e-mails and what became of them'), ('email:write', 'Change templates, send e-mail, change the suppression list'), ('agents:read', 'Read agents, documents and conversations'), ('agents:write', 'Talk to agents, change agents and documents'), ('billing:read', 'Read costs, budgets and invoices'), ('billing:write', 'Change budgets'), ('settings:read', 'Read custom fields, statuses and views'), ('settings:write', 'Change custom fields, statuses and views')], max_length=30), size=None),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='action',
            field=models.CharField(choices=[('signed-in', 'Signed in'), ('sign-in-failed', 'Failed to sign in'), ('signed-out', 'Signed out'), ('role-changed', 'Role changed'), ('member-removed', 'Member removed'), ('invited', 'Invited'), ('invitation-accepted', 'Invitation accepted'), ('call-viewed', 'Call viewed'), ('recording-played', 'Recording played'), ('call-controlled', 'Live call controlled'), ('line-changed', 'Line changed'), ('tenant-created', 'Organisation created'), ('tenant-deactivated', 'Organisation deactivated'), ('tenant-activated', 'Organisation activated'), ('tenant-exported', 'Organisation exported'), ('tenant-deleted', 'Organisation deleted'), ('number-attached', 'Number attached'), ('number-bought', 'Number bought'), ('token-created', 'API token created'), ('token-revoked', 'API token revoked'), ('contacts-exported', 'Contacts exported'), ('contacts-imported', 'Contacts imported'), ('import-undone', 'Import undone'), ('contacts-merged', 'Contacts merged'), ('contacts-deleted', 'Contacts deleted'), ('contacts-changed', 'Contacts changed'), ('webhook-changed', 'Webhook changed'), ('settings-changed', 'Settings changed'), ('mailing-started', 'E-mail to many started'), ('mailing-changed', 'E-mail to many paused, resumed or cancelled'), ('template-changed', 'E-mail template changed'), ('suppression-changed', 'Suppression list changed'), ('sending-domain-changed', 'Sending domain changed'), ('sequence-changed', 'E-mail sequence changed'), ('agent-changed', 'Agent changed'), ('knowledge-changed', 'Knowledge changed'), ('tool-changed', 'Tool of agents changed'), ('budget-changed', 'Budget changed'), ('subscription-changed', 'Subscription changed'), ('payments-changed', 'Payments of contacts changed'), ('file-downloaded', 'File downloaded')], max_length=30),
        ),
    ]
