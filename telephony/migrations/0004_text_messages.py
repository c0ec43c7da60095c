import django.db.models.deletion
import django.utils.timezone
import thanos.encryption
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('telephony', '0003_agents_answer_and_transfers_are_announced'),
    ]

    operations = [
        migrations.AlterField(
            model_name='callevent',
            name='kind',
            field=models.CharField(choices=[('admitted', 'Answered'), ('refused', 'Refused'), ('stream-started', 'Media stream started'), ('stream-ended', 'Media stream ended'), ('engine-connected', 'Agent connected'), ('engine-lost', 'Agent connection lost'), ('reconnect', 'Reconnecting'), ('resumed', 'Resumed on another worker'), ('barge-in', 'Caller interrupted'), ('dtmf', 'Key pressed'), ('silence-prompt', 'Asked whether the caller is there'), ('watchdog', 'No answer from the agent in time'), ('length-warning', 'Call length warning'), ('warning', 'Warning'), ('error', 'Error'), ('tool-call', 'Tool called'), ('tool-result', 'Tool answered'), ('tool-cancelled', 'Tool call cancelled'), ('operator', 'A member intervened'), ('transfer', 'Transfer'), ('text-sent', 'Text message sent'), ('specialists', 'Specialists'), ('voicemail', 'Voicemail'), ('recording', 'Recording'), ('carrier', 'Carrier status'), ('frames-dropped', 'Audio dropped'), ('unknown-message', 'Unknown message ignored'), ('ended', 'Ended')], max_length=20),
        ),
        migrations.CreateModel(
            name='TextMessage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=16)),
                ('text', thanos.encryption.EncryptedTextField()),
                ('state', models.CharField(choices=[('sending', 'Being sent'), ('sent', 'Sent'), ('refused', 'Refused by the carrier'), ('uncertain', 'Perhaps sent')], default='sending', max_length=10)),
                ('message_sid', models.CharField(blank=True, max_length=64)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('call', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='texts', to='telephony.call')),
            ],
            options={
                'ordering': ['created_at'],
                'constraints': [models.UniqueConstraint(fields=('call', 'key'), name='text_once')],
            },
        ),
    ]
