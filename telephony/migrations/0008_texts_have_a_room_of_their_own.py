from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('telephony', '0007_messages_know_how_much_was_heard'),
        ('telephony_texting', '0002_texts_of_calls'),
    ]

    operations = [
        migrations.DeleteModel(
            name='TextMessage',
        ),
    ]
