import agents.connected.models
import django.core.validators
import django.utils.timezone
import thanos.encryption
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='HttpTool',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40, unique=True, validators=[django.core.validators.RegexValidator('^[a-z][a-z0-9_]{1,39}\\Z', 'Small letters, digits and underscores, a letter first, such as check_stock.')])),
                ('description', models.TextField(help_text='For the agent: what it does, and when to use it.')),
                ('method', models.CharField(choices=[('GET', 'Get'), ('POST', 'Post'), ('PUT', 'Put'), ('PATCH', 'Patch'), ('DELETE', 'Delete')], default='POST', max_length=6)),
                ('url', thanos.encryption.EncryptedTextField()),
                ('headers', thanos.encryption.EncryptedJSONField(default=dict)),
                ('parameters', models.JSONField(validators=[agents.connected.models.check_parameters])),
                ('is_irreversible', models.BooleanField(default=False, help_text="Waits for the end of the caller's turn, and is done once a conversation.", verbose_name='cannot be undone')),
                ('time_limit_s', models.PositiveSmallIntegerField(default=6, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(20)], verbose_name='time limit, seconds')),
                ('max_characters', models.PositiveIntegerField(default=2000, validators=[django.core.validators.MinValueValidator(100), django.core.validators.MaxValueValidator(20000)], verbose_name='longest answer')),
                ('is_active', models.BooleanField(default=True, verbose_name='offered to agents')),
                ('last_used_at', models.DateTimeField(editable=False, null=True)),
                ('last_result', models.CharField(blank=True, editable=False, max_length=60)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                'verbose_name': 'HTTP tool',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='McpServer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40, unique=True, validators=[django.core.validators.RegexValidator('^[a-z][a-z0-9_]{1,39}\\Z', 'Small letters, digits and underscores, a letter first, such as check_stock.')])),
                ('url', thanos.encryption.EncryptedTextField()),
                ('headers', thanos.encryption.EncryptedJSONField(default=dict)),
                ('tools', models.JSONField(default=list, editable=False)),
                ('allowed', models.JSONField(default=list)),
                ('time_limit_s', models.PositiveSmallIntegerField(default=8, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(20)], verbose_name='time limit, seconds')),
                ('is_active', models.BooleanField(default=True, verbose_name='offered to agents')),
                ('listed_at', models.DateTimeField(editable=False, null=True)),
                ('problem', models.CharField(blank=True, editable=False, max_length=200)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                'verbose_name': 'MCP server',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='ToolRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('conversation', models.CharField(max_length=80)),
                ('key', models.CharField(max_length=32)),
                ('result', thanos.encryption.EncryptedTextField(blank=True)),
                ('is_over', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('conversation', 'key'), name='tool_once')],
            },
        ),
    ]
