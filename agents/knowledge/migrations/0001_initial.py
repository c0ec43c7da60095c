import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models

from agents.knowledge import vectors


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # In the public schema, once for the database: every tenant's tables use it from there.
        migrations.RunSQL("CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public", migrations.RunSQL.noop),
        migrations.CreateModel(
            name='Document',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('title', models.CharField(max_length=200)),
                ('kind', models.CharField(choices=[('file', 'File'), ('text', 'Written here'), ('questions', 'Questions and answers')], max_length=10)),
                ('language', models.CharField(choices=[('english', 'English'), ('german', 'German'), ('french', 'French'), ('spanish', 'Spanish'), ('italian', 'Italian'), ('dutch', 'Dutch'), ('portuguese', 'Portuguese'), ('danish', 'Danish'), ('swedish', 'Swedish'), ('norwegian', 'Norwegian'), ('finnish', 'Finnish'), ('simple', 'Another')], default='english', max_length=12)),
                ('is_active', models.BooleanField(default=True, verbose_name='used by agents')),
                ('file_name', models.CharField(blank=True, max_length=200)),
                ('path', models.CharField(blank=True, editable=False, max_length=200)),
                ('size', models.PositiveIntegerField(editable=False, null=True)),
                ('text', models.TextField(blank=True)),
                ('questions', models.JSONField(blank=True, default=list)),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('reading', 'Being read'), ('ready', 'Ready'), ('failed', 'Could not be read')], default='waiting', max_length=10)),
                ('problem', models.CharField(blank=True, max_length=300)),
                ('warning', models.CharField(blank=True, max_length=300)),
                ('revision', models.PositiveIntegerField(default=1)),
                ('read_revision', models.PositiveIntegerField(default=0)),
                ('claimed_until', models.DateTimeField(null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('done', models.PositiveIntegerField(default=0)),
                ('total', models.PositiveIntegerField(null=True)),
                ('passage_count', models.PositiveIntegerField(default=0)),
                ('vector_model', models.CharField(blank=True, max_length=80)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('read_at', models.DateTimeField(editable=False, null=True)),
                ('created_by', models.ForeignKey(db_constraint=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['title', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='Word',
            fields=[
                ('word', models.CharField(max_length=40, primary_key=True, serialize=False)),
            ],
            options={
                'indexes': [django.contrib.postgres.indexes.GistIndex(fields=['word'], name='word_trigrams', opclasses=['gist_trgm_ops(siglen=512)'])],
            },
        ),
        migrations.CreateModel(
            name='Passage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveIntegerField()),
                ('heading', models.CharField(blank=True, max_length=300)),
                ('place', models.CharField(blank=True, max_length=60)),
                ('text', models.TextField()),
                ('search', django.contrib.postgres.search.SearchVectorField()),
                ('document', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='passages', to='agents_knowledge.document')),
            ],
            options={
                'ordering': ['document', 'position'],
                'indexes': [django.contrib.postgres.indexes.GinIndex(fastupdate=False, fields=['search'], name='passage_search')],
                'constraints': [models.UniqueConstraint(fields=('document', 'position'), name='passage_position')],
            },
        ),
        migrations.RunSQL(vectors.CREATE, vectors.DROP),
    ]
