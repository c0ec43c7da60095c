import django.db.models.deletion
import django.utils.timezone
import thanos.encryption
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('agents', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Scenario',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=120)),
                ('text', thanos.encryption.EncryptedTextField()),
                ('agent_slug', models.CharField(blank=True, max_length=60)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('created_by', models.ForeignKey(db_constraint=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='Trial',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('batch', models.UUIDField(db_index=True)),
                ('version_number', models.PositiveIntegerField(null=True)),
                ('repeat', models.PositiveSmallIntegerField()),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('running', 'Running'), ('done', 'Done')], default='waiting', max_length=10)),
                ('passed', models.BooleanField(null=True)),
                ('problem', models.CharField(blank=True, max_length=60)),
                ('checks', models.JSONField(default=list)),
                ('transcript', thanos.encryption.EncryptedJSONField(null=True)),
                ('turns', models.PositiveSmallIntegerField(null=True)),
                ('duration_ms', models.PositiveIntegerField(null=True)),
                ('input_tokens', models.PositiveIntegerField(null=True)),
                ('output_tokens', models.PositiveIntegerField(null=True)),
                ('claimed_until', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('scenario', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='trials', to='agents_trials.scenario')),
                ('version', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='agents.agentversion')),
            ],
            options={
                'ordering': ['-created_at', 'version_number', 'repeat'],
                'constraints': [models.UniqueConstraint(fields=('batch', 'version_number', 'repeat'), name='trial_once_a_batch', nulls_distinct=False)],
            },
        ),
    ]
