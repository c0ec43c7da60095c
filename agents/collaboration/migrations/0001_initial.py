import django.utils.timezone
import thanos.encryption
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Collaboration',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('call_id', models.UUIDField(db_index=True)),
                ('trigger', models.CharField(choices=[('caller', 'The caller asked for a specialist'), ('agent', 'The agent asked'), ('complexity', 'The question is hard')], max_length=12)),
                ('complexity', models.FloatField(null=True)),
                ('question', thanos.encryption.EncryptedTextField()),
                ('stage', models.CharField(choices=[('idle', 'Idle'), ('detecting-complexity', 'Judging how hard the question is'), ('requesting-consent', 'Asking for consent'), ('awaiting-consent', 'Waiting for consent'), ('collaborating', 'Specialists are working'), ('resuming', 'Going on'), ('completed', 'Completed')], default='requesting-consent', max_length=24)),
                ('outcome', models.CharField(blank=True, choices=[('answered', 'Answered'), ('declined', 'The caller said no'), ('unanswered', 'The caller said nothing'), ('not-asked', 'The caller could not be asked'), ('failed', 'No specialist could help'), ('too-slow', 'The specialists took too long'), ('withdrawn', 'The caller changed their mind'), ('hung-up', 'The call ended'), ('interrupted', 'Interrupted by a fault of ours')], max_length=12)),
                ('consent_words', thanos.encryption.EncryptedTextField(blank=True)),
                ('agents', models.JSONField(default=list)),
                ('answer', thanos.encryption.EncryptedTextField(blank=True)),
                ('input_tokens', models.PositiveIntegerField(null=True)),
                ('output_tokens', models.PositiveIntegerField(null=True)),
                ('cost', models.DecimalField(decimal_places=6, max_digits=12, null=True)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('asked_at', models.DateTimeField(null=True)),
                ('consented_at', models.DateTimeField(null=True)),
                ('worked_ms', models.PositiveIntegerField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ['started_at'],
                'indexes': [models.Index(condition=models.Q(('outcome', '')), fields=['started_at'], name='collaboration_open')],
            },
        ),
    ]
