import agents.models
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('tenants', '0003_sending_domains'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Agent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField(max_length=60, unique=True)),
                ('name', models.CharField(max_length=80)),
                ('specialty', models.CharField(help_text='What it is good at, in a few words.', max_length=120)),
                ('description', models.TextField(blank=True, help_text='For people who choose an agent, and for the moderator who does.')),
                ('owner_domains', models.JSONField(blank=True, default=list, null=True)),
                ('telephony_only', models.BooleanField(default=False, help_text='Not offered in chat.')),
                ('is_moderator', models.BooleanField(default=False, help_text='Judges requests and picks specialists; talks to nobody.')),
                ('is_active', models.BooleanField(default=True)),
                ('draft_share', models.PositiveSmallIntegerField(default=0, validators=[django.core.validators.MaxValueValidator(100)], verbose_name='share of calls on the draft, %')),
                ('synced', models.JSONField(editable=False, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='agents', to='tenants.tenant')),
            ],
            options={
                'ordering': ['-is_moderator', 'name', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='AgentVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('state', models.CharField(choices=[('draft', 'Draft'), ('published', 'Published'), ('former', 'Former')], default='draft', max_length=10)),
                ('prompt', models.TextField(help_text='What it is, knows and should do. {organisation} and other names are filled in.')),
                ('provider', models.CharField(blank=True, help_text="Empty: the installation's.", max_length=30)),
                ('model', models.CharField(blank=True, help_text="Empty: the installation's.", max_length=80)),
                ('temperature', models.FloatField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(2)])),
                ('voice', models.CharField(blank=True, help_text="Empty: the line's.", max_length=80)),
                ('tools', models.JSONField(blank=True, default=list, validators=[agents.models.check_tools])),
                ('note', models.CharField(blank=True, help_text='What changed, and why.', max_length=200)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('published_at', models.DateTimeField(editable=False, null=True)),
                ('agent', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='agents.agent')),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-number'],
            },
        ),
        migrations.AddField(
            model_name='agent',
            name='published',
            field=models.OneToOneField(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='agents.agentversion'),
        ),
        migrations.AddConstraint(
            model_name='agentversion',
            constraint=models.UniqueConstraint(fields=('agent', 'number'), name='agent_version_number'),
        ),
        migrations.AddConstraint(
            model_name='agentversion',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'draft')), fields=('agent',), name='agent_one_draft'),
        ),
        migrations.AddConstraint(
            model_name='agentversion',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'published')), fields=('agent',), name='agent_one_published'),
        ),
    ]
