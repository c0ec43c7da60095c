import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import thanos.encryption
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('crm', '0003_defaults'),
        ('telephony', '0005_budgets_in_calls'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Conversation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('own_number', models.CharField(max_length=16)),
                ('other', thanos.encryption.EncryptedTextField()),
                ('other_index', models.CharField(editable=False, max_length=32)),
                ('is_unread', models.BooleanField(default=False)),
                ('last_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('agent_stopped', models.CharField(blank=True, choices=[('', 'It answers'), ('person', 'A person has answered'), ('asked', 'A person was asked for')], default='', max_length=10)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('contact', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='text_conversations', to='crm.contact')),
            ],
            options={
                'ordering': ['-is_unread', '-last_at', '-id'],
            },
        ),
        migrations.CreateModel(
            name='Message',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('way', models.CharField(choices=[('in', 'Received'), ('out', 'Sent')], max_length=3)),
                ('author', models.CharField(choices=[('contact', 'The other side'), ('person', 'A person'), ('program', 'A program'), ('agent', 'The agent'), ('automatic', 'Automatic')], max_length=10)),
                ('key', models.CharField(max_length=100, null=True, unique=True)),
                ('text', thanos.encryption.EncryptedTextField(blank=True)),
                ('media', models.JSONField(blank=True, default=list)),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('sending', 'Being sent'), ('uncertain', 'Perhaps sent'), ('queued', 'With the carrier'), ('sent', 'Sent'), ('failed', 'Failed'), ('undelivered', 'Not delivered'), ('delivered', 'Delivered'), ('blocked', 'Not sent'), ('received', 'Received')], max_length=12)),
                ('error_code', models.PositiveIntegerField(blank=True, null=True)),
                ('refusal', models.CharField(blank=True, max_length=30)),
                ('why', models.CharField(blank=True, max_length=300)),
                ('message_sid', models.CharField(blank=True, max_length=64)),
                ('segments', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('claimed_at', models.DateTimeField(editable=False, null=True)),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('logged_at', models.DateTimeField(editable=False, null=True)),
                ('answering', models.CharField(blank=True, choices=[('', 'Not by the agent'), ('wanted', 'Waits for the agent'), ('running', 'The agent is writing'), ('done', 'Answered by the agent'), ('skipped', 'Left to a person'), ('failed', 'The agent could not answer')], default='', max_length=10)),
                ('answer_until', models.DateTimeField(editable=False, null=True)),
                ('answer_attempts', models.PositiveSmallIntegerField(default=0, editable=False)),
                ('call', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='texts', to='telephony.call')),
                ('conversation', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='messages', to='telephony_texting.conversation')),
                ('user', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.AddField(
            model_name='conversation',
            name='last_message',
            field=models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='telephony_texting.message'),
        ),
        migrations.CreateModel(
            name='ConsentEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', thanos.encryption.EncryptedTextField(blank=True)),
                ('number_index', models.CharField(max_length=32)),
                ('consent', models.CharField(choices=[('stop', 'Wants no text messages'), ('start', 'Takes text messages again')], max_length=10)),
                ('source', models.CharField(choices=[('text', 'Written in a text message'), ('carrier', 'Told by the carrier'), ('person', 'Entered by a person')], max_length=10)),
                ('words', thanos.encryption.EncryptedTextField(blank=True)),
                ('own_number', models.CharField(blank=True, max_length=16)),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('user', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('message', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='telephony_texting.message')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='TextingSettings',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('per_call', models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100000)], verbose_name='texts in one call')),
                ('per_number_day', models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100000)], verbose_name='texts to one number in 24 hours')),
                ('per_hour', models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100000)], verbose_name='texts in an hour')),
                ('per_day', models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100000)], verbose_name='texts in 24 hours')),
                ('countries', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=2, validators=[django.core.validators.RegexValidator('^[A-Z]{2}$', 'Two capital letters, such as US or DE.')]), blank=True, default=list, help_text='Countries texts may go to, such as US, CA. Empty: the countries of your own numbers.', size=None)),
                ('stop_words', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), help_text='A text that is one of these ends text messages.', size=None)),
                ('start_words', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), help_text='One of these takes that back.', size=None)),
                ('help_words', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), help_text='One of these asks for help.', size=None)),
                ('stop_text', models.TextField(blank=True, help_text='Sent where the carrier does not answer by itself.', max_length=320, verbose_name='answer to STOP')),
                ('start_text', models.TextField(blank=True, max_length=320, verbose_name='answer to START')),
                ('help_text', models.TextField(blank=True, max_length=320, verbose_name='answer to HELP')),
                ('answers_per_hour', models.PositiveSmallIntegerField(validators=[django.core.validators.MinValueValidator(0)], verbose_name='answers of the agent in an hour')),
                ('answers_per_day', models.PositiveSmallIntegerField(validators=[django.core.validators.MinValueValidator(0)], verbose_name='answers of the agent in 24 hours')),
                ('agent_note', models.TextField(help_text='How to write text messages.', verbose_name='told to the agent')),
                ('handover_text', models.TextField(blank=True, help_text='Empty: nothing is said.', max_length=320, verbose_name='said when a person takes over')),
                ('agent_lines', models.ManyToManyField(blank=True, help_text='On other lines people answer.', related_name='+', to='telephony.line', verbose_name='lines whose agent answers texts')),
            ],
            options={
                'verbose_name_plural': 'texting settings',
            },
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('claimed_at__isnull', False), ('way', 'out')), fields=['claimed_at'], name='text_claimed'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('state__in', ['waiting', 'sending'])), fields=['id'], name='text_open'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('logged_at', None)), fields=['created_at'], name='text_unlogged'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('answering__in', ['wanted', 'running'])), fields=['id'], name='text_unanswered'),
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.UniqueConstraint(condition=models.Q(('message_sid', ''), _negated=True), fields=('message_sid',), name='text_sid_once'),
        ),
        migrations.AddIndex(
            model_name='conversation',
            index=models.Index(fields=['-is_unread', '-last_at', '-id'], name='text_conversation_order'),
        ),
        migrations.AddIndex(
            model_name='conversation',
            index=models.Index(fields=['other_index'], name='text_conversation_other'),
        ),
        migrations.AddIndex(
            model_name='conversation',
            index=models.Index(condition=models.Q(('is_unread', True)), fields=['id'], name='text_conversation_unread'),
        ),
        migrations.AddConstraint(
            model_name='conversation',
            constraint=models.UniqueConstraint(fields=('own_number', 'other_index'), name='text_conversation_once'),
        ),
        migrations.AddIndex(
            model_name='consentevent',
            index=models.Index(fields=['number_index', '-id'], name='text_consent_number'),
        ),
        migrations.AddConstraint(
            model_name='consentevent',
            constraint=models.UniqueConstraint(condition=models.Q(('message__isnull', False)), fields=('message',), name='text_consent_once'),
        ),
    ]
