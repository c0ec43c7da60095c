from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("crm", "0005_search_words")]
    operations = [migrations.AddField("contact", "erased_at", models.DateTimeField(editable=False, null=True))]
