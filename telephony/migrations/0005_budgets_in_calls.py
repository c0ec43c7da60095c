
import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0001_initial'),
        ('crm', '0003_defaults'),
        ('telephony', '0004_text_messages'),
    ]

    operations = [
        migrations.AddField(
            model_name='call',
            name='metered_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='call',
            name='tier',
            field=models.CharField(blank=True, max_length=10),
        ),
        migrations.AddField(
            model_name='call',
            name='tier_reason',
            field=models.CharField(blank=True, max_length=120),
        ),
        migrations.AddField(
            model_name='line',
            name='budget_goodbye_text',
            field=models.TextField(default="I'm sorry, I have to end this call now. Please call again. Goodbye.", help_text='Said at once when the time to come to an end is over.'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='line',
            name='budget_warning_note',
            field=models.TextField(default='This call will have to end in a few minutes. Deal with what matters most first, and do not begin anything new.', help_text='Told to the agent when a call nears its limit.'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='line',
            name='budget_wind_down_note',
            field=models.TextField(default='This call must end now. In the language the caller speaks, say kindly that you have to end the call, sum up what was agreed, say goodbye and use end_call.', help_text='Told to the agent when the limit is reached.'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='line',
            name='budget_wind_down_s',
            field=models.PositiveIntegerField(default=30, validators=[django.core.validators.MinValueValidator(5), django.core.validators.MaxValueValidator(600)], verbose_name='time to come to an end'),
        ),
        migrations.AddField(
            model_name='line',
            name='economy_below_percent',
            field=models.PositiveSmallIntegerField(blank=True, help_text='Of the budget that is left. Empty: never.', null=True, validators=[django.core.validators.MaxValueValidator(100)]),
        ),
        migrations.AddField(
            model_name='line',
            name='economy_model',
            field=models.CharField(blank=True, max_length=80),
        ),
        migrations.AddField(
            model_name='line',
            name='economy_voice',
            field=models.CharField(blank=True, max_length=80),
        ),
        migrations.AddField(
            model_name='line',
            name='over_budget_action',
            field=models.CharField(choices=[('message', 'Say the sentence and hang up'), ('voicemail', 'Say the sentence and take a message'), ('transfer', 'Ring the fallback number')], default='message', max_length=10, verbose_name='when the budget is used up'),
        ),
        migrations.AddField(
            model_name='line',
            name='over_budget_text',
            field=models.TextField(default='Thank you for calling {organisation}. Our assistant cannot take calls at the moment. Please call again later.'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='line',
            name='premium_from_score',
            field=models.PositiveSmallIntegerField(blank=True, help_text='Lead score. Empty: never.', null=True, validators=[django.core.validators.MaxValueValidator(100)]),
        ),
        migrations.AddField(
            model_name='line',
            name='premium_model',
            field=models.CharField(blank=True, max_length=80),
        ),
        migrations.AddField(
            model_name='line',
            name='premium_voice',
            field=models.CharField(blank=True, max_length=80),
        ),
        migrations.AlterField(
            model_name='call',
            name='closing_reason',
            field=models.CharField(blank=True, choices=[('caller-hung-up', 'Caller hung up'), ('caller-silent', 'Caller stayed silent'), ('agent-hung-up', 'Agent said goodbye'), ('transferred', 'Transferred to a person'), ('transfer-failed', 'Nobody took the transfer'), ('voicemail', 'Went to voicemail'), ('operator-hung-up', 'Ended by a member'), ('length-limit', 'Longest call length reached'), ('outside-hours', 'Outside opening hours'), ('tenant-busy', "Organisation's call limit reached"), ('line-inactive', 'Line switched off'), ('tenant-inactive', 'Organisation switched off'), ('budget-reached', 'Budget used up'), ('not-subscribed', 'No valid subscription'), ('installation-busy', "Installation's call limit reached"), ('provider-failed', 'Voice provider failed'), ('provider-missing', 'Voice provider not configured'), ('stream-lost', 'Media stream lost'), ('stream-never-started', 'Media stream never started'), ('carrier-busy', 'Line was busy'), ('carrier-no-answer', 'Nobody answered'), ('carrier-failed', 'Carrier could not connect'), ('carrier-canceled', 'Canceled before the answer'), ('platform-error', 'Fault of the platform'), ('unknown', 'Unknown')], max_length=30),
        ),
        migrations.AlterField(
            model_name='call',
            name='ended_reason',
            field=models.CharField(blank=True, choices=[('caller-hung-up', 'Caller hung up'), ('caller-silent', 'Caller stayed silent'), ('agent-hung-up', 'Agent said goodbye'), ('transferred', 'Transferred to a person'), ('transfer-failed', 'Nobody took the transfer'), ('voicemail', 'Went to voicemail'), ('operator-hung-up', 'Ended by a member'), ('length-limit', 'Longest call length reached'), ('outside-hours', 'Outside opening hours'), ('tenant-busy', "Organisation's call limit reached"), ('line-inactive', 'Line switched off'), ('tenant-inactive', 'Organisation switched off'), ('budget-reached', 'Budget used up'), ('not-subscribed', 'No valid subscription'), ('installation-busy', "Installation's call limit reached"), ('provider-failed', 'Voice provider failed'), ('provider-missing', 'Voice provider not configured'), ('stream-lost', 'Media stream lost'), ('stream-never-started', 'Media stream never started'), ('carrier-busy', 'Line was busy'), ('carrier-no-answer', 'Nobody answered'), ('carrier-failed', 'Carrier could not connect'), ('carrier-canceled', 'Canceled before the answer'), ('platform-error', 'Fault of the platform'), ('unknown', 'Unknown')], max_length=30),
        ),
        migrations.AlterField(
            model_name='callevent',
            name='kind',
            field=models.CharField(choices=[('admitted', 'Answered'), ('refused', 'Refused'), ('stream-started', 'Media stream started'), ('stream-ended', 'Media stream ended'), ('engine-connected', 'Agent connected'), ('engine-lost', 'Agent connection lost'), ('reconnect', 'Reconnecting'), ('resumed', 'Resumed on another worker'), ('barge-in', 'Caller interrupted'), ('dtmf', 'Key pressed'), ('silence-prompt', 'Asked whether the caller is there'), ('watchdog', 'No answer from the agent in time'), ('length-warning', 'Call length warning'), ('budget', 'Budget'), ('warning', 'Warning'), ('error', 'Error'), ('tool-call', 'Tool called'), ('tool-result', 'Tool answered'), ('tool-cancelled', 'Tool call cancelled'), ('operator', 'A member intervened'), ('transfer', 'Transfer'), ('text-sent', 'Text message sent'), ('specialists', 'Specialists'), ('voicemail', 'Voicemail'), ('recording', 'Recording'), ('carrier', 'Carrier status'), ('frames-dropped', 'Audio dropped'), ('unknown-message', 'Unknown message ignored'), ('ended', 'Ended')], max_length=20),
        ),
        migrations.AddField(
            model_name='call',
            name='reconciled_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name='call',
            index=models.Index(condition=models.Q(('ended_at__isnull', False), ('reconciled_at', None)), fields=['ended_at'], name='call_unreconciled'),
        ),
        migrations.AddIndex(
            model_name='call',
            index=models.Index(condition=models.Q(('ended_at__isnull', False), ('metered_at', None)), fields=['ended_at'], name='call_unmetered'),
        ),
    ]
