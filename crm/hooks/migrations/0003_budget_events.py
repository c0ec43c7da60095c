
import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('crm_hooks', '0002_email_events'),
    ]

    operations = [
        migrations.AlterField(
            model_name='webhookdelivery',
            name='event',
            field=models.CharField(choices=[('contact.created', 'Contact created'), ('contact.changed', 'Contact changed'), ('contact.merged', 'Contacts merged'), ('contact.deleted', 'Contact deleted'), ('interaction.added', 'Interaction added'), ('call.started', 'Call started'), ('call.finished', 'Call finished'), ('mailing.finished', 'E-mail to many finished'), ('email.bounced', 'E-mail bounced'), ('email.unsubscribed', 'Recipient unsubscribed'), ('email.replied', 'Recipient replied'), ('budget.reached', 'Budget reached a level'), ('import.finished', 'Import finished'), ('webhook.test', 'Test')], max_length=30),
        ),
        migrations.AlterField(
            model_name='webhookendpoint',
            name='events',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('contact.created', 'Contact created'), ('contact.changed', 'Contact changed'), ('contact.merged', 'Contacts merged'), ('contact.deleted', 'Contact deleted'), ('interaction.added', 'Interaction added'), ('call.started', 'Call started'), ('call.finished', 'Call finished'), ('mailing.finished', 'E-mail to many finished'), ('email.bounced', 'E-mail bounced'), ('email.unsubscribed', 'Recipient unsubscribed'), ('email.replied', 'Recipient replied'), ('budget.reached', 'Budget reached a level'), ('import.finished', 'Import finished'), ('webhook.test', 'Test')], max_length=30), default=list, size=None),
        ),
    ]
