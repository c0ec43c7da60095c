from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('telephony', '0005_budgets_in_calls'),
        ('telephony_texting', '0002_texts_of_calls'),
    ]

    operations = [
        migrations.DeleteModel(
            name='TextMessage',
        ),
    ]
