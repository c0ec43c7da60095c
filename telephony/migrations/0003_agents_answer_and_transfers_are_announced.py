import agents.organisation.models
import django.core.validators
import django.db.models.deletion
import thanos.encryption
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0001_initial'),
        ('crm', '0003_defaults'),
        ('telephony', '0002_calls_belong_to_contacts'),
    ]

    operations = [
        migrations.AddField(
            model_name='call',
            name='agent',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='agents.agent'),
        ),
        migrations.AddField(
            model_name='call',
            name='agent_version',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='agents.agentversion'),
        ),
        migrations.AddField(
            model_name='call',
            name='briefing',
            field=thanos.encryption.EncryptedTextField(blank=True),
        ),
        migrations.AddField(
            model_name='call',
            name='transfer_taken_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='line',
            name='agent',
            field=models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='agents.agent'),
        ),
        migrations.AddField(
            model_name='line',
            name='announces_transfers',
            field=models.BooleanField(default=False, help_text='The person hears what it is about, and takes the call or not.', verbose_name='announce callers first'),
        ),
        migrations.AddField(
            model_name='line',
            name='briefing_key',
            field=models.CharField(default='1', max_length=1, validators=[django.core.validators.RegexValidator('^[0-9*#]$', 'One key: 0 to 9, * or #.')], verbose_name='key that takes the call'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='line',
            name='briefing_text',
            field=models.TextField(default='A call from {caller} for {organisation}. {reason} Press {key} to take it, or hang up.', help_text='Said to the person. {caller} and {reason} are filled in.'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='line',
            name='variables',
            field=models.JSONField(blank=True, default=dict, help_text='Names for prompts, on this line alone.', validators=[agents.organisation.models.check_variables]),
        ),
        migrations.AlterField(
            model_name='line',
            name='prompt',
            field=models.TextField(blank=True, help_text='What the agent is, knows and should do. With an agent chosen: what this line adds to it.'),
        ),
        migrations.AddIndex(
            model_name='call',
            index=models.Index(fields=['agent', '-started_at'], name='call_agent'),
        ),
    ]
