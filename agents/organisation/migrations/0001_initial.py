import agents.organisation.models
import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='AgentSettings',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('variables', models.JSONField(blank=True, default=dict, validators=[agents.organisation.models.check_variables])),
                ('nothing_found_text', models.TextField(help_text='What an agent says when nothing was found.')),
                ('specialists_join', models.BooleanField(default=True, verbose_name='specialists may join calls')),
                ('offer_by_complexity', models.BooleanField(default=True, help_text='As well as when the caller asks for one.', verbose_name='offer a specialist for hard questions')),
                ('complexity_threshold', models.FloatField(validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1)])),
                ('consent_text', models.TextField(help_text='Asked before a specialist joins. {seconds} is filled in.')),
                ('consent_seconds', models.PositiveSmallIntegerField(help_text='No answer by then means no.', validators=[django.core.validators.MinValueValidator(3), django.core.validators.MaxValueValidator(60)], verbose_name='time to say yes')),
                ('work_seconds', models.PositiveSmallIntegerField(validators=[django.core.validators.MinValueValidator(5), django.core.validators.MaxValueValidator(120)], verbose_name='time for specialists')),
                ('waiting_seconds', models.PositiveSmallIntegerField(validators=[django.core.validators.MinValueValidator(3), django.core.validators.MaxValueValidator(60)], verbose_name='say something every')),
                ('max_specialists', models.PositiveSmallIntegerField(validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(3)])),
                ('waiting_texts', models.JSONField(help_text='Said in turn while specialists work.', validators=[agents.organisation.models.check_phrases])),
                ('declined_text', models.TextField(help_text='Said after a no.')),
                ('failed_text', models.TextField(help_text='Said when no specialist could help.')),
                ('paused_note', models.TextField(help_text='Told to the agent while specialists work.')),
                ('result_note', models.TextField(help_text='Told to the agent with what they found. {answer} is filled in.')),
                ('resume_text', models.TextField(help_text='Given to the agent as the next turn, so that it speaks. {question} is filled in.')),
                ('ask_phrases', models.JSONField(help_text='How callers ask for a specialist; any language.', validators=[agents.organisation.models.check_phrases])),
                ('yes_phrases', models.JSONField(validators=[agents.organisation.models.check_phrases])),
                ('no_phrases', models.JSONField(validators=[agents.organisation.models.check_phrases])),
                ('message_subject', models.CharField(help_text='Of a message taken in a call. {name} is filled in.', max_length=120)),
            ],
            options={
                'verbose_name_plural': 'agent settings',
            },
        ),
    ]
